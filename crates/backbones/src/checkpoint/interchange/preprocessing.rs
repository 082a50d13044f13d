//! `preprocessor_config.json`: how an image becomes a model's input, in Hugging Face's format.
//!
//! An image is resized and centre-cropped, its values in 0 to 255 are multiplied by
//! `rescale_factor`, and channels are normalised, each step if the file says so. Keys that the file
//! leaves out take the defaults of the image processor that it names. Every key that affects the
//! values is applied or refused; none is ignored.

mod framing;
mod processors;
mod samples;

use std::fs;
use std::path::{Path, PathBuf};

use bauta_files::write_whole;
use serde_json::{Map, Value, json};
use tch::Device;

pub use framing::{CropRounding, Filter, Framing, Resize};
use processors::Processor;
pub use samples::{SampleKind, Samples};

use super::timm_config;
use crate::checkpoint::regular_file;
use crate::{ImageNormalization, ModelError};

/// The file's name.
const FILE: &str = Preprocessing::FILE;

/// The file of transformers 5 for a model of images and texts, with the same keys in its
/// `image_processor`.
const OF_PROCESSOR: &str = "processor_config.json";

/// Factor that pixels are multiplied by, unless a file gives another.
const RESCALE_FACTOR: f64 = 1.0 / 255.0;

/// Steps that are supported, or that do not change images with the model's channels.
const KNOWN_STEPS: [&str; 6] = [
    "do_resize",
    "do_rescale",
    "do_normalize",
    "do_center_crop",
    "do_convert_rgb",
    "do_reduce_labels",
];

/// Keys of steps of some processors that are not supported, unless null or false.
const REFUSED: [&str; 5] = ["rescale_offset", "offset", "crop_pct", "crop_mode", "pad_size"];

/// How a model's images are preprocessed, according to its folder.
///
/// ```
/// use bauta_backbones::{CropRounding, Framing, Preprocessing, Resize};
/// let (resize, rounding) = (Resize::To([32, 32]), CropRounding::default());
/// let framing = Framing { resize, crop: None, rounding, filter: None };
/// let said = Preprocessing::new(&[0.5; 3], &[0.25; 3], Some(framing));
/// let statistics = said.statistics(3)?;
/// assert_eq!((statistics.mean, statistics.deviation), (vec![0.5; 3], vec![0.25; 3]));
/// assert!(said.statistics(1).is_err());
/// # Ok::<(), bauta_backbones::ModelError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Preprocessing {
    /// The file it was read from, for messages.
    path: PathBuf,
    keys: Map<String, Value>,
}

impl PartialEq for Preprocessing {
    /// Whether both have the same keys, wherever they were read.
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys
    }
}

/// Means and standard deviations of the channels, in units of [0, 1] for bytes and in their own
/// units for other samples, as [`ImageNormalization::of`] takes them.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelStatistics {
    /// One per channel.
    pub mean: Vec<f32>,
    /// One per channel, above 0.
    pub deviation: Vec<f32>,
}

impl Preprocessing {
    /// The name of the file.
    pub const FILE: &str = "preprocessor_config.json";

    /// Describes images with values in 0 to 255 that are resized and cropped by `framing`, divided
    /// by 255 and normalised by these channel means and standard deviations of pixels in [0, 1].
    ///
    /// Without a `framing`, the file does not mention it.
    pub fn new(mean: &[f32], deviation: &[f32], framing: Option<Framing>) -> Self {
        Self::of(Samples::BYTES, mean, deviation, framing)
    }

    /// The same for images of any sample type: samples other than bytes are normalised in their own
    /// units, without a factor.
    pub fn of(samples: Samples, mean: &[f32], deviation: &[f32], framing: Option<Framing>) -> Self {
        let bytes = samples.kind == SampleKind::Uint8;
        let said = json!({
            "do_rescale": bytes,
            "rescale_factor": if bytes { RESCALE_FACTOR } else { 1.0 },
            "do_normalize": true,
            "image_mean": mean,
            "image_std": deviation,
        });
        let mut keys = framing.map(Framing::keys).unwrap_or_default();
        if let Value::Object(said) = said {
            keys.extend(said);
        }
        keys.extend(samples.keys(mean.len()).map(|(key, value)| (key.to_owned(), value)));
        Self { path: FILE.into(), keys }
    }

