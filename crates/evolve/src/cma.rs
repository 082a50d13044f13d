//! CMA-ES (Hansen, arXiv 1604.00772): a normal distribution that moves towards low costs.
//!
//! The equations are those of the tutorial, without negative weights: recombination of the better
//! half, step size from the path p_σ, covariance by rank one (p_c) and rank μ.
//!
//! Points outside the box are moved to its border when they are drawn, and the distribution learns
//! from the moved points. So its mean stays in the box, up to rounding, and only the order of the
//! costs matters. A penalty for the distance from the box would have to be weighed against costs
//! whose range is not known: of 29 weights with σ = 1/4, one or two leave the box in most points.

use bauta_streams::{Purpose, StreamKey};
use nalgebra::{DMatrix, SymmetricEigen};
use serde::{Deserialize, Serialize};

/// Lower and upper bounds of σ; the box has side 1.
const STEPS: [f64; 2] = [1e-10, 1e3];

/// The distribution N(m, σ² C) and its paths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CmaEs {
    pub(crate) mean: Vec<f64>,
    pub(crate) step: f64,
    /// C, in row-major order.
    covariance: Vec<f64>,
    step_path: Vec<f64>,
    covariance_path: Vec<f64>,
    /// Number of updates, for the bias correction of the path p_σ.
    updates: u32,
}

/// The constants for n dimensions and a population size.
struct Constants {
    weights: Vec<f64>,
    mueff: f64,
    c_step: f64,
    damping: f64,
    c_path: f64,
    c_one: f64,
    c_mu: f64,
    /// E |N(0, I)|.
    norm: f64,
}

impl Constants {
    fn new(dimensions: usize, population: usize) -> Self {
        let n = dimensions as f64;
        let mu = (population / 2).max(1);
        let raw = (1..=mu).map(|rank| (mu as f64 + 0.5).ln() - (rank as f64).ln());
        let total: f64 = raw.clone().sum();
        let weights: Vec<f64> = raw.map(|weight| weight / total).collect();
        let mueff = 1.0 / weights.iter().map(|weight| weight * weight).sum::<f64>();
        let c_step = (mueff + 2.0) / (n + mueff + 5.0);
        let c_one = 2.0 / ((n + 1.3).powi(2) + mueff);
        let c_mu =
            (2.0 * (mueff - 2.0 + 1.0 / mueff) / ((n + 2.0).powi(2) + mueff)).min(1.0 - c_one);
        Self {
            weights,
            mueff,
            c_step,
            damping: 1.0 + c_step + 2.0 * (((mueff - 1.0) / (n + 1.0)).sqrt() - 1.0).max(0.0),
            c_path: (4.0 + mueff / n) / (n + 4.0 + 2.0 * mueff / n),
            c_one,
            c_mu,
            norm: n.sqrt() * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n * n)),
        }
    }
}

/// The published default: 4 + ⌊3 ln n⌋.
pub(crate) fn usual_population(dimensions: usize) -> usize {
    4 + (3.0 * (dimensions as f64).ln()).floor() as usize
}

impl CmaEs {
    /// Starts in the centre of the box, with a sphere of radius `step`.
    pub(crate) fn new(dimensions: usize, step: f64) -> Self {
        let identity =
            (0..dimensions.pow(2)).map(|i| f64::from(u8::from(i / dimensions == i % dimensions)));
        Self {
            mean: vec![0.5; dimensions],
            step,
            covariance: identity.collect(),
            step_path: vec![0.0; dimensions],
            covariance_path: vec![0.0; dimensions],
            updates: 0,
        }
    }

    /// The mean, without the rounding that can put it outside the box.
    pub(crate) fn centre(&self) -> Vec<f64> {
        self.mean.iter().map(|x| x.clamp(0.0, 1.0)).collect()
    }

    /// Eigenvalues of C, and its eigenvectors as columns.
    fn eigen(&self) -> (Vec<f64>, DMatrix<f64>) {
        let n = self.mean.len();
        let found = SymmetricEigen::new(DMatrix::from_row_slice(n, n, &self.covariance));
        (found.eigenvalues.iter().copied().collect(), found.eigenvectors)
    }

    /// Draws a generation's points in the box.
    pub(crate) fn draw(&self, population: usize, seed: u64, generation: u32) -> Vec<Vec<f64>> {
        let (n, (values, vectors)) = (self.mean.len(), self.eigen());
        let purpose = Purpose::named("candidates by CMA-ES");
        let point = |sample: usize| {
            let key =
                StreamKey { seed, purpose, epoch: u64::from(generation), sample: sample as u64 };
            let mut stream = key.stream();
            // D z, before the rotation by B.
            let scaled: Vec<f64> =
                values.iter().map(|value| value.max(0.0).sqrt() * stream.normal()).collect();
            let along = |row: usize| -> f64 {
                vectors.row(row).iter().zip(&scaled).map(|(b, x)| b * x).sum()
            };
            (0..n).map(|row| (self.mean[row] + self.step * along(row)).clamp(0.0, 1.0)).collect()
        };
        (0..population).map(point).collect()
    }

    /// Moves towards the points of low cost; non-finite costs are the highest. A generation without
    /// any finite cost changes nothing.
    pub(crate) fn update(&mut self, drawn: &[Vec<f64>], costs: &[f64]) {
        if !costs.iter().any(|cost| cost.is_finite()) {
            return;
        }
        let finite = |place: usize| Some(costs[place]).filter(|cost| cost.is_finite());
        let cost = |place: usize| finite(place).unwrap_or(f64::INFINITY);
        let mut order: Vec<usize> = (0..drawn.len()).collect();
        order.sort_by(|&a, &b| cost(a).total_cmp(&cost(b)));
        self.recombine(&order.iter().map(|&place| &*drawn[place]).collect::<Vec<_>>());
    }

