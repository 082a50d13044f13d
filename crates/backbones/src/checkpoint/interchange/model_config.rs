//! The model in a folder's `config.json`, by its `model_type`.

#[cfg(test)]
mod tests;

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::encoder_sizes::check_heads;
use super::{BeitModelConfig, ClipModelConfig, EncoderSizes, VitMaeConfig, VitModelConfig};
use crate::checkpoint::regular_file;

/// The model in a folder's `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ModelConfig {
    /// A masked autoencoder: encoder and decoder.
    VitMae(VitMaeConfig),
    /// A plain ViT, with or without a head.
    Vit(VitModelConfig),
    /// A BEiT v2-style encoder, with a head for masked patches, a classifier or neither.
    Beit(BeitModelConfig),
    /// CLIP's visual tower.
    Clip(ClipModelConfig),
}

impl ModelConfig {
    /// Its kind, with an article.
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

    /// Reads the description in a `config.json`, Hugging Face's or ours.
    ///
    /// The error names the key that is wrong.
    pub(super) fn of(value: &Value) -> Result<Self, String> {
        let model_type = value.get("model_type").and_then(Value::as_str);
        let config = match model_type {
            Some(VitMaeConfig::MODEL_TYPE) => parse(value).map(Self::VitMae),
            Some(VitModelConfig::MODEL_TYPE) => {
                match value.get("pooler_act").and_then(Value::as_str) {
                    None | Some("tanh") => parse(value).map(Self::Vit),
                    Some(other) => Err(format!("pooler_act \"{other}\" is not tanh")),
                }
            }
            Some(BeitModelConfig::MODEL_TYPE) => parse(value).map(Self::Beit),
            Some(ClipModelConfig::MODEL_TYPE) => parse(value).map(Self::Clip),
            Some(ClipModelConfig::WITH_TEXTS) => {
                parse(&ClipModelConfig::part_of(value)?).map(Self::Clip)
            }
            _ => Err(format!(
                "model_type {} is not supported; supported are vit, vit_mae, beit, \
                 clip_vision_model and clip, resnet, videomae, and timm's folders, which have an \
                 architecture",
                model_type.map_or("(none)".to_owned(), |found| format!("\"{found}\""))
            )),
        }?;
        match &config {
            Self::VitMae(config) => config.check(),
            Self::Vit(config) => config.sizes.check(),
            Self::Beit(config) => config.check(),
            Self::Clip(config) => config.check(),
        }?;
        let part = value.get("vision_config").filter(|_| matches!(config, Self::Clip(_)));
        let (said, sizes) = (part.unwrap_or(value), config.sizes());
        check_heads(said, "", sizes.num_attention_heads, sizes.hidden_size)?;
        if let Self::VitMae(mae) = &config {
            let (heads, width) = (mae.decoder_num_attention_heads, mae.decoder_hidden_size);
            check_heads(said, "decoder_", heads, width)?;
        }
        Ok(config)
    }
}

/// A folder's `config.json`; null if it cannot be read.
pub(super) fn said(folder: &Path) -> Value {
    let text = regular_file::read_text(&folder.join("config.json")).ok();
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Reads a description, filling in the defaults of its kind. If that fails, keys are read one by
/// one, so that the error names the one that is wrong.
pub(super) fn parse<T>(value: &Value) -> Result<T, String>
where
    T: Default + Serialize + DeserializeOwned,
{
    let default = serde_json::to_value(T::default()).expect("a configuration is plain values");
    let given: Vec<_> = value.as_object().into_iter().flatten().collect();
    let mut whole = default.clone();
    for (key, value) in &given {
        whole[key.as_str()] = (*value).clone();
    }
    let error = match T::deserialize(&whole) {
        Ok(config) => return Ok(config),
        Err(error) => error,
    };
    for (key, value) in given {
        let mut single = default.clone();
        single[key.as_str()] = value.clone();
        if let Err(error) = T::deserialize(&single) {
            return Err(format!("{key}: {}", plain(&error)));
        }
    }
    Err(plain(&error))
}

/// A serde error with type names in plain words.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.replace("expected usize", "expected an integer of at least 0")
        .replace("expected f64", "expected a number")
}
