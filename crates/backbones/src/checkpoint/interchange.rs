//! Model folders: `config.json` and `model.safetensors`, in the layout of Hugging Face, timm or
//! MAE.
//!
//! Folders of either naming scheme are read; in memory, tensors have timm's names, which this crate
//! uses too. Files without a `config.json`, as MAE and timm publish them, are described from their
//! tensors' shapes ([`describe`]).

mod beginning;
mod beit_model_config;
mod beit_names;
mod classifier;
mod clip_folder;
mod clip_model_config;
mod clip_names;
mod conversion;
mod describe;
mod encoder_sizes;
mod encoders;
mod fit;
mod labels;
mod model_config;
mod names;
mod prefixes;
mod preprocessing;
mod resnet_encoders;
mod resnet_folder;
mod resnet_names;
mod sides;
mod spacetime_folder;
mod timm_config;
mod video_config;
mod video_describe;
mod video_folder;
mod video_names;
mod vit_mae_config;
mod vit_model_config;
mod weights;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use bauta_masking::Grid;
use serde_json::Value;
use tch::{Device, Tensor};

pub use beginning::{Beginning, SizeDifference};
pub use beit_model_config::BeitModelConfig;
pub use clip_folder::ClipFolder;
pub use clip_model_config::ClipModelConfig;
pub use conversion::{export_model, import_model};
pub use describe::{ImportOptions, describe};
pub use encoder_sizes::EncoderSizes;
pub use model_config::ModelConfig;
pub use preprocessing::{
    ChannelStatistics, CropRounding, Filter, Framing, Preprocessing, Resize, SampleKind, Samples,
};
pub use resnet_folder::ResNetFolder;
pub use sides::Sides;
pub use spacetime_folder::{SpacetimeFolder, SpacetimeModelConfig};
pub use video_config::{TargetFrames, VideoModelConfig};
pub use video_folder::VideoFolder;
pub use vit_mae_config::VitMaeConfig;
pub use vit_model_config::VitModelConfig;
pub use weights::read_checkpoint;

use bauta_files::write_whole;

use crate::checkpoint::{regular_file, write_for_pytorch};
use crate::{EncoderHead, EncoderWithHead, MaeDecoder, ModelError, Parameters, VisionTransformer};

/// The naming scheme of a folder's tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Hugging Face's, for `from_pretrained`.
    HuggingFace,
    /// timm's and MAE's.
    Timm,
}

/// A model's configuration and weights.
#[derive(Debug)]
pub struct ModelFolder {
    path: PathBuf,
    config: ModelConfig,
    tensors: HashMap<String, Tensor>,
    preprocessing: Option<Preprocessing>,
}

impl ModelFolder {
    /// Combines a description with weights under timm's names; `path` names their origin in errors.
    /// The image preprocessing is left unknown.
    pub fn new(path: PathBuf, config: ModelConfig, tensors: HashMap<String, Tensor>) -> Self {
        Self { path, config, tensors, preprocessing: None }
    }

    /// The same with an optional image preprocessing.
    #[must_use]
    pub fn with_preprocessing(self, preprocessing: Option<Preprocessing>) -> Self {
        Self { preprocessing, ..self }
    }

