//! A protocol: from features to named metrics.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{EvalError, Features};

/// Measures features by a fixed protocol.
pub trait Evaluator {
    /// The name that recipes and logs use, such as `knn`.
    fn name(&self) -> &str;

    /// The settings that its numbers depend on, in words.
    fn settings(&self) -> String;

    /// Labelled training samples that a number learns from, given how many each
    /// class has.
    ///
    /// # Errors
    /// [`EvalError`] when they are too few, so that it is known before anything
    /// is encoded.
    fn labelled(&self, counts: &[usize]) -> Result<usize, EvalError> {
        Ok(counts.iter().sum())
    }

    /// Runs the protocol: learns from the training split, measures on the test split.
    ///
    /// Whatever is random comes from streams keyed by `seed`.
    ///
    /// # Errors
    /// [`EvalError`] when the settings do not suit these features.
    fn evaluate(&self, features: &Features, seed: u64) -> Result<Metrics, EvalError>;
}

/// Numbers by name, in the order of their names; fractions lie in [0, 1].
///
/// ```
/// use bauta_eval::Metrics;
/// let baseline = Metrics::from_iter([("knn_top1", 0.5)]).prefixed("raw_pixels");
/// assert_eq!(baseline.get("raw_pixels.knn_top1"), Some(0.5));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Starts without metrics.
    pub fn new() -> Self {
        Self::default()
    }

    /// The metric of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// All metrics, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, &value)| (name.as_str(), value))
    }

    /// Puts `prefix` and a dot before every name, as baselines are named.
    pub fn prefixed(self, prefix: &str) -> Self {
        self.0.into_iter().map(|(name, value)| (format!("{prefix}.{name}"), value)).collect()
    }
}

impl<N: Into<String>> FromIterator<(N, f64)> for Metrics {
    fn from_iter<I: IntoIterator<Item = (N, f64)>>(metrics: I) -> Self {
        Self(metrics.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl<N: Into<String>> Extend<(N, f64)> for Metrics {
    fn extend<I: IntoIterator<Item = (N, f64)>>(&mut self, metrics: I) {
        self.0.extend(metrics.into_iter().map(|(name, value)| (name.into(), value)));
    }
}

impl IntoIterator for Metrics {
    type Item = (String, f64);
    type IntoIter = std::collections::btree_map::IntoIter<String, f64>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_and_later_values_win() {
        let mut metrics = Metrics::from_iter([("b", 1.0), ("a", 2.0)]);
        metrics.extend([("b", 3.0)]);
        assert_eq!(metrics.iter().collect::<Vec<_>>(), [("a", 2.0), ("b", 3.0)]);
        let both = metrics.clone().prefixed("x").into_iter().chain(metrics).collect::<Metrics>();
        assert_eq!(both.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b", "x.a", "x.b"]);
    }
}
