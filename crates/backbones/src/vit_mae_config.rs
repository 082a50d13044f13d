//! `config.json` of a masked autoencoder, in Hugging Face's layout for `ViTMAEForPreTraining`.

use serde::{Deserialize, Serialize};

use crate::{Activation, MaeDecoderConfig, VitConfig};

/// The fields of `config.json` that change the numbers; the rest is ignored when read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VitMaeConfig {
    /// Names the architecture to Python readers.
    pub architectures: Vec<String>,
    /// Always `vit_mae`.
    pub model_type: String,
    /// Side of square images in pixels, or `[height, width]`.
    pub image_size: Sides,
    /// Patch side in pixels.
    pub patch_size: usize,
    /// Image channels.
    pub num_channels: usize,
    /// Width of the encoder, D.
    pub hidden_size: usize,
    /// Blocks of the encoder.
    pub num_hidden_layers: usize,
    /// Attention heads of the encoder.
    pub num_attention_heads: usize,
    /// Hidden width of the encoder's MLPs.
    pub intermediate_size: usize,
    /// Nonlinearity of the MLPs.
    pub hidden_act: Activation,
    /// Added to the variance in layer norms.
    pub layer_norm_eps: f64,
    /// Whether qkv products have a bias.
    pub qkv_bias: bool,
    /// Width of the decoder.
    pub decoder_hidden_size: usize,
    /// Blocks of the decoder.
    pub decoder_num_hidden_layers: usize,
    /// Attention heads of the decoder.
    pub decoder_num_attention_heads: usize,
    /// Hidden width of the decoder's MLPs.
    pub decoder_intermediate_size: usize,
    /// Fraction of the tokens that pre-training hides.
    pub mask_ratio: f64,
    /// Whether targets are standardised within each patch.
    pub norm_pix_loss: bool,
}

/// A length in pixels for both sides, or `[height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Sides {
    /// Both sides.
    Square(usize),
    /// `[height, width]`.
    Rectangle([usize; 2]),
}

impl VitMaeConfig {
    /// Describes an encoder, its decoder and how they are pre-trained.
    pub fn new(
        encoder: &VitConfig,
        decoder: &MaeDecoderConfig,
        mask_ratio: f64,
        norm_pix_loss: bool,
    ) -> Self {
        let image_size = if encoder.image_height == encoder.image_width {
            Sides::Square(encoder.image_height)
        } else {
            Sides::Rectangle([encoder.image_height, encoder.image_width])
        };
        Self {
            architectures: vec!["ViTMAEForPreTraining".to_owned()],
            model_type: "vit_mae".to_owned(),
            image_size,
            patch_size: encoder.patch_size,
            num_channels: encoder.channels,
            hidden_size: encoder.dim,
            num_hidden_layers: encoder.depth,
            num_attention_heads: encoder.heads,
            intermediate_size: encoder.mlp_dim,
            hidden_act: encoder.activation,
            layer_norm_eps: encoder.layer_norm_eps,
            qkv_bias: encoder.qkv_bias,
            decoder_hidden_size: decoder.dim,
            decoder_num_hidden_layers: decoder.depth,
            decoder_num_attention_heads: decoder.heads,
            decoder_intermediate_size: decoder.mlp_dim,
            mask_ratio,
            norm_pix_loss,
        }
    }
}
