//! Linear separability: how much of each source a linear map recovers from a mixture's tokens.
//!
//! For a pair of images, an encoder computes tokens u of the mixture and v of each source alone,
//! at the same positions. Ridge regression on held-in pairs fits v ≈ A u + c, with one A for all
//! tokens and one c per position; held-out pairs measure how much of v it explains (i-MAE §3.3,
//! whose exact definition is not published). The intercepts absorb what depends only on the
//! position, which every encoder's tokens contain, so that R² measures what differs between
//! images.
//!
//! If the latent of a mixture were the same mixture of two independent latents of equal
//! variance, R² would be [`mixture_anchor`]; "separable" means clearly above it. Raw pixels lie
//! on it.
//!
//! Only sums over tokens are kept, in double precision: D² numbers, whatever the number of
//! pairs.

use tch::{Device, Kind, Tensor};

use crate::EvalError;
use crate::encoded::check_finite;

/// Strength of the ridge, relative to the mean variance of an input.
const RIDGE: f64 = 1e-4;

/// The R² of a mixture of independent latents of equal variance, for the one whose share is
/// `share`: share² / (share² + (1 − share)²).
///
/// ```
/// assert!((bauta_eval::mixture_anchor(0.3) - 0.155).abs() < 1e-3);
/// assert_eq!(bauta_eval::mixture_anchor(0.5), 0.5);
/// ```
pub fn mixture_anchor(share: f64) -> f64 {
    share.powi(2) / (share.powi(2) + (1.0 - share).powi(2))
}

/// The mean over tokens of the cosine between `a` and `b`, both [..., D]; 1 if both are equal.
pub fn mean_cosine(a: &Tensor, b: &Tensor) -> f64 {
    Tensor::cosine_similarity(a, b, -1, 1e-8).mean(Kind::Double).double_value(&[])
}

/// Tokens of a batch of image pairs.
#[derive(Debug)]
pub struct PairTokens<'a> {
    /// Tokens of the mixtures, [B, V, D].
    pub mixed: &'a Tensor,
    /// Tokens of the sources alone, [B, V, D] each: subordinate, dominant.
    pub sources: [&'a Tensor; 2],
    /// The position of each token in its image, [B, V] in 0..L.
    pub positions: &'a Tensor,
}

/// The quality of a linear map from a mixture to one source, on held-out pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Separation {
    /// Mean squared error per value.
    pub mse: f64,
    /// The explained share of the variance around each position's held-in mean; at
    /// most 1, and below 0 for a map that is worse than that mean.
    pub r2: f64,
}

/// Sums over held-in tokens, from which the map is solved.
#[derive(Debug)]
pub struct Separability {
    width: i64,
    /// Σ u uᵀ, [D, D].
    inputs: Tensor,
    /// Σ u vᵀ, [D, 2D].
    products: Tensor,
    /// By position: tokens \[L\], Σ u [L, D], Σ v [L, 2D].
    counts: Tensor,
    input_sums: Tensor,
    output_sums: Tensor,
}

impl Separability {
    /// Starts without tokens, for tokens of `width` values at `positions` positions.
    pub fn new(width: usize, positions: usize, device: Device) -> Self {
        let (width, positions) = (width as i64, positions as i64);
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Double, device));
        Self {
            width,
            inputs: zeros(&[width, width]),
            products: zeros(&[width, 2 * width]),
            counts: zeros(&[positions]),
            input_sums: zeros(&[positions, width]),
            output_sums: zeros(&[positions, 2 * width]),
        }
    }

    /// Adds held-in pairs.
    ///
    /// # Errors
    /// [`EvalError::Shape`] when the tokens are of another width or do not fit together,
    /// [`EvalError::NotFinite`] when a value is NaN or infinite.
    pub fn learn(&mut self, tokens: &PairTokens<'_>) -> Result<(), EvalError> {
        let (u, v, positions) = self.rows(tokens)?;
        let _no_grad = tch::no_grad_guard();
        let transposed = u.transpose(0, 1);
        self.inputs += transposed.matmul(&u);
        self.products += transposed.matmul(&v);
        self.counts = self.counts.index_add(0, &positions, &u.select(1, 0).ones_like());
        self.input_sums = self.input_sums.index_add(0, &positions, &u);
        self.output_sums = self.output_sums.index_add(0, &positions, &v);
        Ok(())
    }

    /// Solves for the least-squares map, with a small ridge on A.
    ///
    /// # Errors
    /// [`EvalError::Shape`] when there were no tokens.
    pub fn fit(self) -> Result<Separator, EvalError> {
        if self.counts.sum(Kind::Double).double_value(&[]) == 0.0 {
            let expected = "held-in pairs".to_owned();
            return Err(EvalError::Shape { what: "tokens", found: vec![0], expected });
        }
        let counts = self.counts.clamp_min(1.0).unsqueeze(1);
        let (input_means, output_means) = (&self.input_sums / &counts, &self.output_sums / &counts);
        // Least squares with intercepts equals least squares of centred values.
        let along = input_means.transpose(0, 1);
        let inputs = &self.inputs - along.matmul(&self.input_sums);
        let products = &self.products - along.matmul(&self.output_sums);
        let mean_variance = inputs.trace() / self.width as f64;
        let eye = Tensor::eye(self.width, (Kind::Double, inputs.device()));
        // The ridge is never 0, so that inputs without variance give a map of zeros.
        let ridged = inputs + eye * (mean_variance * RIDGE + f64::MIN_POSITIVE.sqrt());
        let weight = Tensor::linalg_solve(&ridged, &products, true);
        let errors = [(); 2].map(|()| products.new_zeros([2], (Kind::Double, products.device())));
        Ok(Separator {
            offsets: &output_means - input_means.matmul(&weight),
            sums: self,
            weight,
            means: output_means,
            errors,
            values: 0.0,
        })
    }

    /// Checks tokens and flattens them to rows: u [N, D], v [N, 2D], positions \[N\].
    fn rows(&self, tokens: &PairTokens<'_>) -> Result<(Tensor, Tensor, Tensor), EvalError> {
        let PairTokens { mixed, sources, positions } = tokens;
        let at = positions.size();
        let wanted = [at.as_slice(), &[self.width]].concat();
        let named = [
            ("mixed tokens", *mixed),
            ("source tokens", sources[0]),
            ("source tokens", sources[1]),
        ];
        for (what, tensor) in named {
            if tensor.size() != wanted || at.len() != 2 {
                let expected = format!("[B, V, {}] beside positions {at:?}", self.width);
                return Err(EvalError::Shape { what, found: tensor.size(), expected });
            }
            check_finite(what, tensor)?;
        }
        let rows = |tensor: &Tensor| tensor.reshape([-1, self.width]).to_kind(Kind::Double);
        let outputs = Tensor::cat(&sources.map(rows), 1);
        Ok((rows(mixed), outputs, positions.flatten(0, -1)))
    }
}