    /// Reads a folder in Hugging Face's, timm's or our layout. Weights that are not finite cause a
    /// warning. The configuration is checked against the weights' shapes, so that the network takes
    /// no more memory than the weights' file suggests.
    ///
    /// # Errors
    /// [`ModelError::Io`] and [`ModelError::Format`] for files that are missing, broken, of an
    /// unknown architecture or of sizes other than the weights', [`ModelError::Mismatch`] for
    /// queries, keys or values without the others, [`ModelError::NoFolder`] for a file.
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        if folder.is_file() {
            return Err(ModelError::NoFolder(folder.into()));
        }
        let at = folder.join("config.json");
        if !at.exists()
            && let Some(model) = model_of_run(folder)
        {
            let reason = format!("it is a run's folder; its model is {}", model.display());
            return Err(ModelError::Format { path: folder.into(), reason });
        }
        let format = |reason: String| ModelError::Format { path: at.clone(), reason };
        if ResNetFolder::describes(folder) {
            let reason = "it holds a residual network, but a vision transformer is needed here";
            return Err(format(reason.to_owned()));
        }
        let value: Value = serde_json::from_str(&regular_file::read_text(&at)?)
            .map_err(|error| format(error.to_string()))?;
        let (path, config, tensors) = match timm_config::architecture(&value) {
            Some(architecture) => {
                let (path, tensors) = weights::read(folder)?;
                let config = timm_config::read(&value, architecture, &tensors).map_err(format)?;
                (path, config, tensors)
            }
            None => {
                let config = ModelConfig::of(&value).map_err(format)?;
                let (path, tensors) = weights::read(folder)?;
                fit::check(&config, &tensors).map_err(format)?;
                (path, config, tensors)
            }
        };
        Ok(Self { path, config, tensors, preprocessing: Preprocessing::read(folder)? })
    }

    /// The description.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The weights, under timm's names.
    pub fn tensors(&self) -> &HashMap<String, Tensor> {
        &self.tensors
    }

    /// How images are preprocessed, if the folder says so.
    pub fn preprocessing(&self) -> Option<&Preprocessing> {
        self.preprocessing.as_ref()
    }

    /// Writes `config.json` and `model.safetensors`, and `preprocessor_config.json` if the
    /// preprocessing is known.
    ///
    /// # Errors
    /// [`ModelError::Io`] when the folder cannot be created or written, [`ModelError::Config`] for
    /// a model that Hugging Face's format cannot describe.
    pub fn write(&self, folder: &Path, naming: Naming) -> Result<(), ModelError> {
        let renamed = match naming {
            Naming::HuggingFace => Some(self.in_hugging_faces_words()?),
            Naming::Timm => None,
        };
        let path = folder.join("config.json");
        let io = |source| ModelError::Io { path: path.clone(), source };
        fs::create_dir_all(folder).map_err(io)?;
        let tensors = renamed.as_ref().unwrap_or(&self.tensors);
        let tensors = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        write_for_pytorch(&folder.join("model.safetensors"), tensors)?;
        let mut text =
            serde_json::to_vec_pretty(&self.config).expect("a configuration is plain values");
        text.push(b'\n');
        if let Some(preprocessing) = &self.preprocessing {
            preprocessing.write(folder)?;
        }
        write_whole(&path, &text).map_err(io)
    }

    fn in_hugging_faces_words(&self) -> Result<HashMap<String, Tensor>, ModelError> {
        let has = |name| self.tensors.contains_key(name);
        let refuse = |reason: &str| Err(ModelError::Config(reason.to_owned()));
        match &self.config {
            ModelConfig::Vit(_) if has("fc_norm.weight") => refuse(
                "Hugging Face has no layout for a classifier on the mean of patch tokens; write it \
                 under timm's names",
            ),
            ModelConfig::Vit(_) => Ok(names::to_hugging_face(&self.tensors, !has("head.weight"))),
            ModelConfig::VitMae(config) if config.feature_size.is_some() => refuse(
                "its decoder predicts a teacher's features, but Hugging Face's ViTMAE predicts \
                 pixels; write it under timm's names, or its encoder alone",
            ),
            ModelConfig::VitMae(config) if !config.sizes.image_size.is_square() => refuse(
                "Hugging Face's ViTMAE takes square images only; write it under timm's names, or \
                 its encoder alone",
            ),
            ModelConfig::VitMae(_) => Ok(names::to_hugging_face(&self.tensors, false)),
            ModelConfig::Beit(config) if !config.sizes.image_size.is_square() => refuse(
                "Hugging Face's BEiT swaps the height and width of a grid that is not square; \
                 write it under timm's names",
            ),
            ModelConfig::Beit(_) => Ok(beit_names::to_hugging_face(&self.tensors)),
            ModelConfig::Clip(_) => refuse(
                "a CLIP tower is not written under Hugging Face's names; write it under timm's",
            ),
        }
    }

    /// Removes a masked autoencoder's decoder and a BEiT's head for masked patches; other models
    /// are unchanged.
    ///
    /// # Errors
    /// [`ModelError::Config`] for a description that is not a ViT's.
    pub fn into_encoder(self) -> Result<Self, ModelError> {
        let Self { path, config, mut tensors, preprocessing } = self;
        let config = match config {
            ModelConfig::VitMae(config) => {
                tensors.retain(|name, _| !is_above_encoder(name));
                ModelConfig::Vit(VitModelConfig::new(&config.encoder()?, None))
            }
            ModelConfig::Beit(config) if tensors.contains_key("lm_head.weight") => {
                tensors.retain(|name, _| !encoders::is_above_beit(name));
                let use_mask_token = config.use_mask_token;
                let config = BeitModelConfig::new(&config.encoder()?, None);
                ModelConfig::Beit(BeitModelConfig { use_mask_token, ..config })
            }
            other => other,
        };
        Ok(Self { path, config, tensors, preprocessing })
    }

    /// Builds the masked autoencoder on a device, with the folder's weights.
    ///
    /// # Errors
    /// [`ModelError::Format`] when the folder holds another architecture or a decoder with several
    /// branches, [`ModelError::Mismatch`] when weights and description disagree, as for an encoder
    /// without a decoder.
    pub fn masked_autoencoder(
        &self,
        device: Device,
    ) -> Result<(Parameters, VisionTransformer, MaeDecoder), ModelError> {
        let ModelConfig::VitMae(config) = &self.config else {
            let found = self.config.describe();
            let reason = format!("{found} has no decoder; this needs a masked autoencoder");
            return Err(ModelError::Format { path: self.path.clone(), reason });
        };
        if config.decoder_branches != 1 {
            let reason = format!(
                "its decoder separates {} mixed images (i-MAE) and cannot predict a single one; \
                 only its encoder can be used",
                config.decoder_branches
            );
            return Err(ModelError::Format { path: self.path.clone(), reason });
        }
        if !fit::has_decoder(&self.tensors) && !fit::decoder_is_small(config) {
            return Err(self.is_not(
                "masked autoencoder: its weights contain no decoder, but its config.json describes \
                 an enormous one",
            ));
        }
        let mut parameters = Parameters::new(0, device);
        let encoder = VisionTransformer::new(parameters.root(), &config.encoder()?)?;
        let decoder = MaeDecoder::new(parameters.root(), &config.decoder()?, encoder.grid())?;
        self.assign(&parameters)?;
        Ok((parameters, encoder, decoder))
    }

    /// Builds the plain ViT on a device, with the folder's weights and the head that they contain.
    /// A BEiT with a classifier is built too.
    ///
    /// # Errors
    /// As [`Self::masked_autoencoder`].
    pub fn vit(&self, device: Device) -> Result<(Parameters, EncoderWithHead), ModelError> {
        let has = |name| self.tensors.contains_key(name);
        let config = match &self.config {
            ModelConfig::Vit(config) => config,
            ModelConfig::Beit(config) if has("head.weight") => {
                return self.tuned_beit(config, device);
            }
            _ => return Err(self.is_not("plain ViT")),
        };
        let head = match (self.rows("head.weight"), self.rows("pooler.weight")) {
            (Some(classes), _) if has("fc_norm.weight") => EncoderHead::MeanClassifier(classes),
            (Some(classes), _) => EncoderHead::Classifier(classes),
            (None, Some(width)) => EncoderHead::Pooler(width),
            (None, None) => EncoderHead::None,
        };
        let mut parameters = Parameters::new(0, device);
        let model = EncoderWithHead::vit(parameters.root(), &config.encoder()?, head)?;
        self.assign(&parameters)?;
        Ok((parameters, model))
    }

    /// The first dimension of a matrix.
    fn rows(&self, name: &str) -> Option<usize> {
        self.tensors.get(name).and_then(|w: &Tensor| w.size().first().map(|&rows| rows as usize))
    }

    fn assign(&self, parameters: &Parameters) -> Result<(), ModelError> {
        self.assign_all(parameters, &self.tensors)
    }

    fn assign_all(
        &self,
        parameters: &Parameters,
        tensors: &HashMap<String, Tensor>,
    ) -> Result<(), ModelError> {
        parameters
            .assign(tensors)
            .map_err(|mismatch| ModelError::Mismatch { path: self.path.clone(), mismatch })
    }

    /// The error that the folder holds another architecture than `wanted`.
    fn is_not(&self, wanted: &str) -> ModelError {
        let reason = format!("it holds {}, not a {wanted}", self.config.describe());
        ModelError::Format { path: self.path.clone(), reason }
    }

    fn tell_interpolation(&self, from: Grid, to: Grid) {
        tracing::info!(
            "{}: positions interpolated from {} × {} to {} × {} patches",
            self.path.display(),
            from.height(),
            from.width(),
            to.height(),
            to.width()
        );
    }
}

/// The folder of a run's model, if `folder` is a run's folder and not a model's.
fn model_of_run(folder: &Path) -> Option<PathBuf> {
    let places = [folder.join("checkpoints").join("last"), folder.join("last")];
    places.into_iter().find(|place| place.join("config.json").is_file())
}

/// Whether a parameter belongs to a decoder or a head.
fn is_above_encoder(name: &str) -> bool {
    ["decoder", "mask_token", "head.", "fc_norm.", "pooler."]
        .iter()
        .any(|start| name.starts_with(start))
}
