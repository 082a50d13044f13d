//! `config.json` of a BEiT v2-style encoder, in Hugging Face's layout for `BeitModel`,
//! `BeitForMaskedImageModeling` and `BeitForImageClassification`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::EncoderSizes;
use super::encoder_sizes::check_size;
use super::labels::{id2label, label2id, read_architectures, read_id2label, read_label2id};
use crate::{BeitConfig, ModelError};

/// The keys of `config.json` that affect the outputs; others are ignored when read, and keys that a
/// file leaves out take their defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BeitModelConfig {
    /// Names the architecture to Python readers.
    #[serde(deserialize_with = "read_architectures")]
    pub architectures: Vec<String>,
    /// Always `beit`.
    pub model_type: String,
    /// Its sizes.
    #[serde(flatten)]
    pub sizes: EncoderSizes,
    /// Outputs of the head that predicts masked patches.
    pub vocab_size: usize,
    /// Initial value of the factors on a block's branches; 0 omits them.
    pub layer_scale_init_value: f64,
    /// Whether there is a mask token.
    pub use_mask_token: bool,
    /// Whether tokens also have learned position embeddings.
    pub use_absolute_position_embeddings: bool,
    /// Whether each block has its own table of biases, as after fine-tuning.
    pub use_relative_position_bias: bool,
    /// Whether all blocks share one table of biases, as after pre-training.
    pub use_shared_relative_position_bias: bool,
    /// Whether the pooler averages the last block's patch tokens and the final norm is applied to
    /// that mean instead of every token.
    pub use_mean_pooling: bool,
    /// The classes' names by index; a classifier has one score for each.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "read_id2label")]
    pub id2label: Option<BTreeMap<usize, String>>,
    /// The reverse of `id2label`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "read_label2id")]
    pub label2id: Option<BTreeMap<String, usize>>,
}

impl Default for BeitModelConfig {
    /// Hugging Face's defaults.
    fn default() -> Self {
        Self {
            architectures: Vec::new(),
            model_type: Self::MODEL_TYPE.to_owned(),
            sizes: EncoderSizes::default(),
            vocab_size: 8192,
            layer_scale_init_value: 0.1,
            use_mask_token: false,
            use_absolute_position_embeddings: false,
            use_relative_position_bias: false,
            use_shared_relative_position_bias: false,
            use_mean_pooling: true,
            id2label: None,
            label2id: None,
        }
    }
}

impl BeitModelConfig {
    /// The file's `model_type`.
    pub const MODEL_TYPE: &str = "beit";
    /// Hugging Face's class for an encoder with a head for masked patches.
    pub const MASKED: &str = "BeitForMaskedImageModeling";

    /// Describes an encoder, with or without a head of this many outputs for masked patches.
    pub fn new(encoder: &BeitConfig, outputs: Option<usize>) -> Self {
        let architecture = if outputs.is_some() { Self::MASKED } else { "BeitModel" };
        Self {
            architectures: vec![architecture.to_owned()],
            model_type: Self::MODEL_TYPE.to_owned(),
            sizes: EncoderSizes::new(&encoder.vit),
            vocab_size: outputs.unwrap_or(8192),
            layer_scale_init_value: encoder.layer_scale.unwrap_or(0.0),
            use_mask_token: true,
            use_absolute_position_embeddings: encoder.absolute_positions,
            use_relative_position_bias: false,
            use_shared_relative_position_bias: true,
            // With a head, the head's norm is the final one; without, it is the encoder's.
            use_mean_pooling: outputs.is_some(),
            id2label: None,
            label2id: None,
        }
    }

    /// Describes a fine-tuned encoder with a table of biases in each block, with a classifier of
    /// `classes` classes or without one.
    ///
    /// With `mean`, the classifier reads the mean of the patch tokens, to which the only norm is
    /// applied, instead of the class token.
    pub fn fine_tuned(encoder: &BeitConfig, classes: Option<usize>, mean: bool) -> Self {
        let classifier = classes.map(|_| vec!["BeitForImageClassification".to_owned()]);
        let alone = Self::new(encoder, None);
        Self {
            architectures: classifier.unwrap_or(alone.architectures),
            use_mask_token: false,
            use_relative_position_bias: true,
            use_shared_relative_position_bias: false,
            use_mean_pooling: mean,
            id2label: classes.map(id2label),
            label2id: classes.map(label2id),
            ..alone
        }
    }

    /// The same encoder with a table in each block, without the mask token and the head for masked
    /// patches, whose norm becomes the encoder's final one.
    pub(super) fn expanded(&self, has_head: bool) -> Self {
        let mut architectures = self.architectures.clone();
        if has_head {
            architectures = vec!["BeitModel".to_owned()];
        }
        Self {
            architectures,
            use_mask_token: false,
            use_relative_position_bias: true,
            use_shared_relative_position_bias: false,
            use_mean_pooling: self.use_mean_pooling && !has_head,
            ..self.clone()
        }
    }

    /// The encoder's sizes.
    ///
    /// # Errors
    /// [`ModelError::Config`] when patches are not square.
    pub fn encoder(&self) -> Result<BeitConfig, ModelError> {
        let scale = self.layer_scale_init_value;
        Ok(BeitConfig {
            vit: self.sizes.vit()?,
            layer_scale: (scale > 0.0).then_some(scale),
            absolute_positions: self.use_absolute_position_embeddings,
        })
    }

    /// The reason why such an encoder cannot be read, if there is one.
    pub(super) fn check(&self) -> Result<(), String> {
        self.sizes.check()?;
        check_size("vocab_size", self.vocab_size)?;
        let unknown = match (
            self.use_relative_position_bias,
            self.use_shared_relative_position_bias,
        ) {
            (true, true) => Some(
                "use_relative_position_bias and use_shared_relative_position_bias are both true",
            ),
            (false, false) => Some(
                "use_relative_position_bias and use_shared_relative_position_bias are both false",
            ),
            _ => None,
        };
        if let Some(unknown) = unknown {
            return Err(format!(
                "{unknown}; a BEiT encoder's blocks must share one table of position biases \
                 (pre-trained) or have one each (fine-tuned)"
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
