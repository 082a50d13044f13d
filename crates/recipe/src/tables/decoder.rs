//! The `decoder` table.

use serde::{Deserialize, Serialize};

use super::limits::{check_weights, count};
use super::vit::{check_heads, check_sin_cos};
use crate::reading::Violation;

/// The transformer that predicts masked patches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decoder {
    /// Width of a token.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads; must divide `dim`.
    pub heads: usize,
}

impl Decoder {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for sizes that do not fit a transformer with 2-D sin-cos positions.
    pub fn check(&self) -> Result<(), Violation> {
        count("decoder.depth", self.depth)?;
        check_sin_cos("decoder.dim", self.dim)?;
        // Its perceptrons are four times as wide as its tokens.
        check_weights("decoder", self.dim, self.depth, 4.0)?;
        check_heads("decoder.heads", self.heads, "decoder.dim", self.dim)
    }
}
