//! The folder of an untrained narrow residual network for images of at most 32 pixels.

use std::fs;
use std::path::Path;

use bauta_backbones::checkpoint::write_tensors;
use bauta_backbones::{Parameters, ResNet, ResNetConfig, ResNetDepth, Stem};
use bauta_eval::folder::FeatureModel;
use tch::Device;

/// Writes the folder and reads it.
pub fn residual(folder: &Path, channels: usize) -> FeatureModel {
    let mut parameters = Parameters::new(3, Device::Cpu);
    let config =
        ResNetConfig { depth: ResNetDepth::Eighteen, stem: Stem::Small, width: 4, channels };
    ResNet::new(parameters.root(), config).unwrap();
    fs::create_dir_all(folder).unwrap();
    let tensors = parameters.iter().map(|p| (p.name.as_str(), &p.tensor));
    write_tensors(&folder.join("model.safetensors"), tensors).unwrap();
    let described = serde_json::json!({ "model_type": "bauta-resnet", "encoder": config });
    fs::write(folder.join("config.json"), described.to_string()).unwrap();
    FeatureModel::read(folder).unwrap()
}
