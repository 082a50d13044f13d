//! Folders of (2+1)D residual networks, under torchvision's names.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use bauta_files::write_whole;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::encoder_sizes::{check_numbers, check_size};
use super::model_config::said;
use super::weights;
use crate::checkpoint::{regular_file, write_tensors};
use crate::{ModelError, Parameters, SpacetimeConv, SpacetimeConvConfig, SpacetimeStage};

/// Prefix of a classifier's weights, as in torchvision.
pub(super) const HEAD: &str = "fc";

/// `config.json` of a (2+1)D residual network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpacetimeModelConfig {
    /// `bauta-r2plus1d`.
    pub model_type: String,
    /// Sizes of the network.
    pub network: SpacetimeConvConfig,
    /// Frames per training clip, T.
    pub frames: usize,
    /// Height and width of its frames in pixels.
    pub image_size: usize,
    /// Per-channel mean for normalising frames in [0, 1].
    pub image_mean: Vec<f32>,
    /// Per-channel standard deviation.
    pub image_std: Vec<f32>,
}

impl SpacetimeModelConfig {
    /// The file's `model_type`.
    pub const MODEL_TYPE: &str = "bauta-r2plus1d";

    /// Describes a network of clips of `frames` square frames whose pixels are scaled to [−1, 1].
    pub fn new(network: &SpacetimeConvConfig, frames: usize, image_size: usize) -> Self {
        let half = vec![0.5; network.channels];
        let (image_mean, image_std) = (half.clone(), half);
        let (model_type, network) = (Self::MODEL_TYPE.to_owned(), network.clone());
        Self { model_type, network, frames, image_size, image_mean, image_std }
    }

    /// Names a key with an impossible value, if there is one.
    fn check(&self) -> Result<(), String> {
        let Self { network, frames, image_size, .. } = self;
        let SpacetimeConvConfig { channels, stem_side, stem_middle, width, stages, .. } = network;
        let of_stage = |stage: &SpacetimeStage| {
            let SpacetimeStage { width, blocks, strides: [time, space] } = *stage;
            [("width", width), ("blocks", blocks), ("strides", time), ("strides", space)]
        };
        let sizes = [
            ("frames", *frames),
            ("image_size", *image_size),
            ("channels", *channels),
            ("stem_side", *stem_side),
            ("stem_middle", *stem_middle),
            ("width", *width),
        ];
        for (key, size) in sizes.into_iter().chain(stages.iter().flat_map(of_stage)) {
            check_size(key, size)?;
        }
        check_numbers("the stem", &[*stem_middle, *channels, *stem_side, *stem_side])?;
        if [self.image_mean.len(), self.image_std.len()] != [*channels; 2] {
            return Err(format!(
                "image_mean and image_std need {channels} values each; they have {} and {}",
                self.image_mean.len(),
                self.image_std.len()
            ));
        }
        Ok(())
    }
}

/// Description and weights of a (2+1)D residual network, without a classifier.
#[derive(Debug)]
pub struct SpacetimeFolder {
    path: PathBuf,
    config: SpacetimeModelConfig,
    tensors: HashMap<String, Tensor>,
}

impl SpacetimeFolder {
    /// Whether a folder's `config.json` describes a (2+1)D residual network. False for an
    /// unreadable file, which the reader of another kind of model will report.
    pub fn describes(folder: &Path) -> bool {
        said(folder)["model_type"].as_str() == Some(SpacetimeModelConfig::MODEL_TYPE)
    }

