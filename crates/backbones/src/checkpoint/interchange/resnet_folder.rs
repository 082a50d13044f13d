//! Folders and files of residual networks: torchvision's, MoCo's, Hugging Face's and ours.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use bauta_files::write_whole;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use super::resnet_names::{self, Names};
use super::{Naming, Preprocessing, weights};
use crate::checkpoint::{regular_file, write_tensors};
use crate::{ModelError, Parameters, ResNet, ResNetConfig, ResNetDepth, Stem};

/// Our own `model_type`; a run's checkpoint has it, too.
const OURS: &str = "bauta-resnet";
/// Hugging Face's.
const THEIRS: &str = "resnet";
/// A bottleneck's weights.
const BOTTLENECK: &str = "layer1.0.conv3.weight";

/// Description and weights of a residual network without a head.
#[derive(Debug)]
pub struct ResNetFolder {
    path: PathBuf,
    config: ResNetConfig,
    /// Under torchvision's names, without counts of batches.
    tensors: HashMap<String, Tensor>,
    preprocessing: Option<Preprocessing>,
}

impl ResNetFolder {
    /// Whether a folder's `config.json` describes a residual network. What cannot be read is
    /// left to whoever reads it as another model.
    pub fn describes(folder: &Path) -> bool {
        let text = regular_file::read_text(&folder.join("config.json")).ok();
        let value: Option<Value> = text.and_then(|text| serde_json::from_str(&text).ok());
        let model_type = value.as_ref().and_then(|value| value.get("model_type")?.as_str());
        [OURS, THEIRS].map(Some).contains(&model_type)
    }

