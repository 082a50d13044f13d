//! Errors from fetching an archive to reading a batch.

use std::io;
use std::path::{Path, PathBuf};

/// An error of data, from fetching to reading; the message names the file, key or image, and the
/// remedy.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The operating system refused to read or write a file or folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder does not hold what was asked for.
    #[error("{} holds no {wanted}; {remedy}", path.display())]
    Absent {
        /// The folder.
        path: PathBuf,
        /// What was looked for.
        wanted: String,
        /// What to do.
        remedy: String,
    },
    /// A file or archive is truncated or malformed.
    #[error("{}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An image cannot be decoded.
    #[error("image {image} cannot be decoded: {problem}")]
    Image {
        /// Its path, or its place in a data set.
        image: String,
        /// What the decoder said.
        problem: String,
    },
    /// A video cannot be read.
    #[error("video {video} cannot be read: {problem}")]
    Video {
        /// Its path, or its place in a data set.
        video: String,
        /// What is wrong with it, and what to do if that is known.
        problem: String,
    },
    /// No image, or no video, of an epoch could be decoded.
    #[error("epoch {epoch}: none of the samples can be decoded; the warnings name them")]
    NoImages {
        /// The epoch, from 0.
        epoch: u64,
    },
    /// An error of a custom input.
    #[error(transparent)]
    Input(Box<dyn std::error::Error + Send + Sync>),
    /// The consumer no longer needs the data.
    #[error("stopped while the data were opened and measured; nothing was trained or written")]
    Stopped,
    /// A setting has an invalid value.
    #[error("{key} = {value}: {rule}")]
    Setting {
        /// The name of the argument or field.
        key: &'static str,
        /// The value given.
        value: String,
        /// The values that it can have.
        rule: String,
    },
    /// A registry's client program is not installed.
    #[error("{client} is not installed; {remedy}")]
    ClientMissing {
        /// The program.
        client: String,
        /// What to install.
        remedy: String,
    },
    /// A registry's client program failed.
    #[error("`{command}` failed: {reason}")]
    ClientFailed {
        /// The command line.
        command: String,
        /// The last line of its standard error, and what to do where that is known.
        reason: String,
    },
    /// A downloaded file does not have the checksum in the table of packages.
    #[error(
        "{file}: sha256 {found}, expected {expected}; it was removed; fetch it again; if the sum \
         is the same then, the registry serves another version here, which cannot be used"
    )]
    Checksum {
        /// Name of the file.
        file: String,
        /// Lower-case hexadecimal sha256 in the table.
        expected: String,
        /// Lower-case hexadecimal sha256 of the file.
        found: String,
    },
}

impl DataError {
    /// Returns a function for `map_err` that adds the path of an operation.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_path_buf(), source }
    }

    /// Builds the error for a setting: `rule` says which values it can have.
    pub fn setting(key: &'static str, value: impl ToString, rule: impl ToString) -> Self {
        Self::Setting { key, value: value.to_string(), rule: rule.to_string() }
    }

    /// Builds the error for wrong contents of the file at `path`.
    pub fn malformed(path: &Path, problem: impl ToString) -> Self {
        Self::Malformed { path: path.to_path_buf(), problem: problem.to_string() }
    }
}
