//! Embedding of spacetime patches: a three-dimensional convolution whose kernel and stride are the
//! patch, computed as one matrix product over the visible patches.

use bauta_libtorch::linear;
use tch::Tensor;

use super::VideoConfig;
use crate::{Init, ModelError, Scope, TokenIndices, VitConfig};

/// Embeds patches of a clip as tokens.
#[derive(Debug)]
pub(crate) struct SpacetimePatchEmbed {
    /// Convolution weight [D, C, t, p, p].
    weight: Tensor,
    /// Bias [D].
    bias: Tensor,
    /// C, T, H, W of a clip.
    clip: [i64; 4],
}

impl SpacetimePatchEmbed {
    /// Adds `proj.weight` (Xavier uniform on the flattened matrix) and `proj.bias` (a convolution's
    /// default initialisation, uniform in ±1/√(C·t·p²)).
    ///
    /// # Errors
    /// [`ModelError::Config`] when clips have no channels.
    pub(crate) fn new(mut scope: Scope<'_>, config: &VideoConfig) -> Result<Self, ModelError> {
        let VitConfig { image_height, image_width, channels, patch_size, dim, .. } = config.vit;
        if channels == 0 {
            return Err(ModelError::Config("clips need at least one channel".into()));
        }
        let mut proj = scope.sub("proj");
        let side = patch_size as i64;
        let shape = [dim as i64, channels as i64, config.patch_frames as i64, side, side];
        let bound = 1.0 / (config.patch_values() as f64).sqrt();
        Ok(Self {
            weight: proj.add("weight", &shape, Init::XavierUniform),
            bias: proj.add("bias", &[dim as i64], Init::Uniform(bound)),
            clip: [channels, config.frames, image_height, image_width].map(|side| side as i64),
        })
    }

    /// Embeds every patch: [B, C, T, H, W] to [B, L, D], step by step and row by row.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the clips are of another size.
    pub(crate) fn forward_all(&self, clips: &Tensor) -> Result<Tensor, ModelError> {
        Ok(self.project(&self.patches(clips)?))
    }

    /// Embeds only the visible patches: [B, C, T, H, W] to [B, V, D].
    ///
    /// # Errors
    /// [`ModelError::Shape`] when clips or plan are of another size.
    pub(crate) fn forward_visible(
        &self,
        clips: &Tensor,
        indices: &TokenIndices,
    ) -> Result<Tensor, ModelError> {
        let patches = self.patches(clips)?;
        let (batch, tokens, _) = patches.size3().expect("patches are [B, L, P]");
        if (batch, tokens) != (indices.batch(), indices.tokens()) {
            return Err(ModelError::Shape {
                what: "the mask plan [B, L]",
                found: vec![indices.batch(), indices.tokens()],
                expected: format!("[{batch}, {tokens}]"),
            });
        }
        Ok(self.project(&indices.gather_visible(&patches)))
    }

    /// Cuts [B, C, T, H, W] into [B, L, C·t·p²], each patch in the weight's order
    /// (channel, frame, row, column).
    fn patches(&self, clips: &Tensor) -> Result<Tensor, ModelError> {
        let size = clips.size();
        let [channels, frames, height, width] = self.clip;
        if size.len() != 5 || size[1..] != self.clip {
            return Err(ModelError::Shape {
                what: "the batch of clips",
                found: size,
                expected: format!("[B, {channels}, {frames}, {height}, {width}]"),
            });
        }
        let kernel = self.weight.size();
        let (t, p) = (kernel[2], kernel[3]);
        let (steps, rows, columns) = (frames / t, height / p, width / p);
        Ok(clips
            .reshape([-1, channels, steps, t, rows, p, columns, p])
            .permute([0, 2, 4, 6, 1, 3, 5, 7])
            .reshape([-1, steps * rows * columns, channels * t * p * p]))
    }

    fn project(&self, patches: &Tensor) -> Tensor {
        linear(patches, &self.weight.flatten(1, -1), Some(&self.bias))
            .expect("patches were cut to the weight's size")
    }
}
