//! Images as a model folder wants them.

use std::path::Path;
use std::sync::Arc;

use bauta_backbones::{Filter, Framing, ImageNormalization, Preprocessing, Resize};
use bauta_data::{Decoding, Folder, LoaderConfig, OnError, Source, Statistics};
use strum::Display;
use tch::Device;

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
/// else by the images' own statistics.
///
/// # Errors
/// When the file says nothing of it, or a deviation is not positive; the message says whose.
pub fn normalization(
    model: &Path,
    data: Statistics,
    device: Device,
) -> Result<(ImageNormalization, NormalizedBy), EvalError> {
    let told = Preprocessing::read(model)?;
    if told.is_none() {
        tracing::warn!(
            "{}: no {} says how its pictures are normalised; assumed are the data's mean {:?} and \
             deviation {:?}",
            model.display(),
            Preprocessing::FILE,
            data.mean,
            data.std
        );
    }
    let (found, by) = match told {
        Some(said) => (said.normalization(data.mean.len(), device), NormalizedBy::Folder),
        None => (ImageNormalization::new(&data.mean, &data.std, device), NormalizedBy::Data),
    };
    let found = found.map_err(|error| EvalError::from(error).at(format!("normalisation by {by}")));
    Ok((found?, by))
}

/// How evaluation brings the pictures of a source to `size`, height and width: the middle of
/// their shorter side, or all of those that have the size already. Nothing where that has no
/// words, as of rectangles, which take another part of a picture by its ratio.
pub fn framing(source: &dyn Source, size: [usize; 2]) -> Option<Framing> {
    let own = source.image(0).ok().map(|image| [image.height(), image.width()]);
    let (resize, crop) = match size {
        _ if own == Some(size) => (Resize::To(size), None),
        [height, width] if height == width => (Resize::ShorterSide(height * 8 / 7), Some(size)),
        _ => return None,
    };
    Some(Framing { resize, crop, filter: Some(Filter::Bicubic) })
}

/// Every image below a user's folder, whatever its subfolders are called; of so many channels.
pub(super) fn open(input: &Path, channels: usize) -> Result<Arc<dyn Source>, EvalError> {
    let source: Arc<dyn Source> = Arc::new(Folder::all(input, Decoding::default())?);
    let found = source.channels();
    if found != channels {
        let message = format!("images have {found} channels, the model wants {channels}");
        return Err(EvalError::Unsuitable(message));
    }
    Ok(source)
}

/// How a user's images are read: each of them, or an error.
pub(super) fn loader_config(batch_size: usize, [height, width]: [usize; 2]) -> LoaderConfig {
    LoaderConfig { on_error: OnError::Stop, ..LoaderConfig::new(batch_size, height, width) }
}
