//! A protocol: from features to named metrics.

use std::sync::atomic::AtomicBool;

use crate::{EncodedData, EvalError, Metrics};

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
    fn evaluate(&self, features: &EncodedData, seed: u64) -> Result<Metrics, EvalError> {
        self.evaluate_until(features, seed, &AtomicBool::new(false))
    }

    /// The same, ended early once `stop` is set, which should be read a few times a second.
    ///
    /// # Errors
    /// [`EvalError::Stopped`] then, and those of [`Self::evaluate`].
    fn evaluate_until(
        &self,
        features: &EncodedData,
        seed: u64,
        stop: &AtomicBool,
    ) -> Result<Metrics, EvalError>;
}
