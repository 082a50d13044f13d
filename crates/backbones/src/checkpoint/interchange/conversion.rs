//! Foreign checkpoints in, model folders for others out.

use std::path::Path;

use tch::Device;

use super::{ImportOptions, ModelConfig, ModelFolder, Naming, describe, read_checkpoint};
use crate::ModelError;

impl ModelFolder {
    /// Reads a model folder of either naming, or weights without a description,
    /// which is then made from their shapes and `options`.
    ///
    /// # Errors
    /// As [`Self::read`], [`read_checkpoint`] and [`describe`];
    /// [`ModelError::Described`] when something is said of a folder that describes itself.
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
        Ok(Self::new(from.into(), config, tensors))
    }

    /// Writes a model folder, after seeing that weights and description make a
    /// whole model. Says what it holds.
    ///
    /// # Errors
    /// When they do not, and as [`Self::write`]; [`ModelError::Occupied`] when `to` holds a
    /// model already. Nothing is written then.
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
        Ok(format!("{kind} of {} parameters in {}", parameters.count(), to.display()))
    }
}
