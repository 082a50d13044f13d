//! How an encoder is applied: which parts of its images it sees, and which branches it skips.

use tch::Tensor;

use crate::{DropPath, LayerNorm, ModelError, Moments, TokenIndices};

/// The part of the images that an encoder sees.
#[derive(Clone, Copy, Debug, Default)]
pub enum Seen<'a> {
    /// Every patch, in image order: L tokens.
    #[default]
    Whole,
    /// Only the visible patches, in plan order: V tokens (MAE §3).
    Visible(&'a TokenIndices),
    /// The visible patches, and the mask token in place of each masked one, in image order:
    /// L tokens (BEiT).
    MaskTokens(&'a TokenIndices),
}

/// Options of [`crate::ImageEncoder::encode`].
///
/// ```
/// use bauta_backbones::{Encode, Parameters, VisionTransformer, VitConfig};
/// use tch::{Device, Kind, Tensor};
///
/// let mut parameters = Parameters::new(0, Device::Cpu);
/// let encoder = VisionTransformer::new(parameters.root(), &VitConfig::nano(8, 4))?;
/// let images = Tensor::zeros([2, 3, 8, 8], (Kind::Float, Device::Cpu));
/// assert_eq!(encoder.encode(&images, Encode::whole())?.size(), [2, 1 + 4, 128]);
/// let raw = encoder.encode(&images, Encode::whole().without_norm())?;
/// assert_eq!(raw.size(), [2, 1 + 4, 128]);
/// # Ok::<(), bauta_backbones::ModelError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Encode<'a> {
    /// The part of the images that is seen.
    pub seen: Seen<'a>,
    /// Which samples skip which branches of the blocks; `None` skips nothing.
    pub drop_path: Option<&'a DropPath>,
    /// Whether the final norm is applied, where the encoder has one.
    pub final_norm: bool,
    /// The moments of batch norms, where the encoder has some.
    pub moments: Moments,
}

impl<'a> Encode<'a> {
    /// The whole images, after the final norm.
    pub fn whole() -> Self {
        let moments = Moments::Running;
        Self { seen: Seen::Whole, drop_path: None, final_norm: true, moments }
    }

    /// Only the visible patches, after the final norm.
    pub fn visible(indices: &'a TokenIndices) -> Self {
        Self { seen: Seen::Visible(indices), ..Self::whole() }
    }

    /// All patches with the masked ones replaced by the mask token, after the final norm.
    pub fn mask_tokens(indices: &'a TokenIndices) -> Self {
        Self { seen: Seen::MaskTokens(indices), ..Self::whole() }
    }

    /// The same with samples that skip branches of the blocks.
    pub fn dropping(self, drop_path: Option<&'a DropPath>) -> Self {
        Self { drop_path, ..self }
    }

    /// The same with the outputs of the last block, before the final norm.
    pub fn without_norm(self) -> Self {
        Self { final_norm: false, ..self }
    }

    /// The same with these moments of batch norms.
    pub fn with_moments(self, moments: Moments) -> Self {
        Self { moments, ..self }
    }

    /// Applies the final norm to the last block's tokens, if requested.
    pub(crate) fn finish(self, tokens: Tensor, norm: Option<&LayerNorm>) -> Tensor {
        match norm.filter(|_| self.final_norm) {
            Some(norm) => norm.forward(&tokens),
            None => tokens,
        }
    }
}

/// The error of an encoder that cannot leave masked patches out.
pub(crate) fn needs_every_token(encoder: &str) -> ModelError {
    ModelError::Config(format!(
        "{encoder} needs a token for every patch, so masked ones cannot be left out; \
         ask for whole images or for mask tokens"
    ))
}

/// The error of an encoder without a mask token.
pub(crate) fn no_mask_token(encoder: &str) -> ModelError {
    ModelError::Config(format!(
        "{encoder} has no mask token to put in place of masked patches; ask for whole images"
    ))
}
