//! Pixels in place of a teacher's features.

use bauta_backbones::ImageNormalization;
use bauta_masking::Grid;
use tch::Tensor;

use super::Teacher;
use crate::{TargetError, patchify};

/// The normalised pixels of each patch: MAE's target, as a teacher.
#[derive(Debug)]
pub struct PixelTeacher {
    grid: Grid,
    patch_size: usize,
    normalization: ImageNormalization,
}

impl PixelTeacher {
    /// Cuts images, normalised by `normalization`, into the patches of `grid`.
    pub fn new(grid: Grid, patch_size: usize, normalization: ImageNormalization) -> Self {
        Self { grid, patch_size, normalization }
    }
}

impl Teacher for PixelTeacher {
    fn grid(&self) -> Grid {
        self.grid
    }

    fn dim(&self) -> usize {
        self.normalization.channels() * self.patch_size * self.patch_size
    }

    fn has_class_token(&self) -> bool {
        false
    }

    fn features(&self, pixels: &Tensor) -> Result<Tensor, TargetError> {
        patchify(&self.normalization.normalize(pixels), self.grid)
    }
}
