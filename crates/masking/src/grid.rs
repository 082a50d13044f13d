//! Token geometry: how an image or a clip is cut into tokens.

use serde::{Deserialize, Serialize};

use crate::MaskError;

/// A rectangular arrangement of tokens: time × height × width, counted in tokens.
///
/// An image has `time` 1. The token at time `t`, row `r` and column `c` has the
/// index `(t · height + r) · width + c`, so images run row by row.
///
/// ```
/// use bauta_masking::Grid;
/// let grid = Grid::image(14, 14)?;
/// assert_eq!(grid.tokens(), 196);
/// assert_eq!(grid.index(0, 1, 0), 14);
/// # Ok::<(), bauta_masking::MaskError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grid {
    time: usize,
    height: usize,
    width: usize,
}

impl Grid {
    /// Creates a grid of `time` × `height` × `width` tokens.
    ///
    /// # Errors
    /// [`MaskError::EmptyGrid`] when a side is zero.
    pub fn new(time: usize, height: usize, width: usize) -> Result<Self, MaskError> {
        if time == 0 || height == 0 || width == 0 {
            return Err(MaskError::EmptyGrid { time, height, width });
        }
        Ok(Self { time, height, width })
    }

    /// Creates the grid of one image, `height` × `width` tokens.
    ///
    /// # Errors
    /// [`MaskError::EmptyGrid`] when a side is zero.
    pub fn image(height: usize, width: usize) -> Result<Self, MaskError> {
        Self::new(1, height, width)
    }

    /// Cuts an image of `height` × `width` pixels into square patches of `patch` pixels.
    ///
    /// # Errors
    /// [`MaskError::PatchSize`] when a side is not a multiple of `patch`,
    /// [`MaskError::EmptyGrid`] when a side is zero.
    pub fn of_image(height: usize, width: usize, patch: usize) -> Result<Self, MaskError> {
        if patch == 0 || !height.is_multiple_of(patch) || !width.is_multiple_of(patch) {
            return Err(MaskError::PatchSize { height, width, patch });
        }
        Self::image(height / patch, width / patch)
    }

    /// Cuts a clip of `frames` frames of `height` × `width` pixels into spacetime patches of
    /// `patch_frames` frames of `patch` × `patch` pixels.
    ///
    /// # Errors
    /// [`MaskError::PatchFrames`] when `frames` is not a multiple of `patch_frames`, and as
    /// [`Self::of_image`].
    pub fn of_clip(
        [frames, height, width]: [usize; 3],
        patch_frames: usize,
        patch: usize,
    ) -> Result<Self, MaskError> {
        if patch_frames == 0 || !frames.is_multiple_of(patch_frames) {
            return Err(MaskError::PatchFrames { frames, patch: patch_frames });
        }
        let step = Self::of_image(height, width, patch)?;
        Self::new(frames / patch_frames, step.height, step.width)
    }

    /// One time step of this grid.
    #[must_use]
    pub fn step(&self) -> Self {
        Self { time: 1, ..*self }
    }

    /// Number of tokens along time; 1 for an image.
    pub fn time(&self) -> usize {
        self.time
    }

    /// Number of token rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Number of token columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of tokens, L.
    pub fn tokens(&self) -> usize {
        self.time * self.height * self.width
    }

    /// Index of the token at time `time`, row `row`, column `column`.
    ///
    /// # Panics
    /// In debug builds, when the position lies outside the grid.
    pub fn index(&self, time: usize, row: usize, column: usize) -> usize {
        debug_assert!(time < self.time && row < self.height && column < self.width);
        (time * self.height + row) * self.width + column
    }
}