    /// Reads a folder's `preprocessor_config.json`, or the `image_processor` of its
    /// `processor_config.json`, or the `pretrained_cfg` of timm's `config.json`; `None` if it has
    /// none of them.
    ///
    /// # Errors
    /// [`ModelError::Io`] and [`ModelError::Format`] when such a file exists but is not a JSON
    /// object.
    pub fn read(folder: &Path) -> Result<Option<Self>, ModelError> {
        let path = folder.join(FILE);
        if path.exists() {
            let keys = object(&path)?;
            return Ok(Some(Self { path, keys }));
        }
        let path = folder.join(OF_PROCESSOR);
        if path.exists()
            && let Some(Value::Object(keys)) = object(&path)?.remove("image_processor")
        {
            return Ok(Some(Self { path, keys }));
        }
        let path = folder.join("config.json");
        if !path.exists() {
            return Ok(None);
        }
        let keys = timm_config::preprocessing(&object(&path)?);
        Ok(keys.map(|keys| Self { path, keys }))
    }

    /// Writes `preprocessor_config.json` into a folder, atomically.
    ///
    /// # Errors
    /// [`ModelError::Io`] when it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), ModelError> {
        let path = folder.join(FILE);
        let io = |source| ModelError::Io { path: path.clone(), source };
        fs::create_dir_all(folder).map_err(io)?;
        let mut text = serde_json::to_vec_pretty(&self.keys).expect("a JSON object has a text");
        text.push(b'\n');
        write_whole(&path, &text).map_err(io)
    }

    /// Type and range of the images' samples; bytes if the file does not say.
    ///
    /// # Errors
    /// [`ModelError::Format`] for an unknown type or an invalid range.
    pub fn samples(&self) -> Result<Samples, ModelError> {
        Samples::of(&self.keys).map_err(|reason| self.refuse(reason))
    }

    /// The channel means and standard deviations that combine the file's rescaling and
    /// normalisation: for bytes in units of [0, 1], for other samples in their own units.
    ///
    /// # Errors
    /// [`ModelError::Format`] when the file asks for an unsupported step, lacks means or standard
    /// deviations, or does not have one of each for each of `channels`.
    pub fn statistics(&self, channels: usize) -> Result<ChannelStatistics, ModelError> {
        self.statistics_of(channels).map_err(|reason| self.refuse(reason))
    }

    /// The same, as tensors for pixels on a device.
    ///
    /// # Errors
    /// As [`Self::statistics`].
    pub fn normalization(
        &self,
        channels: usize,
        device: Device,
    ) -> Result<ImageNormalization, ModelError> {
        let ChannelStatistics { mean, deviation } = self.statistics(channels)?;
        ImageNormalization::of(self.samples()?, &mean, &deviation, device)
    }

    /// How images are resized and cropped; `None` if the file does not say.
    ///
    /// # Errors
    /// [`ModelError::Format`] for invalid sizes and for unsupported steps.
    pub fn framing(&self) -> Result<Option<Framing>, ModelError> {
        self.check_steps()
            .and_then(|()| Framing::of(&self.keys, self.processor()))
            .map_err(|reason| self.refuse(reason))
    }

    fn statistics_of(&self, channels: usize) -> Result<ChannelStatistics, String> {
        self.check_steps()?;
        let factor = match flag(&self.keys, "do_rescale")?.unwrap_or(true) {
            true => number(&self.keys, "rescale_factor")?.unwrap_or(RESCALE_FACTOR),
            false => 1.0,
        };
        if factor <= 0.0 {
            return Err(format!("rescale_factor is {factor}, but must be above 0"));
        }
        let (mean, deviation) = match flag(&self.keys, "do_normalize")?.unwrap_or(true) {
            true => (
                self.per_channel("image_mean", channels)?,
                self.per_channel("image_std", channels)?,
            ),
            false => (vec![0.0; channels], vec![1.0; channels]),
        };
        if let Some(&bad) = deviation.iter().find(|&&deviation| deviation <= 0.0) {
            return Err(format!("image_std has {bad}, but standard deviations must be above 0"));
        }
        // (x · factor − m) / s, in terms of x / unit; the usual factor leaves the numbers
        // unchanged.
        let scale = factor * f64::from(Samples::of(&self.keys)?.kind.unit());
        let scale = if (scale - 1.0).abs() < 1e-6 { 1.0 } else { scale };
        if are_of_bytes(&mean, scale) {
            tracing::warn!(
                "{}: image_mean is {mean:?}, but pixels are rescaled to [0, 1]; means above 1 look \
                 like units of 0 to 255: set do_rescale = false, or divide image_mean and \
                 image_std by 255",
                self.path.display()
            );
        }
        let scaled = |values: Vec<f64>| values.iter().map(|value| (value / scale) as f32).collect();
        let found = ChannelStatistics { mean: scaled(mean), deviation: scaled(deviation) };
        let usable = |value: &f32| value.is_finite();
        if !found.mean.iter().chain(&found.deviation).all(usable) || found.deviation.contains(&0.0)
        {
            return Err(
                "image_mean, image_std and rescale_factor do not give finite numbers".into()
            );
        }
        Ok(found)
    }

    /// A list with one number per channel, or one number for all of them.
    fn per_channel(&self, key: &str, channels: usize) -> Result<Vec<f64>, String> {
        let Some(value) = said(&self.keys, key) else {
            let usual = self.processor().and_then(|processor| processor.statistics(key));
            return match usual {
                Some(usual) if usual.len() == channels => Ok(usual.to_vec()),
                Some(usual) => Err(format!(
                    "{key} is missing, and its {} default values do not fit {channels} channels; \
                     add it",
                    usual.len()
                )),
                None => Err(format!(
                    "{key} is missing; add it, or do_normalize = false if pixels are not \
                     standardised"
                )),
            };
        };
        if let Some(one) = value.as_f64() {
            return Ok(vec![one; channels]);
        }
        let list = value.as_array().map(|list| list.iter().map(Value::as_f64).collect());
        let Some(Some(list)): Option<Option<Vec<f64>>> = list else {
            return Err(format!("{key} is {}, but must be a list of numbers", brief(value)));
        };
        if list.len() != channels {
            return Err(format!(
                "{key} has values for {} channels, but the images have {channels}; it must have \
                 one per channel",
                list.len()
            ));
        }
        Ok(list)
    }

    /// Refuses unsupported steps.
    fn check_steps(&self) -> Result<(), String> {
        let steps = self.keys.keys().filter(|key| key.starts_with("do_"));
        let steps = steps.map(String::as_str).filter(|key| !KNOWN_STEPS.contains(key));
        for key in steps.chain(REFUSED) {
            match said(&self.keys, key) {
                None | Some(Value::Bool(false)) => {}
                Some(value) => {
                    return Err(format!(
                        "{key} is {}, a step that is not supported; prepare the pictures \
                         beforehand, and keep only the remaining steps in preprocessor_config.json",
                        brief(value)
                    ));
                }
            }
        }
        Ok(())
    }

    /// The image processor that the file names, if it is a known one.
    fn processor(&self) -> Option<Processor> {
        ["image_processor_type", "feature_extractor_type"]
            .iter()
            .find_map(|key| self.keys.get(*key)?.as_str())
            .and_then(Processor::named)
    }

    fn refuse(&self, reason: String) -> ModelError {
        ModelError::Format { path: self.path.clone(), reason }
    }
}

