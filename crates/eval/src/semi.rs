//! Linear probing with few labels: 1 % and 10 % of the training split.

use std::sync::atomic::AtomicBool;

use crate::subset::{class_balanced, enough, per_class};
use crate::{EncodedData, EvalError, Evaluator, LinearProbe, Metrics};

/// Trains a linear probe on a class-balanced part of the training split; with 1 %
/// the metrics are `linear_1pct_top1` and, with more than five classes,
/// `linear_1pct_top5`.
///
/// The samples of the part are determined by labels and seed ([`class_balanced`]).
/// The learning rate is chosen on a tenth of the part; no other labels are used.
#[derive(Clone, Debug)]
pub struct SemiSupervised {
    /// Percentage of the training split, in (0, 100].
    pub percent: f64,
    /// How the probe is trained.
    pub probe: LinearProbe,
}

impl SemiSupervised {
    fn per_class(&self, counts: &[usize]) -> Result<usize, EvalError> {
        if !(self.percent > 0.0 && self.percent <= 100.0) {
            let (name, expected) = ("percent", "above 0 and at most 100");
            return Err(EvalError::Setting { name, value: self.percent, expected });
        }
        let wanted = per_class(counts.iter().sum(), counts.len(), self.percent);
        enough(counts, wanted)?;
        Ok(wanted)
    }
}

impl Evaluator for SemiSupervised {
    fn name(&self) -> &str {
        "semi"
    }

    fn settings(&self) -> String {
        format!("{} % of the labels, class-balanced; {}", self.percent, self.probe.settings())
    }

    fn labelled(&self, counts: &[usize]) -> Result<usize, EvalError> {
        Ok(self.per_class(counts)? * counts.len())
    }

    /// # Errors
    /// [`EvalError::TooFew`] when a class has too few training samples to be
    /// balanced, and those of [`LinearProbe`].
    fn evaluate_until(
        &self,
        features: &EncodedData,
        seed: u64,
        stop: &AtomicBool,
    ) -> Result<Metrics, EvalError> {
        let classes = features.classes() as usize;
        let per_class = self.per_class(&features.training_counts())?;
        let labels = features.train().labels_on_host();
        let part = class_balanced(&labels, classes, per_class, seed, 0)?;
        let metrics = self.probe.evaluate_until(&features.with_training_part(&part), seed, stop)?;
        let prefix = format!("linear_{}pct", self.percent);
        Ok(metrics
            .into_iter()
            .map(|(name, value)| (name.replacen("linear", &prefix, 1), value))
            .collect())
    }
}
