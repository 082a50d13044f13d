//! What a folder's `config.json` describes, told by its `model_type`.

#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{BeitModelConfig, ClipModelConfig, EncoderSizes, VitMaeConfig, VitModelConfig};
use crate::ModelError;

/// What a folder's `config.json` describes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ModelConfig {
    /// A masked autoencoder: encoder and decoder.
    VitMae(VitMaeConfig),
    /// A plain ViT, with a head or without.
    Vit(VitModelConfig),
    /// A BEiT v2-style encoder, with a head for masked patches, a classifier or neither.
    Beit(BeitModelConfig),
    /// CLIP's visual tower.
    Clip(ClipModelConfig),
}

impl ModelConfig {
    /// What it is, with its article.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::VitMae(_) => "a masked autoencoder",
            Self::Vit(_) => "a plain ViT",
            Self::Beit(_) => "a BEiT",
            Self::Clip(_) => "a CLIP tower",
        }
    }

    /// The encoder's sizes.
    pub fn sizes(&self) -> &EncoderSizes {
        match self {
            Self::VitMae(config) => &config.sizes,
            Self::Vit(config) => &config.sizes,
            Self::Beit(config) => &config.sizes,
            Self::Clip(config) => &config.sizes,
        }
    }

    /// Image channels, C.
    pub fn channels(&self) -> usize {
        self.sizes().num_channels
    }

    /// Height and width of the images in pixels.
    pub fn image_size(&self) -> [usize; 2] {
        let image = self.sizes().image_size;
        [image.height(), image.width()]
    }

    /// Height and width of a patch in pixels.
    pub fn patch_size(&self) -> [usize; 2] {
        let patch = self.sizes().patch_size;
        [patch.height(), patch.width()]
    }

    /// Reads a `config.json`.
    pub(super) fn read(path: &Path) -> Result<Self, ModelError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ModelError::Io { path: path.into(), source })?;
        let format = |reason: String| ModelError::Format { path: path.into(), reason };
        let value: Value =
            serde_json::from_str(&text).map_err(|error| format(error.to_string()))?;
        Self::of(&value).map_err(format)
    }

    fn of(value: &Value) -> Result<Self, String> {
        let model_type = value.get("model_type").and_then(Value::as_str);
        match model_type {
            Some(VitMaeConfig::MODEL_TYPE) => parse(value).map(Self::VitMae),
            Some(VitModelConfig::MODEL_TYPE) => {
                match value.get("pooler_act").and_then(Value::as_str) {
                    None | Some("tanh") => parse(value).map(Self::Vit),
                    Some(other) => Err(format!("pooler_act \"{other}\" is not tanh")),
                }
            }
            Some(BeitModelConfig::MODEL_TYPE) => {
                let config: BeitModelConfig = parse(value)?;
                config.check()?;
                Ok(Self::Beit(config))
            }
            Some(ClipModelConfig::MODEL_TYPE) => parse(value).map(Self::Clip),
            Some(ClipModelConfig::WITH_TEXTS) => {
                parse(&ClipModelConfig::part_of(value)?).map(Self::Clip)
            }
            _ => Err(format!(
                "model_type {} is not read here; vit_mae and vit are, beit, clip_vision_model \
                 and clip",
                model_type.map_or("(none)".to_owned(), |found| format!("\"{found}\""))
            )),
        }
    }
}

/// Reads a description over the default of its kind, key by key, so that an error names the
/// key that is wrong.
fn parse<T>(value: &Value) -> Result<T, String>
where
    T: Default + Serialize + DeserializeOwned,
{
    let mut config = T::default();
    let mut keys = serde_json::to_value(&config).expect("a configuration is plain values");
    for (key, value) in value.as_object().into_iter().flatten() {
        keys[key] = value.clone();
        config = T::deserialize(&keys).map_err(|error| format!("{key}: {error}"))?;
    }
    Ok(config)
}
