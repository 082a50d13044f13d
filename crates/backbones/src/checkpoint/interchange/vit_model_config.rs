//! `config.json` of a plain ViT, in Hugging Face's layout for `ViTModel` and
//! `ViTForImageClassification`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Sides;
use crate::{Activation, ModelError, VitConfig};

/// The fields of `config.json` that change the numbers; the rest is ignored when read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VitModelConfig {
    /// Names the architecture to Python readers.
    pub architectures: Vec<String>,
    /// Always `vit`.
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
    /// Whether qkv products have a bias.
    pub qkv_bias: bool,
    /// The classes' names by index; a classifier has one score for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id2label: Option<BTreeMap<usize, String>>,
    /// The reverse of `id2label`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label2id: Option<BTreeMap<String, usize>>,
}

impl Default for VitModelConfig {
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
            qkv_bias: true,
            id2label: None,
            label2id: None,
        }
    }
}

impl VitModelConfig {
    /// The file's `model_type`.
    pub const MODEL_TYPE: &str = "vit";

    /// Describes an encoder, with a classifier of so many classes, or without one.
    pub fn new(encoder: &VitConfig, classes: Option<usize>) -> Self {
        let architecture = if classes.is_some() { "ViTForImageClassification" } else { "ViTModel" };
        let labels = |count: usize| (0..count).map(|class| (class, format!("LABEL_{class}")));
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
            qkv_bias: encoder.qkv_bias,
            id2label: classes.map(|count| labels(count).collect()),
            label2id: classes.map(|count| labels(count).map(|(id, label)| (label, id)).collect()),
        }
    }

    /// The encoder's sizes.
    ///
    /// # Errors
    /// [`ModelError::Config`] when patches are not square.
    pub fn encoder(&self) -> Result<VitConfig, ModelError> {
        Ok(VitConfig {
            image_height: self.image_size.height(),
            image_width: self.image_size.width(),
            channels: self.num_channels,
            patch_size: self.patch_size.square("patch_size")?,
            dim: self.hidden_size,
            depth: self.num_hidden_layers,
            heads: self.num_attention_heads,
            mlp_dim: self.intermediate_size,
            qkv_bias: self.qkv_bias,
            layer_norm_eps: self.layer_norm_eps,
            activation: self.hidden_act,
        })
    }
}
