//! Images as a model folder wants them.

use std::path::Path;
use std::sync::Arc;

use bauta_backbones::{ImageNormalization, ModelFolder, Preprocessing};
use bauta_data::{Decoding, Folder, Framing, Loader, LoaderConfig, OnError, Source, Statistics};
use strum::Display;
use tch::Device;

use super::framing::framing;
use crate::EvalError;

/// Who says how a model's images are normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display)]
pub enum NormalizedBy {
    /// The folder.
    #[strum(to_string = "the model's preprocessor_config.json")]
    Folder,
    /// The images.
    #[strum(to_string = "the data set's statistics")]
    Data,
}

/// How a model's images are normalised: as its folder's `preprocessor_config.json` says, or
/// else by the images' own statistics, which a warning tells.
///
/// # Errors
/// When the file says nothing of it, or a deviation is not positive; the message says whose.
pub fn normalization(
    model: &Path,
    data: Statistics,
    device: Device,
) -> Result<(ImageNormalization, NormalizedBy), EvalError> {
    let (found, by) = match Preprocessing::read(model)? {
        Some(said) => (said.normalization(data.mean.len(), device), NormalizedBy::Folder),
        None => {
            tracing::warn!(
                "{} has no preprocessor_config.json: pixels are normalised by the data set's \
                 statistics, mean {:?} and deviation {:?}, which need not be those that the model \
                 was trained with",
                model.display(),
                data.mean,
                data.std
            );
            (ImageNormalization::new(&data.mean, &data.std, device), NormalizedBy::Data)
        }
    };
    let found = found.map_err(|error| EvalError::from(error).at(format!("normalisation by {by}")));
    Ok((found?, by))
}

/// A user's images, read one by one for a model.
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
    /// images of `channels` and `size` [height, width].
    ///
    /// Pictures are framed as the folder says; where it says nothing, the largest part of a
    /// picture that has the model's ratio is resized bicubically.
    ///
    /// # Errors
    /// When images cannot be found, have other channels, or the folder's words do not suit them.
    pub fn open(
        folder: &ModelFolder,
        model: &Path,
        root: &Path,
        channels: usize,
        size: [usize; 2],
        device: Device,
    ) -> Result<Self, EvalError> {
        let source: Arc<dyn Source> = Arc::new(Folder::all(root, Decoding::default())?);
        let found = source.channels();
        if found != channels {
            let message = format!("images have {found} channels, the model wants {channels}");
            return Err(EvalError::Unsuitable(message));
        }
        let framing =
            framing(folder, size, false).map_err(|error| error.at(model.display().to_string()))?;
        let framing = framing.unwrap_or(Framing::covering(size));
        let (normalization, _) = normalization(model, source.statistics(), device)?;
        Ok(Self { source, normalization, framing, size })
    }

    /// Reads them in their order, in batches; each must be readable.
    ///
    /// # Errors
    /// When there are none.
    pub fn loader(&self, batch_size: usize) -> Result<Loader, EvalError> {
        let [height, width] = self.size;
        let config = LoaderConfig {
            on_error: OnError::Stop,
            framing: Some(self.framing),
            ..LoaderConfig::new(batch_size, height, width)
        };
        Ok(Loader::for_evaluation(Arc::clone(&self.source), config)?)
    }
}
