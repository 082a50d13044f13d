//! The fitness of ELo (section 3.3): how far the sizes of clusters are from Zipf's law.
//!
//! The frequencies of activity classes in videos follow Zipf's law, so a representation whose
//! clusters are classes has clusters of such sizes. This is a weak signal that can be fooled. Sizes
//! are soft, with temperature 1 and features that are centred and scaled to length 1, because with
//! hard counts the ranking of networks is no better than chance. A collapsed representation, whose
//! equal sizes give an unsuspicious number, is recognised by its spread.

use crate::error::EvolveError;
use crate::kmeans::{KMeans, KMeansConfig};
use crate::points::{Points, squared_distance};

/// Lower bound of a share in a logarithm.
const LEAST: f64 = 1e-12;

/// Features with a spread below this count as a single point.
const COLLAPSED: f64 = 1e-4;

/// Zipf's law for `count` ranks: q(i) = i^−s / Σ j^−s, from the largest to the smallest.
pub fn zipf_prior(count: usize, exponent: f64) -> Vec<f64> {
    let raw = (1..=count).map(|rank| (rank as f64).powf(-exponent));
    let total: f64 = raw.clone().sum();
    raw.map(|share| share / total).collect()
}

/// KL(p‖q) = Σ p log(p / q) in nats, at least 0. Shares below 1e-12 are raised to that.
///
/// # Panics
/// When the two have different lengths.
pub fn kl_divergence(p: &[f64], q: &[f64]) -> f64 {
    assert_eq!(p.len(), q.len(), "two distributions over the same classes");
    let sum: f64 = p
        .iter()
        .zip(q)
        .map(|(p, q)| (p.max(LEAST), q.max(LEAST)))
        .map(|(p, q)| p * (p / q).ln())
        .sum();
    sum.max(0.0)
}

/// Sizes of clusters as fractions that sum to 1: the mean over the points of the soft assignment
/// p(cᵢ|x) = exp(−|x − cᵢ|²/τ) / Σⱼ exp(−|x − cⱼ|²/τ).
pub fn soft_sizes(points: &Points, centroids: &Points, temperature: f64) -> Vec<f64> {
    let mut sizes = vec![0.0; centroids.count()];
    for row in points.rows() {
        let distances: Vec<f64> =
            centroids.rows().map(|centroid| f64::from(squared_distance(row, centroid))).collect();
        let least = distances.iter().copied().fold(f64::INFINITY, f64::min);
        let weights: Vec<f64> =
            distances.iter().map(|distance| ((least - distance) / temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        sizes.iter_mut().zip(&weights).for_each(|(size, weight)| *size += weight / total);
    }
    sizes.iter_mut().for_each(|size| *size /= points.count() as f64);
    sizes
}

/// Settings of the fitness.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ZipfFitness {
    /// Number of clusters, k, at least 2; close to the expected number of classes.
    pub clusters: usize,
    /// Exponent of the law, s, at least 0.
    pub exponent: f64,
    /// Temperature of the soft assignment, τ, above 0.
    pub temperature: f64,
    /// Number of clusterings over which the divergence is averaged, at least 1.
    pub draws: u32,
    /// Seed of the clusterings.
    pub seed: u64,
}

/// The fitness of a representation.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitness {
    /// KL(p‖q) in nats, the mean over the draws; lower values are closer to Zipf's law.
    pub divergence: f64,
    /// Sizes of the clusters of the first draw, from the largest to the smallest, as fractions.
    pub sizes: Vec<f64>,
    /// [`Points::spread`] of the features.
    pub spread: f64,
}

impl Fitness {
    /// Whether the features have collapsed to one point, which makes the divergence meaningless.
    pub fn collapsed(&self) -> bool {
        self.spread < COLLAPSED
    }

    /// The cost for a search: the divergence, or the worst possible for a collapsed representation.
    pub fn cost(&self) -> f64 {
        if self.collapsed() { f64::INFINITY } else { self.divergence }
    }
}

impl ZipfFitness {
    /// s of 1, τ of 1, three draws.
    pub fn new(clusters: usize, seed: u64) -> Self {
        Self { clusters, exponent: 1.0, temperature: 1.0, draws: 3, seed }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// The setting that is out of range.
    pub fn check(&self) -> Result<(), EvolveError> {
        if self.clusters < 2 {
            return Err(EvolveError::setting("clusters", self.clusters, "must be at least 2"));
        }
        if !(self.exponent >= 0.0 && self.exponent.is_finite()) {
            return Err(EvolveError::setting("exponent", self.exponent, "must be at least 0"));
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Err(EvolveError::setting("temperature", self.temperature, "must be above 0"));
        }
        if self.draws == 0 {
            return Err(EvolveError::setting("draws", 0, "must be at least 1"));
        }
        Ok(())
    }

    /// Computes the fitness from the features of samples that were not used in training.
    ///
    /// # Errors
    /// When a setting is out of range, or there are fewer samples than clusters.
    pub fn measure(&self, features: &Points) -> Result<Fitness, EvolveError> {
        self.check()?;
        let spread = features.spread();
        let points = features.normalized();
        let prior = zipf_prior(self.clusters, self.exponent);
        let (mut divergence, mut first) = (0.0, None);
        for draw in 0..u64::from(self.draws) {
            // Each draw has its own starts.
            let seed = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(draw);
            let clusters = KMeans::fit(&points, &KMeansConfig::new(self.clusters, seed))?;
            let mut sizes = soft_sizes(&points, clusters.centroids(), self.temperature);
            sizes.sort_by(|a, b| b.total_cmp(a));
            divergence += kl_divergence(&sizes, &prior) / f64::from(self.draws);
            first.get_or_insert(sizes);
        }
        Ok(Fitness { divergence, sizes: first.expect("there is a draw"), spread })
    }
}
