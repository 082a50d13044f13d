//! The `mask` table.

use std::sync::Arc;

use bauta_masking::{BlockMask, Grid, MaskError, MaskStrategy, Strategy};
use serde::{Deserialize, Serialize};

use super::images::Data;
use super::limits::{MOST_TOKENS, count};
use crate::reading::{Violation, ensure};

/// Which tokens are masked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    /// How the masked tokens are chosen.
    #[serde(default)]
    pub strategy: Strategy,
    /// The fraction of tokens that is masked, in (0, 1).
    pub ratio: f64,
    /// The fraction at the end of a phase, in (0, 1): it changes linearly from `mask.ratio` in the
    /// first epoch to this in the last. If not given, the fraction is constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio_end: Option<f64>,
    /// With strategy `block`: the size of the smallest block, 16 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_block: Option<usize>,
}

impl Mask {
    /// The fraction in epoch `epoch`, counted from 0, of a phase of `epochs` epochs; it stays at
    /// that of the last epoch from there on.
    pub fn ratio_in(&self, epoch: u64, epochs: u32) -> f64 {
        let last = u64::from(epochs.max(1)) - 1;
        match self.ratio_end {
            Some(end) if epoch >= last => end,
            Some(end) => self.ratio + (end - self.ratio) * (epoch as f64 / last as f64),
            None => self.ratio,
        }
    }

    /// The fraction that was used last in training.
    pub fn last_ratio(&self) -> f64 {
        self.ratio_end.unwrap_or(self.ratio)
    }

    /// Builds the strategy for a grid at the first fraction.
    ///
    /// # Errors
    /// [`MaskError`] when the ratio cannot be met on this grid.
    pub fn build(&self, grid: Grid) -> Result<Box<dyn MaskStrategy>, MaskError> {
        self.build_at(self.ratio, grid)
    }

    /// Builds the strategy of each epoch of a phase; a single one if the fraction is constant.
    ///
    /// # Errors
    /// [`MaskError`] when a ratio cannot be met on this grid.
    pub fn build_all(
        &self,
        grid: Grid,
        epochs: u32,
    ) -> Result<Vec<Arc<dyn MaskStrategy>>, MaskError> {
        let epochs = if self.ratio_end.is_some() { epochs.max(1) } else { 1 };
        let at = |epoch| Ok(Arc::from(self.build_at(self.ratio_in(epoch, epochs), grid)?));
        (0..epochs.into()).map(at).collect()
    }

    fn build_at(&self, ratio: f64, grid: Grid) -> Result<Box<dyn MaskStrategy>, MaskError> {
        match self.min_block {
            Some(tokens) if self.strategy == Strategy::Block => {
                Ok(Box::new(BlockMask::new(grid, ratio)?.with_min_area(tokens)))
            }
            _ => self.strategy.build(grid, ratio),
        }
    }

    /// Checks that images of `data` can be cut into patches and masked.
    ///
    /// # Errors
    /// [`Violation`] for a patch that does not divide the image, a ratio that the grid cannot meet,
    /// or a block size with another strategy.
    pub fn check(&self, data: &Data, patch_size: usize) -> Result<(), Violation> {
        let grid = data.grid(patch_size).map_err(|error| {
            let message = format!("{error}; change model.patch_size or data.image_size");
            Violation::new(&["model.patch_size", "data.image_size"], message)
        })?;
        self.check_on(grid, &["model.patch_size", "data.image_size"])
    }

    /// Checks that inputs cut into this grid can be masked; `keys` are those that determine the
    /// grid.
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
            // The message starts with the name of its argument, the ratio.
            let keys = [&["mask.ratio"], keys].concat();
            Violation::new(&keys, format!("mask.{error}"))
        })?;
        if let Some(end) = self.ratio_end {
            self.check_end(end, grid)?;
        }
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

    /// Checks the last fraction; if the grid can meet both ends, it can meet those between.
    fn check_end(&self, end: f64, grid: Grid) -> Result<(), Violation> {
        let fixed = self.strategy == Strategy::Grid && end != self.ratio;
        ensure(!fixed, &["mask.ratio_end", "mask.strategy"], || {
            "mask.ratio_end is not used with mask.strategy \"grid\", which has few fractions; \
             remove it"
                .to_owned()
        })?;
        self.build_at(end, grid).map(drop).map_err(|error| {
            let message = format!("mask.ratio_end: {error}");
            Violation::new(&["mask.ratio_end", "model.patch_size", "data.image_size"], message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fraction_goes_linearly_to_its_end() {
        let mask =
            Mask { strategy: Strategy::Random, ratio: 0.5, ratio_end: Some(0.75), min_block: None };
        let ratios: Vec<f64> = (0..5).map(|epoch| mask.ratio_in(epoch, 3)).collect();
        assert_eq!(ratios, [0.5, 0.625, 0.75, 0.75, 0.75]);
        assert_eq!(mask.ratio_in(0, 1), 0.75, "a single epoch is its last");
        let grid = Grid::image(8, 8).unwrap();
        assert_eq!(mask.build_all(grid, 3).unwrap().len(), 3);
        let fixed = Mask { ratio_end: None, ..mask };
        assert_eq!((fixed.ratio_in(7, 3), fixed.last_ratio()), (0.5, 0.5));
        assert_eq!(fixed.build_all(grid, 3).unwrap().len(), 1);
    }
}
