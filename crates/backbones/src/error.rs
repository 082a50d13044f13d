//! What can be wrong with a model's description or its files.

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
    /// Sizes of a transformer that do not fit together.
    #[error("{0}")]
    Config(String),
    /// A tensor of the wrong shape.
    #[error("{what} is {found:?}, the model expects {expected}")]
    Shape {
        /// What was handed over.
        what: &'static str,
        /// Its shape.
        found: Vec<i64>,
        /// What the model expects, in words.
        expected: String,
    },
    /// A file that cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is not what its name says.
    #[error("{path}: {reason}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
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
    /// A folder that describes its model, and of which more was said.
    #[error("{} has its own config.json", .0.display())]
    Described(PathBuf),
    /// A file of weights where a model folder is wanted.
    #[error(
        "{file} is a file, not a model folder; make a folder of it first: \
         cargo xtask import {file} --out DIR",
        file = .0.display()
    )]
    NoFolder(PathBuf),
    /// A folder to write a model to that has one.
    #[error("{} holds a model already; name another folder", .0.display())]
    Occupied(PathBuf),
}
