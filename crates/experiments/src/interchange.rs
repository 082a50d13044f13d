//! Foreign checkpoints in, model folders for others out.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use bauta_backbones::{ModelConfig, ModelFolder, Naming, Unsaid, describe, read_checkpoint};
use tch::Device;

/// Reads a model folder of either naming, or weights without a description,
/// which is then made from their shapes and `unsaid`.
///
/// # Errors
/// When the files are not what they should be.
pub fn read(from: &Path, unsaid: Unsaid) -> Result<ModelFolder> {
    if from.is_dir() {
        ensure!(unsaid == Unsaid::default(), "{} has its own config.json", from.display());
        return Ok(ModelFolder::read(from)?);
    }
    let tensors = read_checkpoint(from)?;
    let config = describe(&tensors, unsaid).with_context(|| from.display().to_string())?;
    Ok(ModelFolder::new(from.into(), config, tensors))
}

/// Writes a model folder, after seeing that weights and description make a
/// whole model. Says what it holds.
///
/// # Errors
/// When they do not, or `to` holds a model already; nothing is written then.
pub fn write(folder: &ModelFolder, to: &Path, naming: Naming) -> Result<String> {
    let (kind, parameters) = match folder.config() {
        ModelConfig::VitMae(_) => ("masked autoencoder", folder.masked_autoencoder(Device::Cpu)?.0),
        ModelConfig::Vit(_) => ("ViT", folder.vit(Device::Cpu)?.0),
        ModelConfig::Beit(_) if folder.tensors().contains_key("head.weight") => {
            ("BEiT with a classifier", folder.vit(Device::Cpu)?.0)
        }
        ModelConfig::Beit(_) => ("BEiT", folder.beit(Device::Cpu, None)?.0),
        ModelConfig::Clip(_) => ("CLIP tower", folder.clip(Device::Cpu, None)?.0),
    };
    let occupied = ["config.json", "model.safetensors"].map(|name| to.join(name));
    ensure!(
        !occupied.iter().any(|file| file.exists()),
        "{} holds a model already; name another folder",
        to.display()
    );
    folder.write(to, naming)?;
    Ok(format!("{kind} of {} parameters in {}", parameters.count(), to.display()))
}