/// The solved map, and its errors on held-out pairs.
#[derive(Debug)]
pub struct Separator {
    sums: Separability,
    /// A for both sources, [D, 2D].
    weight: Tensor,
    /// c for both sources, [L, 2D].
    offsets: Tensor,
    /// Held-in means of the sources, [L, 2D].
    means: Tensor,
    /// Squared errors of the map, and of the means, for subordinate and dominant, \[2\] each.
    errors: [Tensor; 2],
    /// Number of evaluated values of one source.
    values: f64,
}

impl Separator {
    /// Evaluates the map on held-out pairs.
    ///
    /// # Errors
    /// As [`Separability::learn`].
    pub fn judge(&mut self, tokens: &PairTokens<'_>) -> Result<(), EvalError> {
        let (u, v, positions) = self.sums.rows(tokens)?;
        let _no_grad = tch::no_grad_guard();
        let predicted = u.matmul(&self.weight) + self.offsets.index_select(0, &positions);
        let means = self.means.index_select(0, &positions);
        for (sum, guess) in self.errors.iter_mut().zip([predicted, means]) {
            let squares = (&v - guess).square().view([-1, 2, self.sums.width]);
            *sum += squares.sum_dim_intlist([0, 2].as_slice(), false, Kind::Double);
        }
        self.values += u.numel() as f64;
        Ok(())
    }

    /// The results for the subordinate and the dominant source.
    ///
    /// # Panics
    /// When no pair was evaluated.
    pub fn found(&self) -> [Separation; 2] {
        assert!(self.values > 0.0, "no held-out pair was judged");
        [0, 1].map(|source| {
            let [left, all] = [0, 1].map(|guess| self.errors[guess].double_value(&[source]));
            Separation { mse: left / self.values, r2: 1.0 - left / all.max(f64::MIN_POSITIVE) }
        })
    }
}

#[cfg(test)]
mod tests {
    use bauta_libtorch::normal;

    use super::*;
    use crate::seeded::stream;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    /// Positions of 8 of 16 tokens.
    fn positions(pairs: i64) -> Tensor {
        (Tensor::arange(pairs, (Kind::Int64, Device::Cpu)).unsqueeze(1)
            + Tensor::arange_start_step(0, 16, 2, (Kind::Int64, Device::Cpu)))
        .remainder(16)
    }

    /// Fits and evaluates tokens that `encode` computes from mixtures and sources, in batches.
    fn separate(
        width: usize,
        lambda: f64,
        encode: impl Fn(&Tensor, &Tensor) -> Tensor,
    ) -> [Separation; 2] {
        let positions = positions(250);
        let mut stream = stream("pairs");
        let mut draw = || {
            let [s, m] = [(); 2].map(|()| normal(&[250, 8, width as i64], 1.0, &mut stream));
            let mixed = &s * lambda + &m * (1.0 - lambda);
            [mixed, s, m].map(|x| encode(&x, &positions))
        };
        let mut sums = Separability::new(width, 16, Device::Cpu);
        for _ in 0..8 {
            let [mixed, s, m] = &draw();
            sums.learn(&PairTokens { mixed, sources: [s, m], positions: &positions }).unwrap();
        }
        let mut separator = sums.fit().unwrap();
        for _ in 0..4 {
            let [mixed, s, m] = &draw();
            separator.judge(&PairTokens { mixed, sources: [s, m], positions: &positions }).unwrap();
        }
        separator.found()
    }

