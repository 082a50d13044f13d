//! Mixup (Zhang et al., arXiv 1710.09412) and CutMix (Yun et al., arXiv 1905.04899).
//!
//! A batch is mixed with itself in reverse order: blended, or a rectangle of each
//! image replaced by its partner's. One λ, the share of an image that is its own,
//! serves the whole batch (timm's batch mode). The draws are plain numbers on the
//! host; tensors are mixed afterwards.

use bauta_streams::{Purpose, RandomStream, StreamKey};
use tch::{Kind, Tensor};

/// How batches are mixed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MixConfig {
    /// λ of a blend is drawn from Beta(`mixup`, `mixup`); with 0, no batch is blended.
    pub mixup: f64,
    /// λ of a replaced rectangle, likewise; with 0, none is replaced. If both are above 0, each
    /// batch is blended with probability ½ and cut otherwise.
    pub cutmix: f64,
}

/// How one batch is mixed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mix {
    /// Not at all.
    None,
    /// λ · image + (1 − λ) · partner.
    Blend(f64),
    /// A rectangle is replaced by the partner's.
    Paste {
        /// First row and the one after the last.
        rows: [usize; 2],
        /// First column and the one after the last.
        columns: [usize; 2],
        /// The part of the area that is the image's own.
        own: f64,
    },
}

impl MixConfig {
    /// Draws the mix of a step's batch of images of `height × width`.
    pub fn draw(&self, seed: u64, step: u64, height: usize, width: usize) -> Mix {
        let key = StreamKey { seed, purpose: Purpose::named("mix"), epoch: 0, sample: step };
        let mut stream = key.stream();
        let cut = match (self.mixup > 0.0, self.cutmix > 0.0) {
            (false, false) => return Mix::None,
            (true, true) => stream.uniform() < 0.5,
            (_, cut) => cut,
        };
        if cut {
            let lambda = beta(self.cutmix, &mut stream);
            Mix::paste(lambda, height, width, &mut stream)
        } else {
            Mix::Blend(beta(self.mixup, &mut stream))
        }
    }
}

impl Mix {
    /// A rectangle of √(1 − λ) of each side around a uniform centre, clipped to the image;
    /// `own` is computed from the clipped rectangle.
    fn paste(lambda: f64, height: usize, width: usize, stream: &mut RandomStream) -> Self {
        let ratio = (1.0 - lambda).sqrt();
        let mut range = |side: usize| {
            let half = (side as f64 * ratio) as usize / 2;
            let centre = stream.below(side as u64) as usize;
            [centre.saturating_sub(half), (centre + half).min(side)]
        };
        let (rows, columns) = (range(height), range(width));
        let area = (rows[1] - rows[0]) * (columns[1] - columns[0]);
        Self::Paste { rows, columns, own: 1.0 - area as f64 / (height * width) as f64 }
    }

    /// The part of each image that is its own, λ.
    pub fn own(&self) -> f64 {
        match *self {
            Self::None => 1.0,
            Self::Blend(lambda) => lambda,
            Self::Paste { own, .. } => own,
        }
    }

    /// Mixes images [B, C, H, W] with their partners.
    pub fn images(&self, images: &Tensor) -> Tensor {
        match *self {
            Self::None => images.shallow_clone(),
            Self::Blend(lambda) => images.flip([0]).lerp(images, lambda),
            Self::Paste { rows, columns, .. } => {
                let part = |x: &Tensor| {
                    let along = |x: Tensor, dim, [start, end]: [usize; 2]| {
                        x.narrow(dim, start as i64, (end - start) as i64)
                    };
                    along(along(x.shallow_clone(), 2, rows), 3, columns)
                };
                let mixed = images.copy();
                part(&mixed).copy_(&part(images).flip([0]));
                mixed
            }
        }
    }

    /// The classifier's targets [B, classes] for the mixed images, from labels \[B\] (i64); rows
    /// sum to 1.
    ///
    /// With `smoothing` s, the label of an unmixed image has the target 1 − s + s / C and every
    /// other class s / C.
    pub fn targets(&self, labels: &Tensor, classes: usize, smoothing: f64) -> Tensor {
        let off = smoothing / classes as f64;
        let one_hot =
            Tensor::zeros([labels.size()[0], classes as i64], (Kind::Float, labels.device()))
                .scatter_value(1, &labels.unsqueeze(1), 1.0);
        let smooth = one_hot * (1.0 - smoothing) + off;
        match self {
            Self::None => smooth,
            _ => smooth.flip([0]).lerp(&smooth, self.own()),
        }
    }
}

/// Mean over the batch of −Σ target · log softmax(logits), both [B, classes].
pub fn soft_cross_entropy(logits: &Tensor, targets: &Tensor) -> Tensor {
    let log = logits.to_kind(Kind::Float).log_softmax(-1, Kind::Float);
    -(log * targets).sum(Kind::Float) / targets.size()[0] as f64
}

/// Draws from Beta(a, a), as one of two draws from Gamma(a) divided by their sum.
fn beta(a: f64, stream: &mut RandomStream) -> f64 {
    let (x, y) = (gamma(a, stream), gamma(a, stream));
    // Both vanish only for shapes so small that λ is 0 or 1 anyway.
    if x + y > 0.0 { x / (x + y) } else { f64::from(stream.uniform().round()) }
}

