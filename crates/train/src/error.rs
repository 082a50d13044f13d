//! What can stop a training run.

use std::path::PathBuf;

use thiserror::Error;

/// A training run that cannot start, go on or be resumed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The data ran into trouble.
    #[error(transparent)]
    Data(#[from] bauta_data::DataError),
    /// The model or its files.
    #[error(transparent)]
    Model(#[from] bauta_backbones::ModelError),
    /// libtorch refused a call.
    #[error(transparent)]
    Libtorch(#[from] bauta_libtorch::LibtorchError),
    /// The system's own step.
    #[error("{0}")]
    Objective(String),
    /// The data ended before the schedule.
    #[error("the data ended at step {step} of {steps}")]
    DataEnded {
        /// The step that found no batch.
        step: u64,
        /// Steps of the schedule.
        steps: u64,
    },
    /// A loss or gradient that is not finite.
    #[error(
        "step {step}: loss {loss}, gradient norm {grad_norm}: not finite, training stopped; \
         the batch is in {batch}; lower train.base_lr or set train.clip_grad",
        batch = batch.display()
    )]
    NonFinite {
        /// The first such step.
        step: u64,
        /// Its loss.
        loss: f64,
        /// Its gradient norm.
        grad_norm: f64,
        /// Where the batch was saved.
        batch: PathBuf,
    },
    /// A file of the run's folder.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A checkpoint that cannot be resumed from.
    #[error("{path}: {reason}", path = path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
}

impl TrainError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}
