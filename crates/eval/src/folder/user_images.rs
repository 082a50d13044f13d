//! A user's own images, read one by one for a model.

use std::path::Path;
use std::sync::Arc;

use bauta_backbones::ImageNormalization;
use bauta_data::{Framing, Loader, LoaderConfig, Source};
use tch::Device;

use super::feature_model::FeatureModel;
use super::images::{loader_config, normalization, open};
use super::said_framing::framing_of;
use crate::EvalError;

/// A folder of images, and how they become a model's input.
pub(super) struct UserImages {
    /// Every image below the folder, whatever its subfolders are called.
    pub source: Arc<dyn Source>,
    /// From their pixels to the model's input.
    pub normalization: ImageNormalization,
    framing: Framing,
    size: [usize; 2],
}

impl UserImages {
    /// Opens a folder of images for the model in `folder`, which lies in `model` and takes
    /// images of `size` [height, width].
    ///
    /// Pictures are framed as the folder says; where it says nothing, the largest part of a
    /// picture that has the model's ratio is resized bicubically.
    ///
    /// # Errors
    /// When images cannot be found, have other channels, or the folder's words do not suit them.
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

    /// Reads them in their order, in batches; each must be readable.
    ///
    /// # Errors
    /// When there are none.
    pub fn loader(&self, batch_size: usize) -> Result<Loader, EvalError> {
        let framing = Some(self.framing);
        let config = LoaderConfig { framing, ..loader_config(batch_size, self.size) };
        Ok(Loader::for_evaluation(Arc::clone(&self.source), config)?)
    }
}
