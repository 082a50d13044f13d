//! `config.json` of a plain ViT, in Hugging Face's layout for `ViTModel` and
//! `ViTForImageClassification`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::EncoderSizes;
use super::labels::{id2label, label2id, read_architectures, read_id2label, read_label2id};
use crate::{ModelError, VitConfig};

/// The keys of `config.json` that affect the outputs; others are ignored when read, and keys that a
/// file leaves out take their defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VitModelConfig {
    /// Names the architecture to Python readers.
    #[serde(deserialize_with = "read_architectures")]
    pub architectures: Vec<String>,
    /// Always `vit`.
    pub model_type: String,
    /// Its sizes.
    #[serde(flatten)]
    pub sizes: EncoderSizes,
    /// Whether qkv projections have a bias.
    pub qkv_bias: bool,
    /// The classes' names by index; a classifier has one score for each.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "read_id2label")]
    pub id2label: Option<BTreeMap<usize, String>>,
    /// The reverse of `id2label`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "read_label2id")]
    pub label2id: Option<BTreeMap<String, usize>>,
}

impl Default for VitModelConfig {
    /// Hugging Face's defaults.
    fn default() -> Self {
        Self {
            architectures: Vec::new(),
            model_type: Self::MODEL_TYPE.to_owned(),
            sizes: EncoderSizes::default(),
            qkv_bias: true,
            id2label: None,
            label2id: None,
        }
    }
}

impl VitModelConfig {
    /// The file's `model_type`.
    pub const MODEL_TYPE: &str = "vit";

    /// Describes an encoder, with a classifier of `classes` classes or without one.
    pub fn new(encoder: &VitConfig, classes: Option<usize>) -> Self {
        let architecture = if classes.is_some() { "ViTForImageClassification" } else { "ViTModel" };
        Self {
            architectures: vec![architecture.to_owned()],
            model_type: Self::MODEL_TYPE.to_owned(),
            sizes: EncoderSizes::new(encoder),
            qkv_bias: encoder.qkv_bias,
            id2label: classes.map(id2label),
            label2id: classes.map(label2id),
        }
    }

    /// The encoder's sizes.
    ///
    /// # Errors
    /// [`ModelError::Config`] when patches are not square.
    pub fn encoder(&self) -> Result<VitConfig, ModelError> {
        Ok(VitConfig { qkv_bias: self.qkv_bias, ..self.sizes.vit()? })
    }
}
