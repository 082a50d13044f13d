//! A user's images, read as a model's input.

use std::path::Path;
use std::sync::Arc;

use bauta_backbones::ImageNormalization;
use bauta_data::{Framing, Loader, LoaderConfig, Source};
use tch::Device;

use super::feature_model::FeatureModel;
use super::images::{loader_config, normalization, open};
use super::said_framing::framing_of;
use crate::EvalError;

/// A folder of images, and their preprocessing for a model.
pub(super) struct UserImages {
    /// Every image below the folder, whatever its subfolders are called.
    pub source: Arc<dyn Source>,
    /// The normalisation of their pixels for the model.
    pub normalization: ImageNormalization,
    framing: Framing,
    size: [usize; 2],
}

impl UserImages {
    /// Opens the images below `root` for the model folder `folder`, located at `model`, which takes
    /// images of `size` [height, width].
    ///
    /// Images are resized and cropped as the folder says; if it does not say, the largest part of
    /// an image that has the model's ratio is resized bicubically.
    ///
    /// # Errors
    /// When images cannot be found, have other channels, or do not suit the folder's preprocessing.
    pub fn open(
        folder: &FeatureModel,
        model: &Path,
        root: &Path,
        size: [usize; 2],
        device: Device,
    ) -> Result<Self, EvalError> {
        let source = open(root, folder)?;
        let framing = framing_of(folder.preprocessing(), size, false);
        let framing = framing.map_err(|error| error.at(model.display().to_string()))?;
        let framing = framing.unwrap_or(Framing::covering(size));
        let (normalization, _) =
            normalization(model, &source.statistics(), source.sample_type(), device)?;
        Ok(Self { source, normalization, framing, size })
    }

    /// Reads the images in order, in batches; an image that cannot be read is an error.
    ///
    /// # Errors
    /// When there are no images.
    pub fn loader(&self, batch_size: usize) -> Result<Loader, EvalError> {
        let framing = Some(self.framing);
        let config = LoaderConfig { framing, ..loader_config(batch_size, self.size) };
        Ok(Loader::for_evaluation(Arc::clone(&self.source), config)?)
    }
}
