//! Errors of a model's description or its files.

use std::path::PathBuf;

use bauta_masking::MaskError;
use thiserror::Error;

/// An impossible configuration or an unusable checkpoint. The message says what to change.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// An image or patch size that gives no token grid.
    #[error(transparent)]
    Geometry(#[from] MaskError),
    /// Sizes of a model that do not fit together.
    #[error("{0}")]
    Config(String),
    /// A tensor of the wrong shape.
    #[error("{what} is {found:?}, the model expects {expected}")]
    Shape {
        /// The name of the tensor.
        what: &'static str,
        /// Its shape.
        found: Vec<i64>,
        /// The expected shape.
        expected: String,
    },
    /// A file that cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file whose content is not what its name says.
    #[error("{path}: {reason}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The problem and how to solve it.
        reason: String,
    },
    /// A checkpoint of another model.
    #[error("{path} does not fit the model: {mismatch}", path = path.display())]
    Mismatch {
        /// The checkpoint.
        path: PathBuf,
        /// The names that are missing, unexpected or mis-shaped.
        mismatch: crate::checkpoint::Mismatch,
    },
    /// Options given for a folder that already describes its model.
    #[error("{} has its own config.json", .0.display())]
    Described(PathBuf),
    /// A file of weights where a model folder is wanted.
    #[error(
        "{file} is a file, not a model folder; make a folder of it first: \
         cargo xtask import {file} --out DIR",
        file = .0.display()
    )]
    NoFolder(PathBuf),
    /// An output folder that already holds a model.
    #[error("{} holds a model already; name another folder", .0.display())]
    Occupied(PathBuf),
}
