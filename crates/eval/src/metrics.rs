//! Metrics by name, and a run's metrics next to its baselines'.

use std::collections::BTreeMap;
use std::collections::btree_map::IntoIter;

use serde::Serialize;

/// Metrics in the order of their names; fractions are in [0, 1].
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
    /// An empty set of metrics.
    pub fn new() -> Self {
        Self::default()
    }

    /// The metric called `name`.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// All metrics, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, &value)| (name.as_str(), value))
    }

    /// Puts `prefix` and a dot before every name, as in the names of baselines.
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
    type IntoIter = IntoIter<String, f64>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A run's metrics, and their baselines.
///
/// Both have the same names, apart from the prefix that names the baseline.
///
/// ```
/// use bauta_eval::{Metrics, Scores};
/// let mut scores = Scores::from(Metrics::from_iter([("knn_top1", 0.7)]));
/// scores.extend_baseline("raw_pixels", Metrics::from_iter([("knn_top1", 0.5)]));
/// let scores = scores.prefixed("task1");
/// assert_eq!(scores.eval.get("task1.knn_top1"), Some(0.7));
/// assert_eq!(scores.baseline.get("raw_pixels.task1.knn_top1"), Some(0.5));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// Metrics of the trained model, by name.
    pub eval: Metrics,
    /// Metrics of the baselines, named by the baseline, a dot and the metric.
    pub baseline: Metrics,
}

impl Scores {
    /// Adds other metrics; of two with the same name the later is kept.
    pub fn extend(&mut self, other: Self) {
        self.eval.extend(other.eval);
        self.baseline.extend(other.baseline);
    }

    /// Adds the metrics of a baseline.
    pub fn extend_baseline(&mut self, name: &str, metrics: Metrics) {
        self.baseline.extend(metrics.prefixed(name));
    }

    /// Puts `prefix` and a dot before every metric's name, after the name of a baseline.
    pub fn prefixed(self, prefix: &str) -> Self {
        let within = |(name, value): (String, f64)| match name.split_once('.') {
            Some((baseline, metric)) => (format!("{baseline}.{prefix}.{metric}"), value),
            None => (format!("{prefix}.{name}"), value),
        };
        let baseline = self.baseline.into_iter().map(within).collect();
        Self { eval: self.eval.prefixed(prefix), baseline }
    }
}

impl From<Metrics> for Scores {
    fn from(eval: Metrics) -> Self {
        Self { eval, baseline: Metrics::new() }
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
