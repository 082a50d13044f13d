//! How to continue a stopped command.

use std::path::Path;

use bauta_eval::EvalError;

/// Adds how to continue what was stopped: in the folder that is `kept`, with --resume.
pub(crate) fn stopped(error: EvalError, kept: Option<&Path>) -> anyhow::Error {
    match (error, kept) {
        (error @ (EvalError::TrainingStopped { .. } | EvalError::Stopped), Some(_)) => {
            anyhow::anyhow!("{error}; go on with the same command and --resume")
        }
        (EvalError::TrainingStopped { step }, None) => anyhow::anyhow!(
            "stopped at step {step} of training; nothing is kept, because no folder was named"
        ),
        (error, _) => error.into(),
    }
}
