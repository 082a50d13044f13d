//! `preprocessor_config.json`: how a picture becomes a model's input, in Hugging Face's words.
//!
//! A picture is resized, its middle is cut out, its values in 0 to 255 are multiplied with
//! `rescale_factor`, and channels are standardised, each step if the file says so. What the
//! file leaves out is as the image processor that it names has it. Every key that changes a
//! number is obeyed or refused; none is dropped.

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

/// What pixels are multiplied with, unless a file says something else.
const RESCALE_FACTOR: f64 = 1.0 / 255.0;

/// Steps that are applied, or that do not change pictures with the model's channels.
const KNOWN_STEPS: [&str; 6] = [
    "do_resize",
    "do_rescale",
    "do_normalize",
    "do_center_crop",
    "do_convert_rgb",
    "do_reduce_labels",
];

/// Keys of steps that some processors have and that are not done here, unless null or false.
const REFUSED: [&str; 5] = ["rescale_offset", "offset", "crop_pct", "crop_mode", "pad_size"];

/// How a model's pictures are made ready, as its folder says.
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
    /// Where it was read, for messages.
    path: PathBuf,
    keys: Map<String, Value>,
}

impl PartialEq for Preprocessing {
    /// Whether both say the same, wherever they were read.
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys
    }
}

/// Channels' means and deviations, of bytes scaled to [0, 1] and of other samples in their own
/// units, as [`ImageNormalization::of`] takes them.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelStatistics {
    /// One for each channel.
    pub mean: Vec<f32>,
    /// One for each channel, above 0.
    pub deviation: Vec<f32>,
}

impl Preprocessing {
    /// The name of the file.
    pub const FILE: &str = "preprocessor_config.json";

    /// Describes pictures with values in 0 to 255 that are framed, divided by 255 and
    /// standardised by these channel means and deviations of pixels in [0, 1]. Without a
    /// `framing` nothing is said of it.
    pub fn new(mean: &[f32], deviation: &[f32], framing: Option<Framing>) -> Self {
        Self::of(Samples::BYTES, mean, deviation, framing)
    }

    /// The same of pictures of any samples: those that are no bytes are standardised in their
    /// own units, without a factor.
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

    /// What a folder says: its `preprocessor_config.json`, or the `pretrained_cfg` of timm's
    /// `config.json`; nothing if it has neither.
    ///
    /// # Errors
    /// [`ModelError::Io`] and [`ModelError::Format`] when such a file is there but is not a JSON
    /// object.
    pub fn read(folder: &Path) -> Result<Option<Self>, ModelError> {
        let path = folder.join(FILE);
        if path.exists() {
            let keys = object(&path)?;
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

    /// What the pictures' numbers are; bytes where the file does not say it.
    ///
    /// # Errors
    /// [`ModelError::Format`] for a type that is none, or a range that is none.
    pub fn samples(&self) -> Result<Samples, ModelError> {
        Samples::of(&self.keys).map_err(|reason| self.refuse(reason))
    }

    /// The channels' means and deviations that do to pixels what the file's steps, rescaling
    /// and normalisation, do to their values: of bytes told for pixels in [0, 1], of other
    /// samples in their own units.
    ///
    /// # Errors
    /// [`ModelError::Format`] when the file asks for another step, says nothing of means or
    /// deviations, or does not have one of each for each of `channels`.
    pub fn statistics(&self, channels: usize) -> Result<ChannelStatistics, ModelError> {
        self.statistics_of(channels).map_err(|reason| self.refuse(reason))
    }

    /// The same, ready for pixels on a device.
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

    /// How pictures are resized and cut; nothing if the file does not say it.
    ///
    /// # Errors
    /// [`ModelError::Format`] for sizes that are no sizes and for steps that are not done here.
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
            return Err(format!("image_std has {bad}, but deviations must be above 0"));
        }
        // (x · factor − m) / s, told of x / unit; the usual factor leaves the numbers as they are.
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

    /// A list with one number for each channel, or one number for all of them.
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

    /// Refuses steps that are not done here.
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

    /// The image processor that the file names, if it is one that is known.
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

/// Whether means look like those of bytes while pixels, in units of `scale`, are in [0, 1].
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

/// The value of a key; null is as good as none.
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

/// A value as a message shows it: its beginning, where it is long.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests;