/// Whether means look like those of bytes although pixels, in units of `scale`, are in [0, 1].
fn are_of_bytes(mean: &[f64], scale: f64) -> bool {
    scale == 1.0 && mean.iter().any(|&mean| mean > 1.0)
}

/// Reads a file's JSON object.
fn object(path: &Path) -> Result<Map<String, Value>, ModelError> {
    let format = |reason: String| ModelError::Format { path: path.into(), reason };
    let text = regular_file::read_text(path)?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(keys)) => Ok(keys),
        Ok(other) => Err(format(format!("it holds {}, not a JSON object", brief(&other)))),
        Err(error) => Err(format(error.to_string())),
    }
}

/// The value of a key; null counts as missing.
fn said<'a>(keys: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    keys.get(key).filter(|value| !value.is_null())
}

fn flag(keys: &Map<String, Value>, key: &str) -> Result<Option<bool>, String> {
    let wrong = |value| format!("{key} is {}, but must be true or false", brief(value));
    said(keys, key).map(|value| value.as_bool().ok_or_else(|| wrong(value))).transpose()
}

fn number(keys: &Map<String, Value>, key: &str) -> Result<Option<f64>, String> {
    let wrong = |value| format!("{key} is {}, but must be a number", brief(value));
    said(keys, key).map(|value| value.as_f64().ok_or_else(|| wrong(value))).transpose()
}

/// A value for a message, shortened if it is long.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests;
