//! Errors of a siamese network.

use bauta_backbones::ModelError;
use bauta_libtorch::LibtorchError;
use thiserror::Error;

/// Sizes that do not fit together, or an error of a network or of libtorch.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SiameseError {
    /// A setting out of its range; the message names it and the allowed values.
    #[error("{0}")]
    Config(String),
    /// An error of the encoder or its input.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// libtorch refused a call.
    #[error(transparent)]
    Libtorch(#[from] LibtorchError),
}
