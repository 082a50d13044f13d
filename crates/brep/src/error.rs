//! Errors of a part or its file.

use std::io;
use std::path::{Path, PathBuf};

/// The reason why a part cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrepError {
    /// An invalid setting.
    #[error("{key} = {value}: {rule}")]
    Setting {
        /// Its name.
        key: &'static str,
        /// Its value.
        value: String,
        /// The allowed values.
        rule: &'static str,
    },
    /// A part whose data are inconsistent.
    #[error("the part cannot be used: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
    /// A file that is not a prepared part.
    #[error("{}: not a prepared part: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder that does not contain prepared parts.
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

impl BrepError {
    /// The error of a walk through a folder: what cannot be read is named, such as a link whose
    /// target does not exist.
    pub(crate) fn of_walk(folder: &Path, error: walkdir::Error) -> Self {
        Self::Read { path: error.path().unwrap_or(folder).to_owned(), source: error.into() }
    }
}