    #[test]
    fn white_noise_sits_on_the_anchor() {
        for lambda in [0.1, 0.2, 0.3, 0.4, 0.5] {
            let [s, m] = separate(12, lambda, |x, _| x.shallow_clone());
            assert!((s.r2 - mixture_anchor(lambda)).abs() < 0.02, "{lambda}: {s:?}");
            assert!((m.r2 - mixture_anchor(1.0 - lambda)).abs() < 0.02, "{lambda}: {m:?}");
            // The values have variance 1.
            assert!((s.mse + s.r2 - 1.0).abs() < 0.02);
        }
    }

    #[test]
    fn what_a_position_tells_is_no_separability() {
        // A strong position code that is the same for every image changes nothing.
        let code = normal(&[16, 12], 1.0, &mut stream("code")) * 5.0;
        let with_code = |x: &Tensor, positions: &Tensor| {
            x + code.index_select(0, &positions.flatten(0, -1)).view([250, 8, 12])
        };
        let [s, _] = separate(12, 0.3, with_code);
        assert!((s.r2 - mixture_anchor(0.3)).abs() < 0.02, "{s:?}");
    }

    #[test]
    fn separable_tokens_are_found_so() {
        // Each source has its own half of a mixture's values, which are then rotated.
        let positions = positions(200);
        let halves = |s: &Tensor, m: &Tensor| Tensor::cat(&[s, m], 2);
        let mut stream = stream("separable");
        let (turn, _) = Tensor::linalg_qr(&normal(&[8, 8], 1.0, &mut stream), "reduced");
        let mut draw = || {
            let [s, m] = [(); 2].map(|()| normal(&[200, 8, 4], 1.0, &mut stream));
            let mixed = halves(&(&s * 0.1), &m).matmul(&turn);
            [mixed, halves(&s, &s), halves(&m, &m)]
        };
        let mut sums = Separability::new(8, 16, Device::Cpu);
        let [mixed, s, m] = &draw();
        sums.learn(&PairTokens { mixed, sources: [s, m], positions: &positions }).unwrap();
        let mut separator = sums.fit().unwrap();
        let [mixed, s, m] = &draw();
        separator.judge(&PairTokens { mixed, sources: [s, m], positions: &positions }).unwrap();
        for found in separator.found() {
            assert!(found.r2 > 0.8 && found.r2 <= 1.0, "{found:?}");
        }
    }

    #[test]
    fn batches_do_not_matter_and_constant_tokens_do_no_harm() {
        let positions = positions(6);
        let mut stream = stream("batches");
        let [mixed, s, m] = [(); 3].map(|()| normal(&[6, 8, 3], 1.0, &mut stream));
        let learn = |parts: &[(i64, i64)]| {
            let mut sums = Separability::new(3, 16, Device::Cpu);
            for &(start, length) in parts {
                let part = |x: &Tensor| x.narrow(0, start, length);
                let tokens = [&mixed, &s, &m].map(part);
                let sources = [&tokens[1], &tokens[2]];
                let positions = &part(&positions);
                sums.learn(&PairTokens { mixed: &tokens[0], sources, positions }).unwrap();
            }
            sums.fit().unwrap().weight
        };
        let difference = learn(&[(0, 6)]) - learn(&[(0, 1), (1, 5)]);
        assert!(difference.abs().max().double_value(&[]) < 1e-9);

        let flat = Tensor::ones([6, 8, 3], CPU);
        let tokens = PairTokens { mixed: &flat, sources: [&s, &m], positions: &positions };
        let mut sums = Separability::new(3, 16, Device::Cpu);
        sums.learn(&tokens).unwrap();
        let mut separator = sums.fit().unwrap();
        separator.judge(&tokens).unwrap();
        assert!(separator.found()[0].r2.abs() < 1e-6);
    }

    #[test]
    fn tokens_that_do_not_fit_are_refused() {
        let (positions, tokens) = (positions(2), Tensor::zeros([2, 8, 3], CPU));
        let mut sums = Separability::new(3, 16, Device::Cpu);
        let narrow = tokens.narrow(1, 0, 7);
        let infinite = &tokens + f64::INFINITY;
        for mixed in [&narrow, &infinite] {
            let sources = [&tokens, &tokens];
            let refused = sums.learn(&PairTokens { mixed, sources, positions: &positions });
            assert!(refused.unwrap_err().to_string().contains("mixed tokens"));
        }
        assert!(sums.fit().is_err());
        assert!((mean_cosine(&narrow.ones_like(), &narrow.ones_like()) - 1.0).abs() < 1e-6);
    }
}