    /// Reads a folder written by [`Self::write`] or by fine-tuning; a classifier `fc` is left out.
    ///
    /// # Errors
    /// [`ModelError::Io`] and [`ModelError::Format`] for files that are missing, broken or of
    /// impossible sizes, [`ModelError::Mismatch`] for weights of other shapes.
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let at = folder.join("config.json");
        let format = |reason: String| ModelError::Format { path: at.clone(), reason };
        let config: SpacetimeModelConfig = serde_json::from_str(&regular_file::read_text(&at)?)
            .map_err(|error| format(error.to_string()))?;
        config.check().map_err(format)?;
        let (path, mut tensors) = weights::read_with(folder, |_, tensors| Ok(tensors))?;
        tensors.retain(|name, _| !name.starts_with(&format!("{HEAD}.")));
        // A block has several tensors, so a description cannot have more blocks than the file has
        // tensors.
        let blocks = |stages: &[SpacetimeStage]| -> usize {
            stages.iter().fold(0, |sum, stage| sum.saturating_add(stage.blocks))
        };
        let (said, held) = (blocks(&config.network.stages), tensors.len());
        if said > held {
            return Err(format(format!(
                "it describes {said} blocks, but the weights hold only {held} tensors"
            )));
        }
        let mut sketch = Parameters::sketch();
        SpacetimeConv::new(sketch.root(), config.network.clone())?;
        let mismatch = sketch.mismatch(&tensors);
        if !mismatch.is_empty() {
            return Err(ModelError::Mismatch { path, mismatch });
        }
        Ok(Self { path, config, tensors })
    }

    /// Writes `config.json` and `model.safetensors`. The weights are those `parameters` whose names
    /// start with `prefix`, which is removed.
    ///
    /// # Errors
    /// [`ModelError::Io`] when the folder cannot be created or written.
    pub fn write(
        folder: &Path,
        config: &SpacetimeModelConfig,
        parameters: &Parameters,
        prefix: &str,
    ) -> Result<(), ModelError> {
        let own =
            parameters.iter().filter_map(|one| Some((one.name.strip_prefix(prefix)?, &one.tensor)));
        let path = folder.join("config.json");
        let io = |source| ModelError::Io { path: path.clone(), source };
        fs::create_dir_all(folder).map_err(io)?;
        write_tensors(&folder.join("model.safetensors"), own)?;
        let mut text = serde_json::to_vec_pretty(config).expect("plain values");
        text.push(b'\n');
        write_whole(&path, &text).map_err(io)
    }

    /// The description.
    pub fn config(&self) -> &SpacetimeModelConfig {
        &self.config
    }

    /// Builds the network on a device, with the folder's weights.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] when weights and description disagree.
    pub fn encoder(&self, device: Device) -> Result<(Parameters, SpacetimeConv), ModelError> {
        let (parameters, network) = self.untrained(0, device)?;
        self.assign(&parameters)?;
        Ok((parameters, network))
    }

    /// Builds the same network with initial weights drawn from `seed`.
    ///
    /// # Errors
    /// [`ModelError::Config`] when a size is not possible.
    pub fn untrained(
        &self,
        seed: u64,
        device: Device,
    ) -> Result<(Parameters, SpacetimeConv), ModelError> {
        let mut parameters = Parameters::new(seed, device);
        let network = SpacetimeConv::new(parameters.root(), self.config.network.clone())?;
        Ok((parameters, network))
    }

    pub(super) fn assign(&self, parameters: &Parameters) -> Result<(), ModelError> {
        parameters
            .assign(&self.tensors)
            .map_err(|mismatch| ModelError::Mismatch { path: self.path.clone(), mismatch })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tests::normal;

    fn config() -> SpacetimeModelConfig {
        SpacetimeModelConfig::new(&SpacetimeConvConfig::tiny(3, 4), 4, 16)
    }

    fn parameters(seed: u64) -> Parameters {
        let mut parameters = Parameters::new(seed, Device::Cpu);
        SpacetimeConv::new(parameters.root().sub("rgb"), config().network).unwrap();
        SpacetimeConv::new(parameters.root().sub("grey"), config().network).unwrap();
        parameters
    }

    #[test]
    fn a_network_is_written_without_its_neighbours_and_read_back() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("model");
        let parameters = parameters(3);
        SpacetimeFolder::write(&folder, &config(), &parameters, "rgb.").unwrap();
        assert!(SpacetimeFolder::describes(&folder) && !SpacetimeFolder::describes(place.path()));
        let read = SpacetimeFolder::read(&folder).unwrap();
        assert_eq!(read.config(), &config());
        let (own, _) = read.encoder(Device::Cpu).unwrap();
        for one in &own {
            let before = parameters.get(&format!("rgb.{}", one.name)).unwrap();
            assert_eq!(one.tensor, before.tensor, "{}", one.name);
        }
        let (untrained, _) = read.untrained(4, Device::Cpu).unwrap();
        assert_ne!(
            untrained.get("stem.0.weight").unwrap().tensor,
            own.iter().next().unwrap().tensor
        );
    }

    #[test]
    fn what_is_no_such_network_is_refused_before_it_is_built() {
        let place = tempfile::tempdir().unwrap();
        SpacetimeFolder::write(place.path(), &config(), &parameters(3), "rgb.").unwrap();
        let whole = serde_json::to_value(config()).unwrap();
        let refused = |change: &dyn Fn(&mut Value)| {
            let mut said = whole.clone();
            change(&mut said);
            fs::write(place.path().join("config.json"), said.to_string()).unwrap();
            SpacetimeFolder::read(place.path()).unwrap_err().to_string()
        };
        for (key, value, words) in [
            ("frames", json!(0), "frames is 0, but must be at least 1"),
            ("image_mean", json!([0.5]), "need 3 values each; they have 1 and 3"),
            ("network", json!({}), "missing field"),
        ] {
            let found = refused(&|said| said[key] = value.clone());
            assert!(found.contains(words), "{found}");
        }
        let blocks = refused(&|said| said["network"]["stages"][1]["blocks"] = json!(1_000_000));
        assert!(blocks.contains("it describes 1000002 blocks, but the weights hold"), "{blocks}");
        let width = refused(&|said| said["network"]["width"] = json!(5));
        assert!(width.contains("stem.3.weight"), "{width}");
        assert!(refused(&|said| said["network"]["stem_side"] = json!(2)).contains("odd stem_side"));
        // Each size is possible, but libtorch cannot count the numbers.
        let stem = refused(&|said| {
            let network = &mut said["network"];
            network["channels"] = json!(9);
            network["stem_middle"] = json!(1 << 20);
            network["stem_side"] = json!((1 << 20) - 1);
            said["image_mean"] = json!(vec![0.5; 9]);
            said["image_std"] = json!(vec![0.5; 9]);
        });
        assert!(stem.contains("the stem would have"), "{stem}");

        fs::write(place.path().join("config.json"), whole.to_string()).unwrap();
        let tensor = normal("another", &[2]);
        write_tensors(&place.path().join("model.safetensors"), [("stem.0.weight", &tensor)])
            .unwrap();
        assert!(SpacetimeFolder::read(place.path()).is_err());
    }
}
