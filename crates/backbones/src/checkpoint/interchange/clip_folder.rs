//! A folder with an encoder of clips, of either architecture.

use std::path::Path;

use serde_json::Value;
use tch::Device;

use super::spacetime_folder::HEAD;
use super::{SpacetimeFolder, SpacetimeModelConfig, VideoFolder, VideoModelConfig};
use crate::encoder_with_head::HEAD_STD;
use crate::{ClipEncoder, Init, Linear, ModelError, Parameters, SpacetimeConv, VideoTransformer};

/// A model folder of an encoder of clips, for evaluating its features and for fine-tuning.
#[derive(Debug)]
pub enum ClipFolder {
    /// A video transformer.
    Transformer(VideoFolder),
    /// A (2+1)D residual network.
    Convolution(SpacetimeFolder),
}

impl ClipFolder {
    /// Whether a folder's `config.json` describes a model of clips.
    pub fn describes(folder: &Path) -> bool {
        VideoFolder::describes(folder) || SpacetimeFolder::describes(folder)
    }

    /// Reads a folder.
    ///
    /// # Errors
    /// As [`VideoFolder::read`] and [`SpacetimeFolder::read`].
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        Ok(match SpacetimeFolder::describes(folder) {
            true => Self::Convolution(SpacetimeFolder::read(folder)?),
            false => Self::Transformer(VideoFolder::read(folder)?),
        })
    }

    /// Channels of a frame, C.
    pub fn channels(&self) -> usize {
        match self {
            Self::Transformer(folder) => folder.config().sizes.num_channels,
            Self::Convolution(folder) => folder.config().network.channels,
        }
    }

    /// Frames of a clip, T.
    pub fn frames(&self) -> usize {
        match self {
            Self::Transformer(folder) => folder.config().num_frames,
            Self::Convolution(folder) => folder.config().frames,
        }
    }

    /// Per-channel means and standard deviations for normalising frames in [0, 1].
    pub fn statistics(&self) -> [&[f32]; 2] {
        match self {
            Self::Transformer(folder) => [&folder.config().image_mean, &folder.config().image_std],
            Self::Convolution(folder) => [&folder.config().image_mean, &folder.config().image_std],
        }
    }

    /// Builds the encoder on a device, with the folder's weights.
    ///
    /// # Errors
    /// [`ModelError::Mismatch`] when weights and description disagree.
    pub fn encoder(&self, device: Device) -> Result<(Parameters, ClipEncoder), ModelError> {
        match self {
            Self::Transformer(folder) => {
                let (parameters, network) = folder.encoder(device)?;
                Ok((parameters, ClipEncoder::Transformer(network.into())))
            }
            Self::Convolution(folder) => {
                let (parameters, network) = folder.encoder(device)?;
                Ok((parameters, convolution(network, folder.config())))
            }
        }
    }

    /// Builds the same encoder with initial weights drawn from `seed`.
    ///
    /// # Errors
    /// [`ModelError::Geometry`] and [`ModelError::Config`] for sizes that do not fit.
    pub fn untrained(
        &self,
        seed: u64,
        device: Device,
    ) -> Result<(Parameters, ClipEncoder), ModelError> {
        match self {
            Self::Transformer(folder) => {
                let mut parameters = Parameters::new(seed, device);
                let config = folder.config().encoder()?;
                let network = VideoTransformer::new(parameters.root(), &config)?;
                Ok((parameters, ClipEncoder::Transformer(network.into())))
            }
            Self::Convolution(folder) => {
                let (parameters, network) = folder.untrained(seed, device)?;
                Ok((parameters, convolution(network, folder.config())))
            }
        }
    }

    /// Builds the encoder, with the folder's weights or from scratch, and a new classifier [D,
    /// classes] of the clip's feature vector.
    ///
    /// The classifier is named `head` for a transformer, as in mae_st's files, and `fc` for a
    /// residual network, as in torchvision's.
    ///
    /// # Errors
    /// As [`Self::encoder`] and [`Self::untrained`].
    pub fn classifier(
        &self,
        classes: usize,
        from_scratch: bool,
        seed: u64,
        device: Device,
    ) -> Result<(Parameters, ClipEncoder, Linear), ModelError> {
        match self {
            Self::Transformer(folder) => {
                let (parameters, network, head) = match from_scratch {
                    true => folder.untrained_classifier(classes, seed, device)?,
                    false => folder.classifier(classes, seed, device)?,
                };
                Ok((parameters, ClipEncoder::Transformer(network.into()), head))
            }
            Self::Convolution(folder) => {
                let (mut parameters, network) = folder.untrained(seed, device)?;
                if !from_scratch {
                    folder.assign(&parameters)?;
                }
                let encoder = convolution(network, folder.config());
                let (width, start) = (encoder.width(), Init::Normal(HEAD_STD));
                let mut root = parameters.root();
                let head = Linear::starting(root.sub(HEAD), width, classes, start, true);
                Ok((parameters, encoder, head))
            }
        }
    }

    /// The `config.json` of its encoder with a classifier.
    pub fn described(&self) -> Value {
        let described = match self {
            Self::Transformer(folder) => serde_json::to_value(VideoModelConfig {
                model_type: VideoModelConfig::MODEL_TYPE.to_owned(),
                decoder_hidden_size: 0,
                ..folder.config().clone()
            }),
            Self::Convolution(folder) => serde_json::to_value(folder.config()),
        };
        described.expect("a configuration is plain values")
    }
}

fn convolution(network: SpacetimeConv, config: &SpacetimeModelConfig) -> ClipEncoder {
    let SpacetimeModelConfig { frames, image_size, .. } = *config;
    ClipEncoder::Convolution { network: network.into(), clip: [frames, image_size, image_size] }
}
