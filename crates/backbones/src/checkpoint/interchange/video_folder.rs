//! Folders and files of video transformers.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use bauta_files::write_whole;
use serde_json::Value;
use tch::{Device, Tensor};

use super::fit::depth;
use super::model_config::said;
use super::{
    ImportOptions, VideoModelConfig, is_above_encoder, video_describe, video_names, weights,
};
use crate::checkpoint::{regular_file, write_tensors};
use crate::encoder_with_head::HEAD_STD;
use crate::{Init, Linear, ModelError, Parameters, VideoDecoder, VideoTransformer};

/// Description and weights of a video transformer: MAE-ST's, or VideoMAE's encoder.
#[derive(Debug)]
pub struct VideoFolder {
    path: PathBuf,
    config: VideoModelConfig,
    tensors: HashMap<String, Tensor>,
}

impl VideoFolder {
    /// Whether a folder's `config.json` describes a video transformer. False for an unreadable
    /// file, which the reader of another kind of model will report.
    pub fn describes(folder: &Path) -> bool {
        let known = [VideoModelConfig::MODEL_TYPE, VideoModelConfig::VIDEOMAE];
        known.map(Some).contains(&said(folder)["model_type"].as_str())
    }

    /// Reads a folder of ours or of Hugging Face's VideoMAE, of which only the encoder is kept.
    ///
    /// # Errors
    /// [`ModelError::Io`] and [`ModelError::Format`] for files that are missing, broken or of sizes
    /// other than the weights'.
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let at = folder.join("config.json");
        let format = |reason: String| ModelError::Format { path: at.clone(), reason };
        let value: Value = serde_json::from_str(&regular_file::read_text(&at)?)
            .map_err(|error| format(error.to_string()))?;
        let mut config = VideoModelConfig::of(&value).map_err(format)?;
        let (path, tensors) = weights::read_with(folder, video_names::to_ours)?;
        if config.model_type == VideoModelConfig::VIDEOMAE {
            config.final_norm = tensors.contains_key("norm.weight");
            config.qkv_bias = tensors.contains_key("blocks.0.attn.qkv.bias");
        }
        let folder = Self { path, config, tensors };
        folder.check()?;
        Ok(folder)
    }

    /// Reads a folder, or a file of weights as mae_st and PySlowFast publish them, which is
    /// described by its shapes and `options`.
    ///
    /// Returns `None` if the weights are not a video transformer's.
    ///
    /// # Errors
    /// As [`Self::read`]; [`ModelError::Config`] when shapes leave a size open;
    /// [`ModelError::Described`] when `options` are given for a folder, which describes itself.
    pub fn import(from: &Path, options: ImportOptions) -> Result<Option<Self>, ModelError> {
        if from.is_dir() {
            if !Self::describes(from) {
                return Ok(None);
            }
            return match options == ImportOptions::default() {
                true => Self::read(from).map(Some),
                false => Err(ModelError::Described(from.into())),
            };
        }
        let tensors = weights::read_file_with(from, video_names::to_ours)?;
        if !video_describe::is_video(&tensors) {
            return Ok(None);
        }
        let format = |reason: String| ModelError::Format { path: from.into(), reason };
        let config = video_describe::describe(&tensors, options)
            .map_err(|error| format(error.to_string()))?;
        config.check().map_err(format)?;
        let folder = Self { path: from.into(), config, tensors };
        folder.check()?;
        Ok(Some(folder))
    }

    /// The description.
    pub fn config(&self) -> &VideoModelConfig {
        &self.config
    }

    /// The weights, under our names.
    pub fn tensors(&self) -> &HashMap<String, Tensor> {
        &self.tensors
    }

    /// Builds encoder and decoder on a device, with the folder's weights.
    ///
    /// # Errors
    /// [`ModelError::Format`] when the folder holds no decoder, [`ModelError::Mismatch`] when
    /// weights and description disagree.
    pub fn autoencoder(
        &self,
        device: Device,
    ) -> Result<(Parameters, VideoTransformer, VideoDecoder), ModelError> {
        let has_decoder = self.tensors.contains_key("decoder_embed.weight");
        let Some(decoder) = self.config.decoder()?.filter(|_| has_decoder) else {
            let reason = "it has no decoder; this needs a video masked autoencoder".to_owned();
            return Err(ModelError::Format { path: self.path.clone(), reason });
        };
        let mut parameters = Parameters::new(0, device);
        let encoder = VideoTransformer::new(parameters.root(), &self.config.encoder()?)?;
        let decoder = VideoDecoder::new(parameters.root(), &decoder, encoder.grid())?;
        self.assign(&parameters, &without_head(&self.tensors))?;
        Ok((parameters, encoder, decoder))
    }

    /// Builds the encoder alone on a device, with the folder's weights.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] when weights and description disagree.
    pub fn encoder(&self, device: Device) -> Result<(Parameters, VideoTransformer), ModelError> {
        let mut parameters = Parameters::new(0, device);
        let encoder = VideoTransformer::new(parameters.root(), &self.config.encoder()?)?;
        self.assign(&parameters, &self.of_encoder(&parameters))?;
        Ok((parameters, encoder))
    }

    /// Builds the encoder with the folder's weights and a new classifier [D, classes] of the clip's
    /// feature vector, named `head` as in mae_st's fine-tuned files.
    ///
    /// # Errors
    /// As [`Self::encoder`].
    pub fn classifier(
        &self,
        classes: usize,
        seed: u64,
        device: Device,
    ) -> Result<(Parameters, VideoTransformer, Linear), ModelError> {
        let (parameters, encoder, head) = self.untrained_classifier(classes, seed, device)?;
        let mut tensors = self.of_encoder(&parameters);
        for name in ["head.weight", "head.bias"] {
            let own = parameters.get(name).expect("it was built with a head");
            tensors.insert(name.to_owned(), own.tensor.shallow_clone());
        }
        self.assign(&parameters, &tensors)?;
        Ok((parameters, encoder, head))
    }

    /// Builds the same network with initial weights drawn from `seed`.
    ///
    /// # Errors
    /// [`ModelError::Geometry`] and [`ModelError::Config`] for sizes that do not fit.
    pub fn untrained_classifier(
        &self,
        classes: usize,
        seed: u64,
        device: Device,
    ) -> Result<(Parameters, VideoTransformer, Linear), ModelError> {
        let mut parameters = Parameters::new(seed, device);
        let encoder = VideoTransformer::new(parameters.root(), &self.config.encoder()?)?;
        let (dim, start) = (encoder.config().vit.dim, Init::Normal(HEAD_STD));
        let head = Linear::starting(parameters.root().sub("head"), dim, classes, start, true);
        Ok((parameters, encoder, head))
    }

    /// Writes `config.json` and `model.safetensors` under the names that mae_st's code reads.
    /// Returns a description.
    ///
    /// # Errors
    /// When weights and description do not make a complete model; [`ModelError::Occupied`] when
    /// `to` already holds a model. Nothing is written in these cases.
    pub fn export(&self, to: &Path) -> Result<String, ModelError> {
        let (kind, parameters) = match self.config.decoder()? {
            Some(_) => ("video masked autoencoder", self.autoencoder(Device::Cpu)?.0),
            None => ("video transformer", self.encoder(Device::Cpu)?.0),
        };
        if ["config.json", "model.safetensors"].iter().any(|name| to.join(name).exists()) {
            return Err(ModelError::Occupied(to.into()));
        }
        let path = to.join("config.json");
        let io = |source| ModelError::Io { path: path.clone(), source };
        fs::create_dir_all(to).map_err(io)?;
        let tensors = video_names::to_mae_st(&self.tensors);
        let named = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        write_tensors(&to.join("model.safetensors"), named)?;
        let ours = VideoModelConfig {
            model_type: VideoModelConfig::MODEL_TYPE.into(),
            ..self.config.clone()
        };
        let mut text = serde_json::to_vec_pretty(&ours).expect("plain values");
        text.push(b'\n');
        write_whole(&path, &text).map_err(io)?;
        let sizes = &self.config.sizes;
        Ok(format!(
            "{kind} of {} parameters for clips of {} channels, in {}",
            parameters.count(),
            sizes.num_channels,
            to.display()
        ))
    }

    /// Leaves out the decoder.
    #[must_use]
    pub fn into_encoder(self) -> Self {
        let Self { path, config, mut tensors } = self;
        tensors.retain(|name, _| !is_above_encoder(name));
        Self { path, config: VideoModelConfig { decoder_hidden_size: 0, ..config }, tensors }
    }

    /// Checks the description against the weights' shapes, before a network is built.
    fn check(&self) -> Result<(), ModelError> {
        let refuse = |reason: String| ModelError::Format { path: self.path.clone(), reason };
        let stacks = [
            ("num_hidden_layers", "blocks.", self.config.sizes.num_hidden_layers),
            ("decoder_num_hidden_layers", "decoder_blocks.", self.config.decoder_num_hidden_layers),
        ];
        let decoder = self.config.decoder_hidden_size > 0;
        for (key, stack, stated) in stacks.into_iter().take(1 + usize::from(decoder)) {
            let found = depth(&self.tensors, stack).map_err(refuse)?;
            if found != stated {
                return Err(refuse(format!(
                    "{key} is {stated}, but the weights have {found} {stack}"
                )));
            }
        }
        let mut sketch = Parameters::sketch();
        let encoder = VideoTransformer::new(sketch.root(), &self.config.encoder()?)?;
        if let Some(decoder) = self.config.decoder()? {
            VideoDecoder::new(sketch.root(), &decoder, encoder.grid())?;
        }
        let mismatch = sketch.mismatch(&self.of_encoder(&sketch));
        if mismatch.is_empty() {
            return Ok(());
        }
        Err(ModelError::Mismatch { path: self.path.clone(), mismatch })
    }

    /// The weights without heads and, if `parameters` have no decoder, without the decoder's; fixed
    /// positions, which files leave out, are taken from `parameters`.
    fn of_encoder(&self, parameters: &Parameters) -> HashMap<String, Tensor> {
        let decodes = parameters.get("decoder_embed.weight").is_some();
        let mut tensors = without_head(&self.tensors);
        tensors.retain(|name, _| decodes || !is_above_encoder(name));
        if let Some(fixed) = parameters.get("pos_embed").filter(|table| !table.trainable) {
            let own = || fixed.tensor.shallow_clone();
            tensors.entry("pos_embed".into()).or_insert_with(own);
        }
        tensors
    }

    fn assign(
        &self,
        parameters: &Parameters,
        tensors: &HashMap<String, Tensor>,
    ) -> Result<(), ModelError> {
        parameters
            .assign(tensors)
            .map_err(|mismatch| ModelError::Mismatch { path: self.path.clone(), mismatch })
    }
}

/// The weights without a classifier.
fn without_head(tensors: &HashMap<String, Tensor>) -> HashMap<String, Tensor> {
    let kept = tensors.iter().filter(|(name, _)| !name.starts_with("head."));
    kept.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
}
