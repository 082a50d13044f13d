//! Folders and files of residual networks: torchvision's, MoCo's, Hugging Face's and ours.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use bauta_files::write_whole;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use super::encoder_sizes::check_size;
use super::model_config::said;
use super::resnet_names::{self, Names};
use super::{Naming, Preprocessing, labels, weights};
use crate::checkpoint::write_for_pytorch;
use crate::{ModelError, Parameters, ResNet, ResNetConfig, ResNetDepth, Stem};

/// Our own `model_type`, which a run's checkpoint has too.
const OURS: &str = "bauta-resnet";
/// Hugging Face's.
const THEIRS: &str = "resnet";
/// A weight that only bottlenecks have.
const BOTTLENECK: &str = "layer1.0.conv3.weight";

/// Description and weights of a residual network, with its head, if it has one.
#[derive(Debug)]
pub struct ResNetFolder {
    pub(super) path: PathBuf,
    pub(super) config: ResNetConfig,
    /// The network's tensors, under torchvision's names, without batch counts.
    pub(super) tensors: HashMap<String, Tensor>,
    /// All other tensors: a classifier `fc`, a projector, a predictor.
    pub(super) head: HashMap<String, Tensor>,
    /// Number of classes; none if the head is not a classifier.
    pub(super) classes: Option<usize>,
    preprocessing: Option<Preprocessing>,
}

impl ResNetFolder {
    /// Whether a folder's `config.json` describes a residual network. False for an unreadable file,
    /// which the reader of another kind of model will report.
    pub fn describes(folder: &Path) -> bool {
        let said = said(folder);
        [OURS, THEIRS].map(Some).contains(&said["model_type"].as_str())
    }

