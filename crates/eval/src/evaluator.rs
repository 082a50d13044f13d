//! A protocol: from features to named metrics.

use std::sync::atomic::AtomicBool;

use crate::{EncodedData, EvalError, Metrics};

/// Measures features by a fixed protocol.
pub trait Evaluator {
    /// The name that recipes and logs use, such as `knn`.
    fn name(&self) -> &str;

    /// A description of the settings that its numbers depend on.
    fn settings(&self) -> String;

    /// Number of labelled training samples that a metric is based on, given the
    /// number in each class.
    ///
    /// # Errors
    /// [`EvalError`] when there are too few, so that this is known before anything
    /// is encoded.
    fn labelled(&self, counts: &[usize]) -> Result<usize, EvalError> {
        Ok(counts.iter().sum())
    }

    /// Runs the protocol: learns from the training split, measures on the test split.
    ///
    /// All random numbers come from streams keyed by `seed`.
    ///
    /// # Errors
    /// [`EvalError`] when the settings do not suit these features.
    fn evaluate(&self, features: &EncodedData, seed: u64) -> Result<Metrics, EvalError> {
        self.evaluate_until(features, seed, &AtomicBool::new(false))
    }

    /// Like [`Self::evaluate`], but ends early once `stop` is set, which should be read a few times
    /// per second.
    ///
    /// # Errors
    /// [`EvalError::Stopped`] when ended early, and those of [`Self::evaluate`].
    fn evaluate_until(
        &self,
        features: &EncodedData,
        seed: u64,
        stop: &AtomicBool,
    ) -> Result<Metrics, EvalError>;
}
