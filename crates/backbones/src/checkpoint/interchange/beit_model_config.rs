//! `config.json` of a BEiT v2-style encoder, in Hugging Face's layout for `BeitModel` and
//! `BeitForMaskedImageModeling`.

use serde::{Deserialize, Serialize};

use super::Sides;
use crate::{Activation, BeitConfig, ModelError};

/// The fields of `config.json` that change the numbers; the rest is ignored when read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BeitModelConfig {
    /// Names the architecture to Python readers.
    pub architectures: Vec<String>,
    /// Always `beit`.
    pub model_type: String,
    /// Side of square images in pixels, or `[height, width]`.
    pub image_size: Sides,
    /// Patch side in pixels; patches are square.
    pub patch_size: Sides,
    /// Image channels.
    pub num_channels: usize,
    /// Width, D.
    pub hidden_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Hidden width of the MLPs.
    pub intermediate_size: usize,
    /// Nonlinearity of the MLPs.
    pub hidden_act: Activation,
    /// Added to the variance in layer norms.
    pub layer_norm_eps: f64,
    /// Outputs of the head that predicts masked patches.
    pub vocab_size: usize,
    /// What the factors on a block's branches start at; 0 leaves them out.
    pub layer_scale_init_value: f64,
    /// Whether there is a mask token.
    pub use_mask_token: bool,
    /// Whether tokens carry learned positions; such encoders are not read.
    pub use_absolute_position_embeddings: bool,
    /// Whether each block has biases of its own; such encoders are not read.
    pub use_relative_position_bias: bool,
    /// Whether all blocks share one table of biases; others are not read.
    pub use_shared_relative_position_bias: bool,
    /// Whether the pooler reads the mean of the last block's patches, and normalises that
    /// in place of every token.
    pub use_mean_pooling: bool,
}

impl Default for BeitModelConfig {
    /// Hugging Face's defaults, for what a file leaves out.
    fn default() -> Self {
        Self {
            architectures: Vec::new(),
            model_type: Self::MODEL_TYPE.to_owned(),
            image_size: Sides::Square(224),
            patch_size: Sides::Square(16),
            num_channels: 3,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: Activation::Gelu,
            layer_norm_eps: 1e-12,
            vocab_size: 8192,
            layer_scale_init_value: 0.1,
            use_mask_token: false,
            use_absolute_position_embeddings: false,
            use_relative_position_bias: false,
            use_shared_relative_position_bias: false,
            use_mean_pooling: true,
        }
    }
}

impl BeitModelConfig {
    /// The file's `model_type`.
    pub const MODEL_TYPE: &str = "beit";
    /// Hugging Face's class of an encoder with a head for masked patches.
    pub const MASKED: &str = "BeitForMaskedImageModeling";

    /// Describes an encoder, with a head of so many outputs for masked patches, or without.
    pub fn new(encoder: &BeitConfig, outputs: Option<usize>) -> Self {
        let architecture = if outputs.is_some() { Self::MASKED } else { "BeitModel" };
        Self {
            architectures: vec![architecture.to_owned()],
            model_type: Self::MODEL_TYPE.to_owned(),
            image_size: Sides::new(encoder.image_height, encoder.image_width),
            patch_size: Sides::Square(encoder.patch_size),
            num_channels: encoder.channels,
            hidden_size: encoder.dim,
            num_hidden_layers: encoder.depth,
            num_attention_heads: encoder.heads,
            intermediate_size: encoder.mlp_dim,
            hidden_act: encoder.activation,
            layer_norm_eps: encoder.layer_norm_eps,
            vocab_size: outputs.unwrap_or(8192),
            layer_scale_init_value: encoder.layer_scale.unwrap_or(0.0),
            use_mask_token: true,
            use_absolute_position_embeddings: false,
            use_relative_position_bias: false,
            use_shared_relative_position_bias: true,
            // With a head its own norm is the final one; without, the encoder's is.
            use_mean_pooling: outputs.is_some(),
        }
    }

    /// The encoder's sizes.
    ///
    /// # Errors
    /// [`ModelError::Config`] when patches are not square.
    pub fn encoder(&self) -> Result<BeitConfig, ModelError> {
        let scale = self.layer_scale_init_value;
        Ok(BeitConfig {
            image_height: self.image_size.height(),
            image_width: self.image_size.width(),
            channels: self.num_channels,
            patch_size: self.patch_size.square("patch_size")?,
            dim: self.hidden_size,
            depth: self.num_hidden_layers,
            heads: self.num_attention_heads,
            mlp_dim: self.intermediate_size,
            layer_scale: (scale > 0.0).then_some(scale),
            layer_norm_eps: self.layer_norm_eps,
            activation: self.hidden_act,
        })
    }

    /// What keeps such an encoder from being read here.
    pub(super) fn check(&self) -> Result<(), String> {
        let wanted = [
            ("use_shared_relative_position_bias", self.use_shared_relative_position_bias, true),
            ("use_relative_position_bias", self.use_relative_position_bias, false),
            ("use_absolute_position_embeddings", self.use_absolute_position_embeddings, false),
        ];
        if let Some((key, found, _)) = wanted.iter().find(|(_, found, wanted)| found != wanted) {
            return Err(format!(
                "{key} is {found}; of BEiT's encoders, those are read whose blocks share one \
                 table of position biases and whose tokens carry no positions, as pre-training \
                 leaves them"
            ));
        }
        if !self.use_mean_pooling && self.architectures.iter().any(|name| name == Self::MASKED) {
            return Err(format!(
                "use_mean_pooling is false, so {} normalises its tokens twice; set it to true if \
                 they were normalised once in training",
                Self::MASKED
            ));
        }
        Ok(())
    }
}