    /// Reads a folder of Hugging Face's `ResNetModel`, of ours, or a run's checkpoint. The
    /// network is told by the weights; heads are left out.
    ///
    /// # Errors
    /// [`ModelError::Io`] and [`ModelError::Format`] for files that are missing, broken or of
    /// no ResNet-18 or -50, [`ModelError::Mismatch`] for weights that are missing.
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let (path, tensors) = weights::read_with(folder, resnet_names::to_torchvision)?;
        let preprocessing = Preprocessing::read(folder)?;
        Self::of(path, tensors, preprocessing)
    }

    /// Reads a folder, or a file of weights as torchvision and MoCo publish them. Nothing is
    /// read, and `None` given, where the weights are no residual network's.
    ///
    /// # Errors
    /// As [`Self::read`]; [`ModelError::Format`] for a file of several networks.
    pub fn import(from: &Path) -> Result<Option<Self>, ModelError> {
        if from.is_dir() {
            return if Self::describes(from) { Self::read(from).map(Some) } else { Ok(None) };
        }
        let tensors = weights::read_file_with(from, resnet_names::to_torchvision)?;
        if !tensors.contains_key(resnet_names::ANCHOR) {
            return Ok(None);
        }
        Self::of(from.into(), tensors, None).map(Some)
    }

    fn of(
        path: PathBuf,
        mut tensors: HashMap<String, Tensor>,
        preprocessing: Option<Preprocessing>,
    ) -> Result<Self, ModelError> {
        let refuse = |reason: String| ModelError::Format { path: path.clone(), reason };
        let first = tensors.get("conv1.weight").map(Tensor::size).unwrap_or_default();
        let [width, channels, side, _] = first[..] else {
            return Err(refuse("it has no conv1.weight of a residual network".to_owned()));
        };
        let stem = match side {
            7 => Stem::Large,
            3 => Stem::Small,
            _ => return Err(refuse(format!("conv1 has filters of {side} pixels, not 3 or 7"))),
        };
        let bottleneck = tensors.contains_key(BOTTLENECK);
        let depth = if bottleneck { ResNetDepth::Fifty } else { ResNetDepth::Eighteen };
        let (width, channels) = (width as usize, channels as usize);
        let config = ResNetConfig { depth, stem, width, channels };
        // The weights are as large as the network that they describe.
        let mut sketch = Parameters::sketch();
        ResNet::new(sketch.root(), config)?;
        let blocks =
            |name: &String| ["conv1.", "bn1.", "layer"].iter().any(|s| name.starts_with(s));
        tensors.retain(|name, _| blocks(name) && !name.ends_with(resnet_names::COUNT));
        let mismatch = sketch.mismatch(&tensors);
        if !mismatch.is_empty() {
            return Err(ModelError::Mismatch { path, mismatch });
        }
        Ok(Self { path, config, tensors, preprocessing })
    }

    /// The description.
    pub fn config(&self) -> &ResNetConfig {
        &self.config
    }

    /// How pictures are made ready, if the folder says it.
    pub fn preprocessing(&self) -> Option<&Preprocessing> {
        self.preprocessing.as_ref()
    }

    /// Builds the network on a device, with the folder's weights.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] when weights and description disagree.
    pub fn encoder(&self, device: Device) -> Result<(Parameters, ResNet), ModelError> {
        let (parameters, network) = self.untrained(0, device)?;
        parameters
            .assign(&self.tensors)
            .map_err(|mismatch| ModelError::Mismatch { path: self.path.clone(), mismatch })?;
        Ok((parameters, network))
    }

    /// The same network with every weight as it starts from `seed`.
    ///
    /// # Errors
    /// The network's refusal.
    pub fn untrained(&self, seed: u64, device: Device) -> Result<(Parameters, ResNet), ModelError> {
        let mut parameters = Parameters::new(seed, device);
        let network = ResNet::new(parameters.root(), self.config)?;
        Ok((parameters, network))
    }

    /// Writes `config.json` and `model.safetensors` under torchvision's names, which
    /// `load_state_dict` takes with `strict=False` (there is no `fc`), or Hugging Face's, and
    /// the weights under Detectron2's as `detectron2.safetensors`. Says what it holds.
    ///
    /// # Errors
    /// [`ModelError::Config`] for a small stem under Hugging Face's names, which have none;
    /// [`ModelError::Occupied`] when `to` holds a model already. Nothing is written then.
    pub fn export(&self, to: &Path, naming: Naming) -> Result<String, ModelError> {
        let (config, names): (Value, Names) = match naming {
            Naming::Timm => (json!({ "model_type": OURS, "encoder": self.config }), str::to_owned),
            Naming::HuggingFace => (self.in_hugging_faces_words()?, resnet_names::hugging_face),
        };
        if ["config.json", "model.safetensors"].iter().any(|name| to.join(name).exists()) {
            return Err(ModelError::Occupied(to.into()));
        }
        let path = to.join("config.json");
        let io = |source| ModelError::Io { path: path.clone(), source };
        fs::create_dir_all(to).map_err(io)?;
        self.write(&to.join("model.safetensors"), names)?;
        self.write(&to.join("detectron2.safetensors"), resnet_names::detectron2)?;
        let mut text = serde_json::to_vec_pretty(&config).expect("plain values");
        text.push(b'\n');
        if let Some(preprocessing) = &self.preprocessing {
            preprocessing.write(to)?;
        }
        write_whole(&path, &text).map_err(io)?;
        let count: usize = self.tensors.values().map(Tensor::numel).sum();
        Ok(format!("residual network of {count} parameters in {}", to.display()))
    }

    /// Weights and, as torch has them beside running moments, counts of batches.
    fn write(&self, path: &Path, names: Names) -> Result<(), ModelError> {
        let moments = self.tensors.keys().filter_map(|name| name.strip_suffix("running_mean"));
        let fronts: BTreeSet<&str> = moments.collect();
        let none = Tensor::zeros([] as [i64; 0], (Kind::Int64, Device::Cpu));
        let counts = fronts.iter().map(|front| (format!("{front}{}", resnet_names::COUNT), &none));
        let weights = self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor));
        let all: Vec<(String, &Tensor)> =
            weights.chain(counts).map(|(name, tensor)| (names(&name), tensor)).collect();
        write_tensors(path, all.iter().map(|(name, tensor)| (name.as_str(), *tensor)))
    }

    fn in_hugging_faces_words(&self) -> Result<Value, ModelError> {
        let ResNetConfig { depth, stem, width, channels } = self.config;
        if stem == Stem::Small {
            let reason = "Hugging Face's ResNet has no stem for small images; write it under \
                          torchvision's names";
            return Err(ModelError::Config(reason.to_owned()));
        }
        let (layer_type, depths, expansion) = match depth {
            ResNetDepth::Eighteen => ("basic", [2, 2, 2, 2], 1),
            ResNetDepth::Fifty => ("bottleneck", [3, 4, 6, 3], 4),
        };
        let hidden_sizes = [1, 2, 4, 8].map(|times| times * width * expansion);
        Ok(json!({
            "model_type": THEIRS, "architectures": ["ResNetModel"], "num_channels": channels,
            "embedding_size": width, "hidden_sizes": hidden_sizes, "depths": depths,
            "layer_type": layer_type, "hidden_act": "relu",
            "downsample_in_first_stage": false, "downsample_in_bottleneck": false,
        }))
    }
}
