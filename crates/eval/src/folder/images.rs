//! Reading and normalising images as a model folder requires.

use std::path::Path;
use std::sync::Arc;

use bauta_backbones::{
    CropRounding, Filter, Framing, ImageNormalization, Preprocessing, Resize, SampleKind, Samples,
};
use bauta_data::{
    Channels, Decoding, Folder, LoaderConfig, OnError, OpenOptions, SampleType, Source, Statistics,
};
use strum::Display;
use tch::Device;

use super::feature_model::FeatureModel;
use crate::EvalError;

/// The source of a model's normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display)]
pub enum NormalizedBy {
    /// The folder.
    #[strum(to_string = "the model's preprocessor_config.json")]
    Folder,
    /// The images.
    #[strum(to_string = "the data set's statistics")]
    Data,
}

/// How a model's images are normalised: by its folder's `preprocessor_config.json`, or without
/// one by the images' own statistics.
///
/// # Errors
/// When the file has no normalisation, when the images hold other samples than the model's, or a
/// standard deviation is not positive; the message names the source.
pub fn normalization(
    model: &Path,
    own: &Statistics,
    found: SampleType,
    device: Device,
) -> Result<(ImageNormalization, NormalizedBy), EvalError> {
    let told = Preprocessing::read(model)?;
    let Some(said) = told else {
        if found != SampleType::Uint8 {
            return Err(EvalError::Unsuitable(format!(
                "{}: without a {}, images must hold uint8, but these hold {found}; add the file",
                model.display(),
                Preprocessing::FILE
            )));
        }
        tracing::warn!(
            "{}: no {} says how images are normalised; using the data's mean {:?} and standard \
             deviation {:?}",
            model.display(),
            Preprocessing::FILE,
            own.mean,
            own.std
        );
        return Ok((data_normalization(own, found, device)?, NormalizedBy::Data));
    };
    let found = said
        .normalization(own.mean.len(), device)
        .map_err(EvalError::from)
        .and_then(|by| check_samples(&by, found).map(|()| by))
        .map_err(|error| error.at(format!("normalisation by {}", NormalizedBy::Folder)));
    Ok((found?, NormalizedBy::Folder))
}

/// The normalisation of images by their own statistics.
///
/// # Errors
/// When a standard deviation is not positive.
pub fn data_normalization(
    own: &Statistics,
    samples: SampleType,
    device: Device,
) -> Result<ImageNormalization, EvalError> {
    let samples = Samples { kind: kind(samples), range: own.range };
    let found = ImageNormalization::of(samples, &own.mean, &own.std, device);
    found.map_err(|error| {
        EvalError::from(error).at(format!("normalisation by {}", NormalizedBy::Data))
    })
}

/// Refuses images that hold other samples than a model's, with both types in the error.
fn check_samples(wanted: &ImageNormalization, found: SampleType) -> Result<(), EvalError> {
    let wanted = wanted.samples().kind;
    if wanted == kind(found) {
        return Ok(());
    }
    Err(EvalError::Unsuitable(format!(
        "the images hold {found}, but the model takes {} (sample_type); samples are not converted",
        wanted.name()
    )))
}

/// How a user's images are opened for a model with `channels` channels: with the sample type of its
/// folder, and the fraction `holdout` held out if they have no test split.
///
/// # Errors
/// When the sample type in the folder's preprocessing is invalid.
pub fn open_options(
    said: Option<&Preprocessing>,
    channels: usize,
    holdout: Option<f64>,
) -> Result<OpenOptions, EvalError> {
    let Decoding { max_pixels, channels, sample_type } = decoding(said, channels)?;
    Ok(OpenOptions { max_pixels, channels, sample_type, holdout, validation: None })
}

fn decoding(said: Option<&Preprocessing>, channels: usize) -> Result<Decoding, EvalError> {
    let said = said.map(Preprocessing::samples).transpose()?;
    let kind = said.map_or(SampleKind::Uint8, |samples| samples.kind);
    let channels = match channels {
        1 => Channels::Grey,
        _ => Channels::Rgb,
    };
    Ok(Decoding { channels, sample_type: Some(sample_type(kind)), ..Decoding::default() })
}

fn kind(samples: SampleType) -> SampleKind {
    match samples {
        SampleType::Uint8 => SampleKind::Uint8,
        SampleType::Uint16 => SampleKind::Uint16,
        SampleType::Float32 => SampleKind::Float32,
    }
}

fn sample_type(kind: SampleKind) -> SampleType {
    match kind {
        SampleKind::Uint8 => SampleType::Uint8,
        SampleKind::Uint16 => SampleType::Uint16,
        SampleKind::Float32 => SampleType::Float32,
    }
}

/// Refuses images whose number of channels differs from the model's.
///
/// # Errors
/// [`EvalError::Unsuitable`] with both numbers.
pub fn check_channels(
    wanted: usize,
    model: &Path,
    data: &str,
    images: &dyn Source,
) -> Result<(), EvalError> {
    let found = images.channels();
    if found == wanted {
        return Ok(());
    }
    let model = model.display();
    let message = format!("images of {data} have {found} channels, {model} expects {wanted}");
    Err(EvalError::Unsuitable(message))
}

/// How evaluation brings images of a source to `size`, [height, width]: by a centre crop after
/// resizing the shorter side, or as they are if they have that size.
///
/// `None` for other rectangles, whose crop depends on the ratio of each image and cannot be
/// described.
pub fn framing(source: &dyn Source, size: [usize; 2]) -> Option<Framing> {
    let own = source.size(0).ok();
    let (resize, crop) = match size {
        _ if own == Some(size) => (Resize::To(size), None),
        [height, width] if height == width => (Resize::ShorterSide(height * 8 / 7), Some(size)),
        _ => return None,
    };
    // Evaluation crops as torchvision does.
    let rounding = CropRounding::HalfEven;
    Some(Framing { resize, crop, rounding, filter: Some(Filter::Bicubic) })
}

/// Every image below a user's folder, whatever its subfolders are called, decoded to the channels
/// and samples that a model takes.
pub(super) fn open(input: &Path, folder: &FeatureModel) -> Result<Arc<dyn Source>, EvalError> {
    let channels = folder.channels();
    let source: Arc<dyn Source> =
        Arc::new(Folder::all(input, decoding(folder.preprocessing(), channels)?)?);
    let found = source.channels();
    if found != channels {
        let message = format!("images have {found} channels, the model expects {channels}");
        return Err(EvalError::Unsuitable(message));
    }
    Ok(source)
}

/// How a user's images are read: an image that cannot be read is an error.
pub(super) fn loader_config(batch_size: usize, [height, width]: [usize; 2]) -> LoaderConfig {
    LoaderConfig { on_error: OnError::Stop, ..LoaderConfig::new(batch_size, height, width) }
}
