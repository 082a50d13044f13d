//! `config.json` of a masked autoencoder, in Hugging Face's layout for `ViTMAEForPreTraining`.

use serde::{Deserialize, Serialize};

use super::EncoderSizes;
use super::encoder_sizes::check_size;
use super::labels::read_architectures;
use crate::{MaeDecoderConfig, ModelError, VitConfig};

/// The keys of `config.json` that affect the outputs; others are ignored when read, and keys that a
/// file leaves out take their defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VitMaeConfig {
    /// Names the architecture to Python readers.
    #[serde(deserialize_with = "read_architectures")]
    pub architectures: Vec<String>,
    /// Always `vit_mae`.
    pub model_type: String,
    /// The encoder's sizes.
    #[serde(flatten)]
    pub sizes: EncoderSizes,
    /// Whether qkv projections have a bias.
    pub qkv_bias: bool,
    /// Width of the decoder.
    pub decoder_hidden_size: usize,
    /// Blocks of the decoder.
    pub decoder_num_hidden_layers: usize,
    /// Attention heads of the decoder.
    pub decoder_num_attention_heads: usize,
    /// Hidden width of the decoder's MLPs.
    pub decoder_intermediate_size: usize,
    /// Fraction of the tokens that are masked in pre-training.
    pub mask_ratio: f64,
    /// Whether targets are normalised within each patch.
    pub norm_pix_loss: bool,
    /// Width of the decoder's output for a token, if it predicts a teacher's features instead of
    /// pixels; not one of Hugging Face's keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature_size: Option<usize>,
    /// Images that the decoder reconstructs separately, each with its own embedding; 1 except in
    /// i-MAE.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub decoder_branches: usize,
}

fn one() -> usize {
    1
}

fn is_one(branches: &usize) -> bool {
    *branches == 1
}

impl Default for VitMaeConfig {
    /// Hugging Face's defaults.
    fn default() -> Self {
        Self {
            architectures: vec![Self::ARCHITECTURE.to_owned()],
            model_type: Self::MODEL_TYPE.to_owned(),
            sizes: EncoderSizes::default(),
            qkv_bias: true,
            decoder_hidden_size: 512,
            decoder_num_hidden_layers: 8,
            decoder_num_attention_heads: 16,
            decoder_intermediate_size: 2048,
            mask_ratio: 0.75,
            norm_pix_loss: false,
            feature_size: None,
            decoder_branches: 1,
        }
    }
}

impl VitMaeConfig {
    /// The file's `model_type`.
    pub const MODEL_TYPE: &str = "vit_mae";
    /// Hugging Face's class.
    pub const ARCHITECTURE: &str = "ViTMAEForPreTraining";

    /// Describes an encoder, its decoder and their pre-training.
    pub fn new(
        encoder: &VitConfig,
        decoder: &MaeDecoderConfig,
        mask_ratio: f64,
        norm_pix_loss: bool,
    ) -> Self {
        Self {
            architectures: vec![Self::ARCHITECTURE.to_owned()],
            model_type: Self::MODEL_TYPE.to_owned(),
            sizes: EncoderSizes::new(encoder),
            qkv_bias: encoder.qkv_bias,
            decoder_hidden_size: decoder.dim,
            decoder_num_hidden_layers: decoder.depth,
            decoder_num_attention_heads: decoder.heads,
            decoder_intermediate_size: decoder.mlp_dim,
            mask_ratio,
            norm_pix_loss,
            feature_size: None,
            decoder_branches: 1,
        }
    }

    /// The same for a decoder that predicts a teacher's features.
    pub fn of_features(encoder: &VitConfig, decoder: &MaeDecoderConfig, mask_ratio: f64) -> Self {
        Self {
            feature_size: Some(decoder.outputs),
            ..Self::new(encoder, decoder, mask_ratio, false)
        }
    }

    /// The encoder's sizes.
    ///
    /// # Errors
    /// [`ModelError::Config`] when patches are not square.
    pub fn encoder(&self) -> Result<VitConfig, ModelError> {
        Ok(VitConfig { qkv_bias: self.qkv_bias, ..self.sizes.vit()? })
    }

    /// The decoder's sizes; it shares the encoder's norms, biases and activation.
    ///
    /// # Errors
    /// [`ModelError::Config`] when patches are not square.
    pub fn decoder(&self) -> Result<MaeDecoderConfig, ModelError> {
        let encoder = self.encoder()?;
        Ok(MaeDecoderConfig {
            encoder_dim: encoder.dim,
            dim: self.decoder_hidden_size,
            depth: self.decoder_num_hidden_layers,
            heads: self.decoder_num_attention_heads,
            mlp_dim: self.decoder_intermediate_size,
            outputs: self.feature_size.unwrap_or(encoder.patch_values()),
            qkv_bias: encoder.qkv_bias,
            layer_norm_eps: encoder.layer_norm_eps,
            activation: encoder.activation,
        })
    }

    /// Names a key with an impossible value, if there is one.
    pub(super) fn check(&self) -> Result<(), String> {
        self.sizes.check()?;
        for (key, size) in [
            ("decoder_hidden_size", Some(self.decoder_hidden_size)),
            ("decoder_num_hidden_layers", Some(self.decoder_num_hidden_layers)),
            ("decoder_num_attention_heads", Some(self.decoder_num_attention_heads)),
            ("decoder_intermediate_size", Some(self.decoder_intermediate_size)),
            ("decoder_branches", Some(self.decoder_branches)),
            ("feature_size", self.feature_size),
        ] {
            size.map_or(Ok(()), |size| check_size(key, size))?;
        }
        let ratio = self.mask_ratio;
        if (0.0..1.0).contains(&ratio) {
            return Ok(());
        }
        Err(format!("mask_ratio {ratio} is not in [0, 1)"))
    }
}
