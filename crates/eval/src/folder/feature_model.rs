//! What features are measured of: a transformer's tokens, or a residual network's last map.

use std::path::Path;

use bauta_backbones::{
    ImageEncoder, ImageNormalization, ModelError, ModelFolder, Moments, Parameters, Pooling,
    Preprocessing, ResNet, ResNetFolder, Stem,
};
use tch::{Device, Tensor};

use crate::encoded::image_features;

/// A model folder whose features of whole images can be measured.
#[derive(Debug)]
pub enum FeatureModel {
    /// A vision transformer.
    Transformer(Box<ModelFolder>),
    /// A residual network.
    Residual(ResNetFolder),
}

/// Its encoder.
pub(super) enum FeatureEncoder {
    Transformer(Box<dyn ImageEncoder>),
    Residual(ResNet),
}

impl FeatureModel {
    /// Reads a folder.
    ///
    /// # Errors
    /// As [`ModelFolder::read`] and [`ResNetFolder::read`].
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        Ok(match ResNetFolder::describes(folder) {
            true => Self::Residual(ResNetFolder::read(folder)?),
            false => Self::Transformer(Box::new(ModelFolder::read(folder)?)),
        })
    }

    /// Image channels, C.
    pub fn channels(&self) -> usize {
        match self {
            Self::Transformer(folder) => folder.config().channels(),
            Self::Residual(folder) => folder.config().channels,
        }
    }

    /// Height and width of the images in pixels: of a residual network, which takes any, those
    /// of its preprocessing, or else of the images that its stem is for.
    pub(super) fn image_size(&self) -> [usize; 2] {
        match self {
            Self::Transformer(folder) => folder.config().image_size(),
            Self::Residual(folder) => {
                let said = folder.preprocessing().and_then(|said| said.framing().ok().flatten());
                let usual = if folder.config().stem == Stem::Large { 224 } else { 32 };
                said.and_then(|said| said.output()).unwrap_or([usual; 2])
            }
        }
    }

    /// What the sides of an image must be multiples of.
    pub(super) fn multiple_of(&self) -> [usize; 2] {
        match self {
            Self::Transformer(folder) => folder.config().patch_size(),
            Self::Residual(_) => [1, 1],
        }
    }

    /// Whether images of another size take positions between those that were learnt.
    pub(super) fn has_positions(&self) -> bool {
        matches!(self, Self::Transformer(_))
    }

    /// How pictures are made ready for it, where its folder says that.
    pub fn preprocessing(&self) -> Option<&Preprocessing> {
        match self {
            Self::Transformer(folder) => folder.preprocessing(),
            Self::Residual(folder) => folder.preprocessing(),
        }
    }

    pub(super) fn encoder(
        &self,
        device: Device,
        image_size: Option<[usize; 2]>,
    ) -> Result<(Parameters, FeatureEncoder), ModelError> {
        Ok(match self {
            Self::Transformer(folder) => {
                let (parameters, encoder) = folder.image_encoder(device, image_size)?;
                (parameters, FeatureEncoder::Transformer(encoder))
            }
            Self::Residual(folder) => {
                let (parameters, network) = folder.encoder(device)?;
                (parameters, FeatureEncoder::Residual(network))
            }
        })
    }

    pub(super) fn untrained(
        &self,
        seed: u64,
        device: Device,
        image_size: Option<[usize; 2]>,
    ) -> Result<(Parameters, FeatureEncoder), ModelError> {
        Ok(match self {
            Self::Transformer(folder) => {
                let (parameters, encoder) =
                    folder.untrained_image_encoder(seed, device, image_size)?;
                (parameters, FeatureEncoder::Transformer(encoder))
            }
            Self::Residual(folder) => {
                let (parameters, network) = folder.untrained(seed, device)?;
                (parameters, FeatureEncoder::Residual(network))
            }
        })
    }
}

impl FeatureEncoder {
    /// Tokens of an image, or what takes as much memory.
    pub(super) fn tokens(&self) -> usize {
        match self {
            Self::Transformer(encoder) => encoder.grid().tokens(),
            Self::Residual(_) => 196,
        }
    }

    /// What its features are, in words.
    pub(super) fn describe(&self, pooling: Pooling) -> &'static str {
        match (self, pooling) {
            (Self::Residual(_), _) => "mean over places",
            (_, Pooling::Mean) => "mean of the patch tokens",
            (_, Pooling::Cls) => "class token",
        }
    }

    /// Features [B, D] of u8 pixels [B, C, H, W].
    pub(super) fn features(
        &self,
        normalization: &ImageNormalization,
        pooling: Pooling,
        pixels: &Tensor,
    ) -> Result<Tensor, ModelError> {
        match self {
            Self::Transformer(encoder) => {
                image_features(&**encoder, normalization, pooling, pixels)
            }
            Self::Residual(network) => {
                network.forward(&normalization.normalize(pixels), Moments::Running)
            }
        }
    }
}
