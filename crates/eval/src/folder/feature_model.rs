//! A model folder with an image encoder of any architecture, to be measured or fine-tuned.

use std::path::Path;

use bauta_backbones::{
    EncoderHead, EncoderWithHead, ImageEncoder, ModelError, ModelFolder, Parameters, Pooling,
    Preprocessing, ResNetFolder,
};
use serde_json::Value;
use tch::Device;

use crate::EvalError;

/// An encoder and its parameters.
type Built = (Parameters, Box<dyn ImageEncoder>);

/// A model folder whose features of whole images can be measured.
#[derive(Debug)]
pub enum FeatureModel {
    /// A vision transformer.
    Transformer(Box<ModelFolder>),
    /// A residual network.
    Residual(ResNetFolder),
}

impl From<ModelFolder> for FeatureModel {
    fn from(folder: ModelFolder) -> Self {
        Self::Transformer(Box::new(folder))
    }
}

impl FeatureModel {
    /// Reads a folder.
    ///
    /// # Errors
    /// As [`ModelFolder::read`] and [`ResNetFolder::read`].
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        Ok(match ResNetFolder::describes(folder) {
            true => Self::Residual(ResNetFolder::read(folder)?),
            false => ModelFolder::read(folder)?.into(),
        })
    }

    /// Image channels, C.
    pub fn channels(&self) -> usize {
        match self {
            Self::Transformer(folder) => folder.config().channels(),
            Self::Residual(folder) => folder.config().channels,
        }
    }

    /// Height and width of the images in pixels; for a residual network, which takes any size,
    /// [`ResNetFolder::image_size`].
    pub fn image_size(&self) -> [usize; 2] {
        match self {
            Self::Transformer(folder) => folder.config().image_size(),
            Self::Residual(folder) => folder.image_size(),
        }
    }

    /// Numbers that the height and width of an image must be multiples of.
    pub(super) fn multiple_of(&self) -> [usize; 2] {
        match self {
            Self::Transformer(folder) => folder.config().patch_size(),
            Self::Residual(_) => [1, 1],
        }
    }

    /// Whether position embeddings are interpolated for images of another size.
    pub(super) fn has_positions(&self) -> bool {
        matches!(self, Self::Transformer(_))
    }

    /// The preprocessing of images, if the folder has one.
    pub fn preprocessing(&self) -> Option<&Preprocessing> {
        match self {
            Self::Transformer(folder) => folder.preprocessing(),
            Self::Residual(folder) => folder.preprocessing(),
        }
    }

    /// A description of the feature of an image.
    ///
    /// # Errors
    /// [`EvalError::Unsuitable`] for the class token of a residual network.
    pub fn describe(&self, pooling: Pooling) -> Result<&'static str, EvalError> {
        match (self, pooling) {
            (Self::Residual(_), Pooling::Mean) => Ok("mean over places"),
            (Self::Residual(_), Pooling::Cls) => Err(EvalError::Unsuitable(
                "a residual network has no class token; use the mean".to_owned(),
            )),
            (Self::Transformer(_), Pooling::Mean) => Ok("mean of the patch tokens"),
            (Self::Transformer(_), Pooling::Cls) => Ok("class token"),
        }
    }

    /// Builds the encoder with the folder's weights, for images of the given [height, width] or the
    /// model's own.
    ///
    /// # Errors
    /// As [`ModelFolder::image_encoder`] and [`ResNetFolder::image_encoder`].
    pub fn encoder(
        &self,
        device: Device,
        image_size: Option<[usize; 2]>,
    ) -> Result<Built, ModelError> {
        match self {
            Self::Transformer(folder) => folder.image_encoder(device, image_size),
            Self::Residual(folder) => folder.image_encoder(device, image_size),
        }
    }

    /// Builds the same encoder with initial weights drawn from `seed`.
    ///
    /// # Errors
    /// As [`Self::encoder`].
    pub fn untrained(
        &self,
        seed: u64,
        device: Device,
        image_size: Option<[usize; 2]>,
    ) -> Result<Built, ModelError> {
        match self {
            Self::Transformer(folder) => folder.untrained_image_encoder(seed, device, image_size),
            Self::Residual(folder) => folder.untrained_image_encoder(seed, device, image_size),
        }
    }

    /// The folder prepared for training on whole images ([`ModelFolder::tunable`]); `None` for a
    /// residual network, which needs no preparation.
    pub(crate) fn tunable(&self) -> Option<Self> {
        match self {
            Self::Transformer(folder) => Some(folder.tunable().into()),
            Self::Residual(_) => None,
        }
    }

    /// The encoder with a new classifier of `classes` classes on the pooled feature, and its
    /// `config.json`; with the folder's weights or, `from_scratch`, without.
    ///
    /// # Errors
    /// As [`ModelFolder::classifier`], [`ResNetFolder::classifier`] and [`Self::describe`].
    pub(crate) fn classifier(
        &self,
        (classes, pooling): (usize, Pooling),
        image_size: Option<[usize; 2]>,
        from_scratch: bool,
        seed: u64,
        device: Device,
    ) -> Result<((Parameters, EncoderWithHead), Value), EvalError> {
        self.describe(pooling)?;
        Ok(match self {
            Self::Transformer(folder) => {
                let head = match pooling {
                    Pooling::Mean => EncoderHead::MeanClassifier(classes),
                    Pooling::Cls => EncoderHead::Classifier(classes),
                };
                let built = match from_scratch {
                    true => folder.untrained(head, image_size, seed, device)?,
                    false => folder.classifier(head, image_size, seed, device)?,
                };
                let config = folder.classifier_config(head, image_size)?;
                (built, serde_json::to_value(config).expect("a configuration is plain values"))
            }
            Self::Residual(folder) => {
                let built = match from_scratch {
                    true => folder.untrained(classes, image_size, seed, device)?,
                    false => folder.classifier(classes, image_size, seed, device)?,
                };
                (built, folder.classifier_config(classes))
            }
        })
    }
}
