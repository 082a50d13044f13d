//! Import of foreign checkpoints, and export of model folders.

use std::path::Path;

use tch::Device;

use super::{
    ImportOptions, ModelConfig, ModelFolder, Naming, ResNetFolder, VideoFolder, describe,
    read_checkpoint,
};
use crate::ModelError;

impl ModelFolder {
    /// Reads a model folder under either naming scheme, or weights without a configuration, which
    /// is then inferred from their shapes and `options`.
    ///
    /// # Errors
    /// As [`Self::read`], [`read_checkpoint`] and [`describe`]; [`ModelError::Described`] when
    /// `options` are given for a folder, which describes itself.
    pub fn import(from: &Path, options: ImportOptions) -> Result<Self, ModelError> {
        if from.is_dir() {
            return match options == ImportOptions::default() {
                true => Self::read(from),
                false => Err(ModelError::Described(from.into())),
            };
        }
        let tensors = read_checkpoint(from)?;
        let config = describe(&tensors, options)
            .map_err(|error| ModelError::Format { path: from.into(), reason: error.to_string() })?;
        if let ModelConfig::Clip(_) = config {
            tracing::warn!(
                "{}: weights do not show the activation of a CLIP tower; it is taken to be \
                 OpenAI's, QuickGELU; for OpenCLIP's, write \"hidden_act\": \"gelu\" in config.json",
                from.display()
            );
        }
        Ok(Self::new(from.into(), config, tensors))
    }

    /// Writes a model folder, after checking that weights and configuration make a complete model.
    /// Returns a description.
    ///
    /// # Errors
    /// When weights and configuration do not, and as [`Self::write`]; [`ModelError::Occupied`] when
    /// `to` already holds a model. Nothing is written in these cases.
    pub fn export(&self, to: &Path, naming: Naming) -> Result<String, ModelError> {
        let (kind, parameters) = match self.config() {
            ModelConfig::VitMae(_) => {
                ("masked autoencoder", self.masked_autoencoder(Device::Cpu)?.0)
            }
            ModelConfig::Vit(_) => ("ViT", self.vit(Device::Cpu)?.0),
            ModelConfig::Beit(_) if self.tensors().contains_key("head.weight") => {
                ("BEiT with a classifier", self.vit(Device::Cpu)?.0)
            }
            ModelConfig::Beit(_) => ("BEiT", self.beit(Device::Cpu, None)?.0),
            ModelConfig::Clip(_) => ("CLIP tower", self.clip(Device::Cpu, None)?.0),
        };
        if ["config.json", "model.safetensors"].iter().any(|name| to.join(name).exists()) {
            return Err(ModelError::Occupied(to.into()));
        }
        self.write(to, naming)?;
        let ([height, width], [down, right]) =
            (self.config().image_size(), self.config().patch_size());
        Ok(format!(
            "{kind} of {} parameters for images of {} channels and {height} × {width} pixels in \
             patches of {down} × {right}, in {}",
            parameters.count(),
            self.config().channels(),
            to.display()
        ))
    }
}

/// Reads a foreign checkpoint of an image model, residual networks included, or a video model, and
/// writes it as a model folder. Returns a description.
///
/// # Errors
/// As [`VideoFolder::import`], [`ModelFolder::import`] and their `export`.
pub fn import_model(from: &Path, options: ImportOptions, to: &Path) -> Result<String, ModelError> {
    if let Some(residual) = ResNetFolder::import(from)? {
        return residual.export(to, Naming::Timm);
    }
    match VideoFolder::import(from, options)? {
        Some(video) => video.export(to),
        None => ModelFolder::import(from, options)?.export(to, Naming::Timm),
    }
}

/// Rewrites an image or video model's folder under another naming scheme, only its `encoder` if
/// requested. Returns a description.
///
/// # Errors
/// As [`ModelFolder::export`] and [`VideoFolder::export`]; [`ModelError::Config`] for a video model
/// under Hugging Face's names, since it has none.
pub fn export_model(
    from: &Path,
    to: &Path,
    naming: Naming,
    encoder: bool,
) -> Result<String, ModelError> {
    if VideoFolder::describes(from) {
        if naming == Naming::HuggingFace {
            let reason = "Hugging Face has no layout for MAE-ST; write it under MAE's names";
            return Err(ModelError::Config(reason.to_owned()));
        }
        let video = VideoFolder::read(from)?;
        return if encoder { video.into_encoder().export(to) } else { video.export(to) };
    }
    if ResNetFolder::describes(from) {
        return ResNetFolder::read(from)?.export(to, naming);
    }
    let folder = ModelFolder::read(from)?;
    let folder = if encoder { folder.into_encoder()? } else { folder };
    folder.export(to, naming)
}
