//! Sizes of a video transformer.

use bauta_masking::Grid;
use serde::{Deserialize, Serialize};

use crate::{ModelError, VitConfig};

/// Position embeddings of a clip's tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VideoPositions {
    /// A learned table of spatial positions plus a learned table of time steps (MAE-ST).
    #[default]
    Separable,
    /// One learned table for all tokens (PySlowFast's decoder).
    Joint,
    /// One fixed table for all tokens: sines on even and cosines on odd channels (VideoMAE).
    SineCosine,
}

/// Sizes of a video transformer.
///
/// ```
/// use bauta_backbones::{VideoConfig, VitConfig};
/// let config = VideoConfig::new(16, 2, VitConfig::large(224, 16));
/// assert_eq!(config.grid()?.tokens(), 8 * 14 * 14);
/// assert_eq!(config.patch_values(), 2 * 16 * 16 * 3);
/// # Ok::<(), bauta_backbones::ModelError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct VideoConfig {
    /// Frames of a clip, T.
    pub frames: usize,
    /// Frames of a patch, t; must divide `frames`.
    pub patch_frames: usize,
    /// Sizes of a frame, of its patches, and of the blocks.
    pub vit: VitConfig,
    /// Position embeddings of the tokens.
    pub positions: VideoPositions,
    /// Whether a class token precedes the patches.
    pub class_token: bool,
    /// Whether there is a norm after the last block.
    pub final_norm: bool,
}

impl VideoConfig {
    /// MAE-ST's choices for clips of `frames` frames: separable positions, a class token and
    /// a final norm.
    pub fn new(frames: usize, patch_frames: usize, vit: VitConfig) -> Self {
        Self {
            frames,
            patch_frames,
            vit,
            positions: VideoPositions::Separable,
            class_token: true,
            final_norm: true,
        }
    }

    /// The token grid of a clip.
    ///
    /// # Errors
    /// [`ModelError::Geometry`] when the clip is not a multiple of the patch.
    pub fn grid(&self) -> Result<Grid, ModelError> {
        let VitConfig { image_height, image_width, patch_size, .. } = self.vit;
        let clip = [self.frames, image_height, image_width];
        Ok(Grid::of_clip(clip, self.patch_frames, patch_size)?)
    }

    /// Number of values in a patch, C · t · p².
    pub fn patch_values(&self) -> usize {
        self.patch_frames * self.vit.patch_values()
    }

    /// Number of tokens before the patches: 1 with a class token, else 0.
    pub(crate) fn leading(&self) -> usize {
        usize::from(self.class_token)
    }
}
