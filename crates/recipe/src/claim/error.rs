//! Errors of claims.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::error::RecipeError;
use crate::reading::{SettingsError, did_you_mean, shown};

/// An unusable claim. The message names the key, where it stands and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// The file cannot be read.
    #[error("cannot read the claim {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No claim of this name.
    #[error(
        "no claim named {}{}; the claims are: {}",
        shown(name),
        did_you_mean(nearest),
        known.join(", ")
    )]
    Unknown {
        /// The name asked for.
        name: String,
        /// The known name most like it.
        nearest: Option<String>,
        /// Every known name.
        known: Vec<String>,
    },
    /// An invalid key of the claim.
    #[error(transparent)]
    Key(#[from] SettingsError),
    /// An error of the recipe that the claim varies.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
}
