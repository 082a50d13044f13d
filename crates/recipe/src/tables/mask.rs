//! The `mask` table.

use bauta_masking::{BlockMask, Grid, MaskError, MaskStrategy, Strategy};
use serde::{Deserialize, Serialize};

use super::images::Data;
use super::limits::{MOST_TOKENS, count};
use crate::reading::{Violation, ensure};

/// Which tokens are hidden.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    /// How the hidden tokens are chosen.
    #[serde(default)]
    pub strategy: Strategy,
    /// The fraction of tokens that is hidden, in (0, 1).
    pub ratio: f64,
    /// With strategy `block`: the size of the smallest block, 16 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_block: Option<usize>,
}

impl Mask {
    /// Builds the strategy for a grid.
    ///
    /// # Errors
    /// [`MaskError`] when the ratio cannot be met on this grid.
    pub fn build(&self, grid: Grid) -> Result<Box<dyn MaskStrategy>, MaskError> {
        match self.min_block {
            Some(tokens) if self.strategy == Strategy::Block => {
                Ok(Box::new(BlockMask::new(grid, self.ratio)?.with_min_area(tokens)))
            }
            _ => self.strategy.build(grid, self.ratio),
        }
    }

    /// Checks that images of `data` can be cut into patches and masked.
    ///
    /// # Errors
    /// [`Violation`] for a patch that does not divide the image, a ratio that the grid
    /// cannot meet, or a block for another strategy.
    pub fn check(&self, data: &Data, patch_size: usize) -> Result<(), Violation> {
        let grid = data.grid(patch_size).map_err(|error| {
            let message = format!("{error}; change model.patch_size or data.image_size");
            Violation::new(&["model.patch_size", "data.image_size"], message)
        })?;
        self.check_on(grid, &["model.patch_size", "data.image_size"])
    }

    /// Checks that inputs cut into this grid can be masked; `keys` are those that a grid
    /// comes from.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn check_on(&self, grid: Grid, keys: &[&str]) -> Result<(), Violation> {
        let tokens = grid.tokens();
        ensure(tokens <= MOST_TOKENS, keys, || {
            let input = if grid.time() == 1 { "an image" } else { "a clip" };
            format!(
                "{} cuts {input} into {tokens} tokens; they must be at most {MOST_TOKENS}",
                keys.join(" and ")
            )
        })?;
        self.build(grid).map_err(|error| {
            // It begins with the name of its argument, the ratio.
            let keys = [&["mask.ratio"], keys].concat();
            Violation::new(&keys, format!("mask.{error}"))
        })?;
        let Some(tokens) = self.min_block else { return Ok(()) };
        count("mask.min_block", tokens)?;
        ensure(self.strategy == Strategy::Block, &["mask.min_block", "mask.strategy"], || {
            format!(
                "mask.min_block is only used with mask.strategy \"block\", not with \"{}\"; \
                 remove it",
                self.strategy
            )
        })
    }
}
