//! How samples that cannot be read or decoded are handled.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use bauta_datasets::{DataError, OnError};

/// Judges the failures of a batch, and reports each sample once.
pub(crate) struct Unreadable {
    on_error: OnError,
    /// Indices of the corrupt samples that have been reported.
    reported: Mutex<HashSet<u64>>,
}

impl Unreadable {
    pub(crate) fn new(on_error: OnError) -> Self {
        Self { on_error, reported: Mutex::default() }
    }

    /// Returns which of the samples with these indices failed and are to be left out.
    ///
    /// # Errors
    /// The first failure, if failures stop the batches.
    pub(crate) fn judge(
        &self,
        failures: Vec<Option<DataError>>,
        indices: &[u64],
        describe: impl Fn(usize) -> String,
    ) -> Result<Vec<bool>, DataError> {
        let failed = failures.iter().map(Option::is_some).collect();
        for (error, &index) in failures.into_iter().zip(indices) {
            match (error, self.on_error) {
                (None, _) => {}
                (Some(error), OnError::Stop) => return Err(error),
                (Some(error), OnError::Skip) => {
                    // A set of numbers is valid even if a thread panicked while it held the lock.
                    let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
                    if reported.insert(index) {
                        let sample = describe(index as usize);
                        tracing::warn!(%sample, %error, "leaving out a sample");
                    }
                }
            }
        }
        Ok(failed)
    }
}
