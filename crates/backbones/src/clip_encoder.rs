//! An encoder of clips, of either architecture, for evaluation and fine-tuning.

use tch::Tensor;

use crate::{DropPath, ModelError, Moments, SpacetimeConv, VideoTransformer};

/// A network that computes one feature vector per clip.
#[derive(Debug)]
pub enum ClipEncoder {
    /// A transformer of spacetime patches (MAE-ST, VideoMAE).
    Transformer(Box<VideoTransformer>),
    /// A (2+1)D residual network (ELo).
    Convolution {
        /// The network, which takes clips of any size.
        network: Box<SpacetimeConv>,
        /// Frames, height and width of the clips that it was trained on.
        clip: [usize; 3],
    },
}

impl ClipEncoder {
    /// Computes one feature vector per clip, from normalised [B, C, T, H, W] to [B, D]: a
    /// transformer's [`VideoTransformer::features`], a residual network's embedding.
    ///
    /// `moments` select the moments of a residual network's batch norms; `drop`, the branches that
    /// samples skip, applies to transformers only.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the clips are of another size.
    pub fn features(
        &self,
        clips: &Tensor,
        moments: Moments,
        drop: Option<&DropPath>,
    ) -> Result<Tensor, ModelError> {
        match self {
            Self::Transformer(network) => network.features(clips, drop),
            Self::Convolution { network, .. } => Ok(network.forward(clips, moments)?.embedding),
        }
    }

    /// A description of [`Self::features`].
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Transformer(_) => "mean of the patch tokens",
            Self::Convolution { .. } => "mean of the last feature map",
        }
    }

    /// Width of the features, D.
    pub fn width(&self) -> usize {
        match self {
            Self::Transformer(network) => network.config().vit.dim,
            Self::Convolution { network, .. } => network.config().features(),
        }
    }

    /// Number of layers with learning rates of their own: a transformer's blocks, a residual
    /// network's stages.
    pub fn depth(&self) -> usize {
        match self {
            Self::Transformer(network) => network.config().vit.depth,
            Self::Convolution { network, .. } => network.config().stages.len(),
        }
    }

    /// Frames, height and width of a clip.
    pub fn clip(&self) -> [usize; 3] {
        match self {
            Self::Transformer(network) => {
                let config = network.config();
                [config.frames, config.vit.image_height, config.vit.image_width]
            }
            Self::Convolution { clip, .. } => *clip,
        }
    }

    /// Number of values per channel that a pass keeps for a clip: a transformer's tokens, or the
    /// positions of a residual network's first feature map.
    pub fn places(&self) -> usize {
        match self {
            Self::Transformer(network) => network.grid().tokens(),
            Self::Convolution { clip: [frames, height, width], .. } => {
                frames * height.div_ceil(2) * width.div_ceil(2)
            }
        }
    }

    /// Whether it has branches that samples can skip.
    pub fn has_branches(&self) -> bool {
        matches!(self, Self::Transformer(_))
    }
}
