//! Errors that stop a training run.

use std::path::PathBuf;

use thiserror::Error;

/// A training run that cannot start, continue or be resumed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// An error of the data.
    #[error(transparent)]
    Data(#[from] bauta_data::DataError),
    /// The model or its files.
    #[error(transparent)]
    Model(#[from] bauta_backbones::ModelError),
    /// The metrics of the run.
    #[error(transparent)]
    Report(#[from] bauta_report::ReportError),
    /// libtorch refused a call.
    #[error(transparent)]
    Libtorch(#[from] bauta_libtorch::LibtorchError),
    /// The processes of a run.
    #[error(transparent)]
    Ranks(#[from] crate::RanksError),
    /// The objective's own step.
    #[error(transparent)]
    Objective(crate::ObjectiveError),
    /// A setting has a value that it cannot have.
    #[error("{key} = {value}: {rule}")]
    Setting {
        /// The name of the argument or field.
        key: &'static str,
        /// The value given.
        value: String,
        /// The values it can have.
        rule: &'static str,
    },
    /// The data ended before the schedule.
    #[error("the data ended at step {step} of {steps}")]
    DataEnded {
        /// The step of the phase that found no input.
        step: u64,
        /// Steps of the phase.
        steps: u64,
    },
    /// Stopped between two inputs of one step; the step changed nothing.
    #[error("stopped within step {step} of the phase, before its end")]
    StoppedWithin {
        /// The step, counted from 0.
        step: u64,
    },
    /// A loss or gradient that is not finite.
    #[error(
        "step {step}: loss {loss}, gradient norm {grad_norm}: not finite, training stopped; \
         {}; lower the learning rate or clip the gradient",
        where_it_is(batch)
    )]
    NonFinite {
        /// The first such step, counted from 0 over all phases.
        step: u64,
        /// Its loss.
        loss: f64,
        /// Its gradient norm.
        grad_norm: f64,
        /// Where the batch was saved, or why it was not.
        batch: Result<PathBuf, Box<TrainError>>,
    },
    /// A file of the run's folder.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder that another process trains in.
    #[error("another process trains in {}; wait for its end, or name another folder", .0.display())]
    Busy(PathBuf),
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

fn where_it_is(batch: &Result<PathBuf, Box<TrainError>>) -> String {
    match batch {
        Ok(path) => format!("the batch is in {}", path.display()),
        Err(error) => format!("the batch could not be saved ({error})"),
    }
}