    /// Reads a folder of Hugging Face's `ResNetModel` or `ResNetForImageClassification`, of ours,
    /// or a run's checkpoint. The network's sizes are inferred from the weights.
    ///
    /// # Errors
    /// [`ModelError::Io`] and [`ModelError::Format`] for files that are missing, broken or not of a
    /// ResNet-18 or -50, [`ModelError::Mismatch`] for missing weights.
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let (path, tensors) = weights::read_with(folder, resnet_names::to_torchvision)?;
        let (preprocessing, said) = (Preprocessing::read(folder)?, said(folder));
        let strange = |key: &str, usual: Value| said.get(key).is_some_and(|value| *value != usual);
        for (key, usual) in [
            ("hidden_act", json!("relu")),
            ("downsample_in_first_stage", json!(false)),
            ("downsample_in_bottleneck", json!(false)),
        ] {
            if strange(key, usual) {
                let reason =
                    format!("{key} is {}; only torchvision's networks are supported", said[key]);
                return Err(ModelError::Format { path: folder.join("config.json"), reason });
            }
        }
        let folder = Self::of(path, tensors, preprocessing)?;
        // A single-layer head of siamese training has a classifier's names.
        Ok(if said.get("siamese").is_some() { Self { classes: None, ..folder } } else { folder })
    }

    /// Reads a folder, or a file of weights as torchvision and MoCo publish them. Returns `None` if
    /// the weights are not a residual network's.
    ///
    /// # Errors
    /// As [`Self::read`]; [`ModelError::Format`] for a file with several networks.
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
            return Err(refuse(
                "it has no conv1.weight, which every residual network has".to_owned(),
            ));
        };
        let stem = match side {
            7 => Stem::Large,
            3 => Stem::Small,
            _ => return Err(refuse(format!("conv1 has filters of {side} pixels, not 3 or 7"))),
        };
        let bottleneck = tensors.contains_key(BOTTLENECK);
        let depth = if bottleneck { ResNetDepth::Fifty } else { ResNetDepth::Eighteen };
        let (width, channels) = (width as usize, channels as usize);
        for (what, size) in [("width", width), ("number of channels", channels)] {
            check_size(&format!("the weights' {what}"), size).map_err(refuse)?;
        }
        let config = ResNetConfig { depth, stem, width, channels };
        // Sizes are read from the weights, so the described network is not larger than they are.
        let mut sketch = Parameters::sketch();
        ResNet::new(sketch.root(), config)?;
        tensors.retain(|name, _| !name.ends_with(resnet_names::COUNT));
        let blocks = |name: &str| ["conv1.", "bn1.", "layer"].iter().any(|s| name.starts_with(s));
        let (tensors, head): (HashMap<_, _>, HashMap<_, _>) =
            tensors.into_iter().partition(|(name, _)| blocks(name));
        let mismatch = sketch.mismatch(&tensors);
        if !mismatch.is_empty() {
            return Err(ModelError::Mismatch { path, mismatch });
        }
        let sizes = resnet_names::CLASSIFIER.map(|name| head.get(name).map(Tensor::size));
        let classes = match sizes.each_ref().map(|size| size.as_deref()) {
            [Some(&[classes, inputs]), Some(&[biases])]
                if classes == biases && inputs == config.features() as i64 =>
            {
                Some(classes as usize)
            }
            _ => None,
        };
        Ok(Self { path, config, tensors, head, classes, preprocessing })
    }

    /// The description.
    pub fn config(&self) -> &ResNetConfig {
        &self.config
    }

    /// How images are preprocessed, if the folder says so.
    pub fn preprocessing(&self) -> Option<&Preprocessing> {
        self.preprocessing.as_ref()
    }

    /// Number of its classifier's classes; `None` if it has no classifier.
    pub fn classes(&self) -> Option<usize> {
        self.classes
    }

    /// Height and width of the images in pixels. A residual network takes any size; these are from
    /// its preprocessing, or the usual size for its stem.
    pub fn image_size(&self) -> [usize; 2] {
        let said = self.preprocessing.as_ref().and_then(|said| said.framing().ok().flatten());
        let usual = if self.config.stem == Stem::Large { 224 } else { 32 };
        said.and_then(|said| said.output()).unwrap_or([usual; 2])
    }

    /// Writes `config.json` and `model.safetensors`, including a classifier, under torchvision's
    /// names, which `load_state_dict` takes (with `strict=False` if there is no `fc`), or under
    /// Hugging Face's.
    ///
    /// Also writes the network under Detectron2's names, as `detectron2.safetensors`. Other heads
    /// are left out. Returns a description.
    ///
    /// # Errors
    /// [`ModelError::Config`] for a small stem under Hugging Face's names, which have none;
    /// [`ModelError::Occupied`] when `to` already holds a model. Nothing is written in these cases.
    pub fn export(&self, to: &Path, naming: Naming) -> Result<String, ModelError> {
        let (config, names): (Value, Names) = match naming {
            Naming::Timm => (self.described(self.classes), str::to_owned),
            Naming::HuggingFace if self.classes.is_some() => {
                (self.in_hugging_faces_words()?, resnet_names::hugging_face_classifier)
            }
            Naming::HuggingFace => (self.in_hugging_faces_words()?, resnet_names::hugging_face),
        };
        if ["config.json", "model.safetensors"].iter().any(|name| to.join(name).exists()) {
            return Err(ModelError::Occupied(to.into()));
        }
        let path = to.join("config.json");
        let io = |source| ModelError::Io { path: path.clone(), source };
        fs::create_dir_all(to).map_err(io)?;
        let classifier = resnet_names::CLASSIFIER.iter().filter_map(|&name| {
            Some((name, self.head.get(name).filter(|_| self.classes.is_some())?))
        });
        self.write(&to.join("model.safetensors"), names, classifier)?;
        self.write(&to.join("detectron2.safetensors"), resnet_names::detectron2, [])?;
        let mut text = serde_json::to_vec_pretty(&config).expect("plain values");
        text.push(b'\n');
        if let Some(preprocessing) = &self.preprocessing {
            preprocessing.write(to)?;
        }
        write_whole(&path, &text).map_err(io)?;
        let count: usize = self.tensors.values().map(Tensor::numel).sum();
        let head = self.classes.map(|classes| format!(" with a classifier of {classes} classes"));
        let head = head.unwrap_or_default();
        Ok(format!("residual network of {count} parameters{head} in {}", to.display()))
    }

    /// Writes weights and batch counts, which PyTorch stores with the running moments.
    fn write<'a>(
        &'a self,
        path: &Path,
        names: Names,
        head: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    ) -> Result<(), ModelError> {
        let moments = self.tensors.keys().filter_map(|name| name.strip_suffix("running_mean"));
        let fronts: BTreeSet<&str> = moments.collect();
        let none = Tensor::zeros([] as [i64; 0], (Kind::Int64, Device::Cpu));
        let counts = fronts.iter().map(|front| (format!("{front}{}", resnet_names::COUNT), &none));
        let weights = self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor));
        let head = head.into_iter().map(|(name, tensor)| (name.to_owned(), tensor));
        let all = weights.chain(counts).chain(head).map(|(name, tensor)| (names(&name), tensor));
        let all: Vec<(String, &Tensor)> = all.collect();
        write_for_pytorch(path, all.iter().map(|(name, tensor)| (name.as_str(), *tensor)))
    }

    /// Our own `config.json` of this network, with or without a classifier.
    pub(super) fn described(&self, classes: Option<usize>) -> Value {
        let mut config = json!({ "model_type": OURS, "encoder": self.config });
        if let Some(classes) = classes {
            config["classes"] = json!(classes);
        }
        config
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
        let architecture =
            if self.classes.is_some() { "ResNetForImageClassification" } else { "ResNetModel" };
        let mut config = json!({
            "model_type": THEIRS, "architectures": [architecture], "num_channels": channels,
            "embedding_size": width, "hidden_sizes": hidden_sizes, "depths": depths,
            "layer_type": layer_type, "hidden_act": "relu",
            "downsample_in_first_stage": false, "downsample_in_bottleneck": false,
        });
        if let Some(classes) = self.classes {
            config["id2label"] = json!(labels::id2label(classes));
            config["label2id"] = json!(labels::label2id(classes));
        }
        Ok(config)
    }
}
