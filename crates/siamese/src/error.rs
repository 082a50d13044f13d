//! Errors of a siamese network.

use bauta_backbones::ModelError;
use bauta_libtorch::LibtorchError;
use thiserror::Error;

/// Sizes that do not fit together, or what a network or libtorch refuses.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SiameseError {
    /// A setting out of its range; the message names it and the allowed values.
    #[error("{0}")]
    Config(String),
    /// The encoder's or its input's refusal.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// libtorch's refusal.
    #[error(transparent)]
    Libtorch(#[from] LibtorchError),
}
