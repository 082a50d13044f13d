//! Errors of subnetworks, the order of tasks, and packed files.

use bauta_backbones::ModelError;
use bauta_backbones::checkpoint::Mismatch;
use thiserror::Error;

/// An error of this crate; its message names the argument and its allowed values.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SupermaskError {
    /// An invalid kept fraction.
    #[error("density {0} must be in (0, 1]")]
    Density(f64),
    /// A task out of turn.
    #[error("task {task} cannot begin: {begun} tasks have begun, so the next is task {begun}")]
    Order {
        /// The task, from 0.
        task: usize,
        /// Tasks that have begun.
        begun: usize,
    },
    /// A task that does not exist.
    #[error("there is no task {task}; {begun} tasks have begun, counted from 0")]
    NoTask {
        /// The task, from 0.
        task: usize,
        /// Tasks that have begun.
        begun: usize,
    },
    /// A label outside the classes of a task.
    #[error("labels run from {least} to {most}; those of a task must be in 0..{classes}")]
    Labels {
        /// The smallest label found.
        least: i64,
        /// The largest label found.
        most: i64,
        /// Classes of a task.
        classes: usize,
    },
    /// An invalid value of an argument.
    #[error("{key} is {value}; it must be {rule}")]
    Setting {
        /// The argument.
        key: &'static str,
        /// Its value.
        value: String,
        /// The allowed values.
        rule: String,
    },
    /// A packed file that cannot be used.
    #[error("{path}: {reason}", path = path.display())]
    Packed {
        /// The file.
        path: std::path::PathBuf,
        /// The problem and how to solve it.
        reason: String,
    },
    /// Saved tensors of another network or another number of tasks.
    #[error("{0}")]
    Mismatch(Mismatch),
    /// An error from the network.
    #[error(transparent)]
    Model(#[from] ModelError),
}
