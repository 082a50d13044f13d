//! The settings of dense tasks: segmentation and detection on a model folder.

use std::path::PathBuf;

use bauta_datasets::OnError;
use serde::{Deserialize, Serialize};

use crate::reading::{
    Checked, SettingsError, Violation, at_least_one, must_be, non_negative, overrides, positive,
};
use crate::tables::Device;
use crate::tables::limits::{check_batch, count, within_limit};

/// The settings of the commands for dense tasks, as dotted keys; the defaults suit two CPU cores
/// and a small model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DenseSettings {
    /// Seed of data, head and order.
    pub seed: u64,
    /// The images.
    pub data: DenseData,
    /// The head that is trained on the encoder.
    pub head: DenseHead,
    /// Optimiser, schedule and bookkeeping.
    pub train: DenseTrain,
}

/// `data` of [`DenseSettings`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DenseData {
    /// The folder of the data; composed digits come from the cache if it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Maximum number of training images; exact number of composed scenes.
    pub limit: usize,
    /// Maximum number of test images; exact number of composed scenes.
    pub test_limit: usize,
    /// Height and width in pixels, the model's own if not given; at least 64 for composed scenes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<usize>,
    /// Maximum number of digits in a composed scene.
    pub objects: usize,
    /// What to do with an image or annotation that cannot be decoded.
    pub on_error: OnError,
}

/// `head` of [`DenseSettings`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DenseHead {
    /// Channels of UPerNet and of the detector, a multiple of 8.
    pub width: usize,
}

/// `train` of [`DenseSettings`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DenseTrain {
    /// Optimiser steps.
    pub steps: u64,
    /// Images per step.
    pub batch_size: usize,
    /// Learning rate at 256 images per step; if not given, it depends on whether the encoder is
    /// frozen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_lr: Option<f64>,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// The device to train on.
    pub device: Device,
    /// Threads of libtorch and of the loader; 0 uses every core.
    pub threads: usize,
    /// Steps between checkpoints; 0 writes one only at the end.
    pub checkpoint_every: u64,
    /// Steps between lines of metrics.
    pub log_every: u64,
}

impl Default for DenseData {
    fn default() -> Self {
        Self {
            root: None,
            limit: 4000,
            test_limit: 500,
            image_size: None,
            objects: 4,
            on_error: OnError::Skip,
        }
    }
}

impl Default for DenseHead {
    fn default() -> Self {
        Self { width: 64 }
    }
}

impl Default for DenseTrain {
    fn default() -> Self {
        Self {
            steps: 300,
            batch_size: 32,
            base_lr: None,
            weight_decay: 0.05,
            device: Device::Auto,
            threads: 0,
            checkpoint_every: 0,
            log_every: 20,
        }
    }
}

impl Checked for DenseSettings {
    fn check(&self) -> Result<(), Violation> {
        let Self { data, head, train, .. } = self;
        at_least_one("data.limit", data.limit)?;
        count("data.test_limit", data.test_limit)?;
        data.image_size.map_or(Ok(()), |side| count("data.image_size", side))?;
        count("data.objects", data.objects)?;
        let width = head.width;
        let whole = width > 0 && width.is_multiple_of(8);
        within_limit("head.width", width as f64)?;
        must_be(whole, "head.width", width, "a multiple of 8")?;
        must_be(train.steps > 0, "train.steps", train.steps, "at least 1")?;
        within_limit("train.steps", train.steps as f64)?;
        count("train.batch_size", train.batch_size)?;
        let side = data.image_size.unwrap_or(1);
        check_batch("train.batch_size", train.batch_size, side, side)?;
        within_limit("train.threads", train.threads as f64)?;
        train.base_lr.map_or(Ok(()), |rate| positive("train.base_lr", rate))?;
        non_negative("train.weight_decay", train.weight_decay)?;
        must_be(train.log_every > 0, "train.log_every", train.log_every, "at least 1")
    }
}

impl DenseSettings {
    /// Reads overrides, `key=value`, over the defaults.
    ///
    /// ```
    /// use bauta_recipe::DenseSettings;
    /// let set = |text: &str| DenseSettings::parse(&[text.to_owned()]);
    /// assert_eq!(set("train.steps=7")?.train.steps, 7);
    /// let error = set("steps=7").unwrap_err().to_string();
    /// assert_eq!(error, "--set steps=7: unknown key steps; did you mean train.steps?");
    /// # Ok::<(), bauta_recipe::reading::SettingsError>(())
    /// ```
    ///
    /// # Errors
    /// [`SettingsError`], which names the override and what is accepted.
    pub fn parse(set: &[String]) -> Result<Self, SettingsError> {
        overrides("the settings of dense tasks", set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(overrides: &[&str]) -> Result<DenseSettings, SettingsError> {
        DenseSettings::parse(&overrides.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn overrides_are_read_and_wrong_ones_refused() {
        let settings = read(&["train.steps=7", "data.image_size = 96"]).unwrap();
        let DenseSettings { seed, data, train, .. } = settings;
        assert_eq!((train.steps, data.image_size, seed), (7, Some(96), 0));
        assert_eq!(read(&[]).unwrap(), DenseSettings::default());
        for (text, words) in [
            ("steps=7", "train.steps"),
            ("train.steps", "key=value"),
            ("train.steps=x", "expected an integer"),
            ("train.steps=0", "at least 1"),
            ("train.base_lr=-1", "above 0"),
            ("train.weight_decay=nan", "at least 0"),
            ("head.width=12", "a multiple of 8"),
            ("data.test_limit=0", "at least 1"),
            ("data.objects=0", "at least 1"),
            ("train.log_every=0", "at least 1"),
            ("train.checkpoint_every=-1", "expected an integer of at least 0"),
        ] {
            let error = read(&[text]).unwrap_err().to_string();
            assert!(error.contains(words) && error.starts_with("--set "), "{error}");
        }
    }
}
