//! `config.json` of CLIP's visual tower, in Hugging Face's layout for `CLIPVisionModel`,
//! `CLIPVisionModelWithProjection` and, ignoring the text tower, `CLIPModel`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::encoder_sizes::check_size;
use super::labels::read_architectures;
use super::{EncoderSizes, Sides};
use crate::{Activation, ClipVisionConfig, ModelError};

/// The keys of `config.json` that affect the outputs; others are ignored when read, and keys that a
/// file leaves out take their defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClipModelConfig {
    /// Names the architecture to Python readers.
    #[serde(deserialize_with = "read_architectures")]
    pub architectures: Vec<String>,
    /// Always `clip_vision_model`.
    pub model_type: String,
    /// Its sizes.
    #[serde(flatten)]
    pub sizes: EncoderSizes,
    /// Width of the projection, if the weights hold one.
    pub projection_dim: usize,
}

impl Default for ClipModelConfig {
    /// Hugging Face's defaults.
    fn default() -> Self {
        Self {
            architectures: Vec::new(),
            model_type: Self::MODEL_TYPE.to_owned(),
            sizes: EncoderSizes {
                patch_size: Sides::Square(32),
                hidden_act: Activation::QuickGelu,
                layer_norm_eps: 1e-5,
                ..EncoderSizes::default()
            },
            projection_dim: 512,
        }
    }
}

impl ClipModelConfig {
    /// The file's `model_type`.
    pub const MODEL_TYPE: &str = "clip_vision_model";
    /// The `model_type` of a model of images and texts.
    pub const WITH_TEXTS: &str = "clip";

    /// Describes a tower.
    pub fn new(tower: &ClipVisionConfig) -> Self {
        let architecture = match tower.projection {
            Some(_) => "CLIPVisionModelWithProjection",
            None => "CLIPVisionModel",
        };
        Self {
            architectures: vec![architecture.to_owned()],
            model_type: Self::MODEL_TYPE.to_owned(),
            sizes: EncoderSizes::new(&tower.vit),
            projection_dim: tower.projection.unwrap_or(512),
        }
    }

    /// Extracts the description of the visual tower from that of a model of images and texts.
    pub(super) fn part_of(value: &Value) -> Result<Value, String> {
        let Some(vision) = value.get("vision_config").filter(|vision| vision.is_object()) else {
            return Err("a configuration of images and texts needs a vision_config".into());
        };
        let mut vision = vision.clone();
        if let Some(width) = value.get("projection_dim") {
            vision["projection_dim"] = width.clone();
        }
        vision["model_type"] = Self::MODEL_TYPE.into();
        // Published files have null here.
        vision["architectures"] = vec!["CLIPVisionModelWithProjection"].into();
        Ok(vision)
    }

    /// The tower's sizes, with its projection or without.
    ///
    /// # Errors
    /// [`ModelError::Config`] when patches are not square.
    pub fn tower(&self, projected: bool) -> Result<ClipVisionConfig, ModelError> {
        Ok(ClipVisionConfig {
            vit: self.sizes.vit()?,
            projection: projected.then_some(self.projection_dim),
        })
    }

    /// Names a key with an impossible value, if there is one.
    pub(super) fn check(&self) -> Result<(), String> {
        self.sizes.check()?;
        check_size("projection_dim", self.projection_dim)
    }
}
