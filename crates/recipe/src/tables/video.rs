//! The `model`, `decoder` and `target` tables of video transformers.

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

use super::limits::{check_weights, count};
use super::target::TargetKind;
use super::vit::{check_blocks, check_heads};
use crate::reading::{Violation, ensure};

/// A vision transformer of spacetime patches (MAE-ST's encoder).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VideoVit {
    /// Frames of a patch; must divide `data.clip.frames`.
    pub patch_frames: usize,
    /// Patch side in pixels.
    pub patch_size: usize,
    /// Width of a token, D.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads; must divide `dim`.
    pub heads: usize,
    /// Hidden width of a block's MLP, as a multiple of `dim`.
    #[serde(default = "mlp_ratio")]
    pub mlp_ratio: f64,
    /// The kind of position embedding.
    #[serde(default)]
    pub positions: SpacetimePositions,
}

/// The transformer that predicts masked spacetime patches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VideoDecoder {
    /// Width of a token.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads; must divide `dim`.
    pub heads: usize,
    /// The kind of position embedding.
    #[serde(default)]
    pub positions: SpacetimePositions,
    /// The token before the patches.
    #[serde(default)]
    pub class_token: ClassToken,
}

/// Frames of the clip itself must be predicted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FrameTarget {
    /// The kind of target: `pixels` or `normalized-pixels`.
    pub kind: TargetKind,
    /// Which frames are predicted.
    pub frames: PredictedFrames,
    /// Number of frames that are predicted; one per time step if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
}

/// Positions of spacetime tokens, by the names that recipes use.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum SpacetimePositions {
    /// A table of spatial positions plus a table of time steps (MAE-ST).
    #[default]
    Separable,
    /// One table of all tokens.
    Joint,
    /// One table of all tokens that is not learned: sines and cosines (VideoMAE).
    SineCosine,
}

/// The token before the patches in a decoder, by the names that recipes use.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum ClassToken {
    /// A learned token of its own (facebookresearch/mae_st).
    #[default]
    Own,
    /// The encoder's (PySlowFast).
    Encoder,
}

/// Frames that are predicted of a clip, by the names that recipes use.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum PredictedFrames {
    /// Equally spaced from the first to the last, truncated to whole numbers: of 16 frames 0, 2, …,
    /// 12 and 15 (facebookresearch/mae_st).
    #[default]
    Linspace,
    /// Every second, or third, and so on, from the first: 0, 2, …, 14 (PySlowFast).
    Stride,
}

fn mlp_ratio() -> f64 {
    4.0
}

impl VideoVit {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for sizes that do not fit a transformer.
    pub fn check(&self) -> Result<(), Violation> {
        count("model.patch_frames", self.patch_frames)?;
        check_blocks(self.patch_size, self.dim, self.depth, self.mlp_ratio)?;
        check_heads("model.heads", self.heads, "model.dim", self.dim)
    }
}

impl VideoDecoder {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for sizes that do not fit a transformer.
    pub fn check(&self) -> Result<(), Violation> {
        count("decoder.depth", self.depth)?;
        check_weights("decoder", self.dim, self.depth, 4.0)?;
        check_heads("decoder.heads", self.heads, "decoder.dim", self.dim)
    }
}

impl FrameTarget {
    /// Whether each patch's pixels are standardised.
    pub fn normalizes(&self) -> bool {
        self.kind == TargetKind::NormalizedPixels
    }

    /// Checks what types cannot say, for clips of `frames` frames cut into `steps` time steps, in a
    /// recipe of `system`.
    ///
    /// # Errors
    /// [`Violation`] for another kind of target, or frames that cannot be divided among the steps.
    pub fn check(&self, system: &str, frames: usize, steps: usize) -> Result<(), Violation> {
        self.kind.check(&[TargetKind::Pixels, TargetKind::NormalizedPixels], system)?;
        let count = self.count.unwrap_or(steps);
        let fits = count > 0 && count <= frames && count.is_multiple_of(steps);
        ensure(fits, &["target.count", "data.clip.frames", "model.patch_frames"], || {
            format!(
                "target.count is {count}; it must be a multiple of the {steps} steps of time, \
                 and at most the {frames} frames of a clip"
            )
        })
    }
}