/// Draws from Gamma(a, 1) (Marsaglia and Tsang 2000; below 1 by Gamma(a + 1) · u^(1/a)).
fn gamma(a: f64, stream: &mut RandomStream) -> f64 {
    if a < 1.0 {
        let power = stream.uniform_in(0.0, 1.0).powf(1.0 / a);
        return gamma(a + 1.0, stream) * power;
    }
    let d = a - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = stream.normal();
        let v = (1.0 + c * x).powi(3);
        let u = stream.uniform_in(0.0, 1.0);
        if v > 0.0 && u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tch::Device;

    use super::*;

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten(0, -1).try_into().unwrap()
    }

    fn near(found: &Tensor, wanted: &[f32]) {
        for (found, wanted) in values(found).iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-6, "{found} instead of {wanted}");
        }
    }

    /// Two images of one channel, 2 × 3 pixels: 0 to 5 and 10 to 15.
    fn images() -> Tensor {
        let first = Tensor::arange(6, (Kind::Float, Device::Cpu)).view([1, 1, 2, 3]);
        Tensor::cat(&[&first, &(&first + 10.0)], 0)
    }

    #[test]
    fn images_are_mixed_with_the_reversed_batch() {
        assert_eq!(Mix::None.images(&images()), images());
        near(&Mix::Blend(0.8).images(&images()).get(0), &[2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let paste = Mix::Paste { rows: [0, 1], columns: [1, 3], own: 4.0 / 6.0 };
        let batch = images();
        near(
            &paste.images(&batch),
            &[0.0, 11.0, 12.0, 3.0, 4.0, 5.0, 10.0, 1.0, 2.0, 13.0, 14.0, 15.0],
        );
        assert_eq!(batch, images(), "the batch itself is left as it is");
    }

    /// The figures are timm's, of `mixup_target` for labels [2, 0], four classes.
    #[test]
    fn targets_equal_timms() {
        let labels = Tensor::from_slice(&[2_i64, 0]);
        let targets = |mix: Mix, smoothing| mix.targets(&labels, 4, smoothing);
        near(
            &targets(Mix::Blend(0.7), 0.1),
            &[0.295, 0.025, 0.655, 0.025, 0.655, 0.025, 0.295, 0.025],
        );
        near(&targets(Mix::None, 0.1), &[0.025, 0.025, 0.925, 0.025, 0.925, 0.025, 0.025, 0.025]);
        near(&targets(Mix::None, 0.0), &[0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    }

    /// ln(e + e² + e³) = 3.4076059644, so −log softmax is 2.4076, 1.4076 and 0.4076.
    #[test]
    fn soft_cross_entropy_equals_its_formula() {
        let logits = Tensor::from_slice(&[1.0_f32, 2.0, 3.0]).view([1, 3]);
        let targets = Tensor::from_slice(&[0.5_f32, 0.25, 0.25]).view([1, 3]);
        let loss = soft_cross_entropy(&logits, &targets).double_value(&[]);
        assert!((loss - (0.5 * 2.407_606 + 0.25 * 1.407_606 + 0.25 * 0.407_606)).abs() < 1e-6);
        let label = Tensor::from_slice(&[2_i64]);
        let hard = logits.cross_entropy_for_logits(&label).double_value(&[]);
        let soft = soft_cross_entropy(&logits, &Mix::None.targets(&label, 3, 0.0));
        assert!((soft.double_value(&[]) - hard).abs() < 1e-6);
    }

    /// Beta(a, a) has mean ½ and variance 1 / (4 (2a + 1)).
    #[test]
    fn draws_have_the_moments_of_the_beta_distribution() {
        for a in [0.2, 0.8, 1.0, 3.0] {
            let key = StreamKey { seed: 0, purpose: Purpose::named("test"), epoch: 0, sample: 0 };
            let mut stream = key.stream();
            let draws: Vec<f64> = (0..20_000).map(|_| beta(a, &mut stream)).collect();
            let mean = draws.iter().sum::<f64>() / 20_000.0;
            let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
            assert!((mean - 0.5).abs() < 0.012, "{a}: mean {mean}");
            let wanted = 0.25 / (2.0 * a + 1.0);
            assert!((variance / wanted - 1.0).abs() < 0.05, "{a}: variance {variance}");
        }
    }

    #[test]
    fn half_of_the_batches_are_blended_and_half_cut() {
        let config = MixConfig { mixup: 0.8, cutmix: 1.0 };
        let mixes: Vec<Mix> = (0..400).map(|step| config.draw(1, step, 32, 32)).collect();
        let blended = mixes.iter().filter(|mix| matches!(mix, Mix::Blend(_))).count();
        assert!((150..250).contains(&blended), "{blended} of 400");
        assert_eq!(config.draw(1, 7, 32, 32), mixes[7]);
        assert_eq!(MixConfig::default().draw(1, 7, 32, 32), Mix::None);
        let only = |mixup, cutmix| MixConfig { mixup, cutmix }.draw(0, 0, 8, 8);
        assert!(matches!(only(0.8, 0.0), Mix::Blend(_)));
        assert!(matches!(only(0.0, 1.0), Mix::Paste { .. }));
    }

    proptest! {
        #[test]
        fn the_part_that_counts_is_the_part_that_is_there(
            height in 1_usize..20, width in 1_usize..20, seed: u64, step in 0_u64..100,
        ) {
            let mix = MixConfig { mixup: 0.0, cutmix: 1.0 }.draw(seed, step, height, width);
            let shape = [1, 1, height as i64, width as i64];
            let ones = Tensor::ones(shape, (Kind::Float, Device::Cpu));
            let both = Tensor::cat(&[&ones, &ones.zeros_like()], 0);
            let own = mix.images(&both).get(0).mean(Kind::Float).double_value(&[]);
            prop_assert!((own - mix.own()).abs() < 1e-6, "{} {:?}", own, mix);
            let targets = mix.targets(&Tensor::from_slice(&[0_i64, 1]), 3, 0.1);
            let sums = targets.sum_dim_intlist([1_i64].as_slice(), false, Kind::Float);
            near(&sums, &[1.0, 1.0]);
        }
    }
}
