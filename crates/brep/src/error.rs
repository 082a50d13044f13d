//! What can be wrong with a part or its file.

use std::io;
use std::path::PathBuf;

/// Why a part cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrepError {
    /// A setting that makes no sense.
    #[error("{key} = {value}: {rule}")]
    Setting {
        /// Its name.
        key: &'static str,
        /// Its value.
        value: String,
        /// What would do.
        rule: &'static str,
    },
    /// A part that does not fit together.
    #[error("the part cannot be used: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
    /// A file that is no prepared part.
    #[error("{}: not a prepared part: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder that is no folder of prepared parts.
    #[error(
        "{}: not a folder of prepared parts: {reason}; make one with `cargo xtask \
         prepare-step`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder without files to prepare.
    #[error("{}: {reason}", path.display())]
    StepFolder {
        /// The folder.
        path: PathBuf,
        /// What it lacks.
        reason: String,
    },
    /// A file or folder that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file that cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}