    /// The update itself, with points ordered from the best to the worst.
    fn recombine(&mut self, ranked: &[&[f64]]) {
        let n = self.mean.len();
        let constants = Constants::new(n, ranked.len());
        let Constants { ref weights, mueff, c_step, damping, c_path, c_one, c_mu, norm } =
            constants;
        let steps: Vec<Vec<f64>> = ranked[..weights.len()]
            .iter()
            .map(|point| point.iter().zip(&self.mean).map(|(x, m)| (x - m) / self.step).collect())
            .collect();
        let y: Vec<f64> =
            (0..n).map(|i| steps.iter().zip(weights).map(|(step, w)| w * step[i]).sum()).collect();

        // C^{-1/2} y = B D^{-1} B^T y.
        let (values, vectors) = self.eigen();
        let turned: Vec<f64> = (0..n)
            .map(|j| {
                let along: f64 = vectors.column(j).iter().zip(&y).map(|(b, y)| b * y).sum();
                along / values[j].max(f64::MIN_POSITIVE).sqrt()
            })
            .collect();
        let kept = (c_step * (2.0 - c_step) * mueff).sqrt();
        for i in 0..n {
            let white: f64 = vectors.row(i).iter().zip(&turned).map(|(b, x)| b * x).sum();
            self.step_path[i] = (1.0 - c_step) * self.step_path[i] + kept * white;
        }
        self.updates += 1;
        let length = dot(&self.step_path, &self.step_path).sqrt();
        let started = (1.0 - (1.0 - c_step).powf(2.0 * f64::from(self.updates))).sqrt();
        // A path that grows too fast is not followed, so that the step size can catch up first.
        let follow = length / started < (1.4 + 2.0 / (n as f64 + 1.0)) * norm;
        let kept = f64::from(u8::from(follow)) * (c_path * (2.0 - c_path) * mueff).sqrt();
        for (path, y) in self.covariance_path.iter_mut().zip(&y) {
            *path = (1.0 - c_path) * *path + kept * y;
        }
        let missing = if follow { 0.0 } else { c_path * (2.0 - c_path) };
        for i in 0..n {
            // Both halves come from one formula, so that C stays exactly symmetric.
            for j in 0..=i {
                let rank_one = self.covariance_path[i] * self.covariance_path[j];
                let rank_mu: f64 =
                    steps.iter().zip(weights).map(|(step, w)| w * (step[i] * step[j])).sum();
                let old = self.covariance[i * n + j];
                let new = (1.0 - c_one - c_mu + c_one * missing) * old
                    + c_one * rank_one
                    + c_mu * rank_mu;
                (self.covariance[i * n + j], self.covariance[j * n + i]) = (new, new);
            }
        }
        for (mean, y) in self.mean.iter_mut().zip(&y) {
            *mean += self.step * y;
        }
        let change = (c_step / damping * (length / norm - 1.0)).exp();
        self.step = (self.step * change).clamp(STEPS[0], STEPS[1]);
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_constants_of_29_dimensions() {
        assert_eq!(usual_population(29), 14);
        let constants = Constants::new(29, 14);
        assert_eq!(constants.weights.len(), 7);
        assert!((constants.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        // Computed from the tutorial's table with numpy.
        let expected = [4.287_135_1, 0.164_210_1, 1.164_210_1, 0.124_575_7];
        let found = [constants.mueff, constants.c_step, constants.damping, constants.c_path];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    proptest! {
        #[test]
        fn covariance_is_positive_definite_and_the_step_positive(
            seed: u64, n in 1_usize..6, costs in prop::collection::vec(prop::num::f64::ANY, 12 * 8),
        ) {
            let mut search = CmaEs::new(n, 0.25);
            for (generation, costs) in costs.chunks(8).enumerate() {
                let drawn = search.draw(8, seed, generation as u32);
                search.update(&drawn, costs);
                prop_assert!(search.step > 0.0 && search.step.is_finite());
                prop_assert!(search.mean.iter().all(|x| (-1e-12..=1.0 + 1e-12).contains(x)));
                let (values, _) = search.eigen();
                prop_assert!(values.iter().all(|value| *value > 0.0), "{values:?}");
                for i in 0..n {
                    for j in 0..n {
                        prop_assert_eq!(search.covariance[i * n + j], search.covariance[j * n + i]);
                    }
                }
            }
        }

        #[test]
        fn only_the_order_of_the_costs_counts(seed: u64, step in 0.01_f64..1.0) {
            let mut searches = [CmaEs::new(4, step), CmaEs::new(4, step)];
            for generation in 0..4 {
                let drawn = searches[0].draw(8, seed, generation);
                prop_assert_eq!(&drawn, &searches[1].draw(8, seed, generation));
                let costs: Vec<f64> = drawn.iter().map(|point| point[0] + point[1] * point[2]).collect();
                let others: Vec<f64> = costs.iter().map(|cost| cost.exp() * 1e-3 - 5.0).collect();
                searches[0].update(&drawn, &costs);
                searches[1].update(&drawn, &others);
            }
            prop_assert_eq!(&searches[0], &searches[1]);
        }
    }
}
