//! `config.json` of CLIP's visual tower, in Hugging Face's layout for `CLIPVisionModel`,
//! `CLIPVisionModelWithProjection` and, with the texts' part left out, `CLIPModel`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Sides;
use crate::{Activation, ClipVisionConfig, ModelError};

/// The fields of `config.json` that change the numbers; the rest is ignored when read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClipModelConfig {
    /// Names the architecture to Python readers.
    pub architectures: Vec<String>,
    /// Always `clip_vision_model`.
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
    /// Width of the projection, if the weights hold one.
    pub projection_dim: usize,
}

impl Default for ClipModelConfig {
    /// Hugging Face's defaults, for what a file leaves out.
    fn default() -> Self {
        Self {
            architectures: Vec::new(),
            model_type: Self::MODEL_TYPE.to_owned(),
            image_size: Sides::Square(224),
            patch_size: Sides::Square(32),
            num_channels: 3,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            projection_dim: 512,
        }
    }
}

impl ClipModelConfig {
    /// The file's `model_type`.
    pub const MODEL_TYPE: &str = "clip_vision_model";
    /// The `model_type` of images and texts together.
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
            image_size: Sides::new(tower.image_height, tower.image_width),
            patch_size: Sides::Square(tower.patch_size),
            num_channels: tower.channels,
            hidden_size: tower.dim,
            num_hidden_layers: tower.depth,
            num_attention_heads: tower.heads,
            intermediate_size: tower.mlp_dim,
            hidden_act: tower.activation,
            layer_norm_eps: tower.layer_norm_eps,
            projection_dim: tower.projection.unwrap_or(512),
        }
    }

    /// The images' part of a description of images and texts.
    pub(super) fn of_both(value: &Value) -> Result<Self, String> {
        let Some(vision) = value.get("vision_config").filter(|vision| vision.is_object()) else {
            return Err("a description of images and texts needs its vision_config".into());
        };
        let mut vision = vision.clone();
        if let Some(width) = value.get("projection_dim") {
            vision["projection_dim"] = width.clone();
        }
        vision["model_type"] = Self::MODEL_TYPE.into();
        // Published files have null here.
        vision["architectures"] = vec!["CLIPVisionModelWithProjection"].into();
        Self::deserialize(vision).map_err(|error| error.to_string())
    }

    /// The tower's sizes, with its projection or without.
    ///
    /// # Errors
    /// [`ModelError::Config`] when patches are not square.
    pub fn tower(&self, projected: bool) -> Result<ClipVisionConfig, ModelError> {
        Ok(ClipVisionConfig {
            image_height: self.image_size.height(),
            image_width: self.image_size.width(),
            channels: self.num_channels,
            patch_size: self.patch_size.square("patch_size")?,
            dim: self.hidden_size,
            depth: self.num_hidden_layers,
            heads: self.num_attention_heads,
            mlp_dim: self.intermediate_size,
            projection: projected.then_some(self.projection_dim),
            activation: self.hidden_act,
            layer_norm_eps: self.layer_norm_eps,
        })
    }
}
