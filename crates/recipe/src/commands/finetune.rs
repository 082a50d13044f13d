//! The settings of the command that fine-tunes any model folder.

use std::path::PathBuf;

use bauta_datasets::{Augment, OnError};
use serde::{Deserialize, Serialize};

use crate::reading::{
    Checked, SettingsError, Violation, at_least_one, must_be, overrides, proper_fraction,
};
use crate::tables::images::check_augment;
use crate::tables::limits::{check_batch, within_limit};
use crate::tables::{Device, FineTune, ImageSize, Precision};

/// The settings of the command that fine-tunes a model folder, as dotted keys with the same meaning
/// as in a recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FineTuneSettings {
    /// Seed of every random stream: order, augmentation, head, list of labels.
    pub seed: u64,
    /// The images.
    pub data: FineTuneData,
    /// Device, number format and bookkeeping.
    pub train: FineTuneMachine,
    /// The protocol.
    pub eval: FineTuneProtocol,
}

/// `data` of [`FineTuneSettings`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FineTuneData {
    /// A folder that holds the data set; its cache if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Use only this many training images, spread evenly over the classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The fraction held out for evaluation if a folder has no test split, in (0, 1), as in its
    /// recipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holdout: Option<f64>,
    /// The images' size; the model's own if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<ImageSize>,
    /// What to do with an image that cannot be decoded.
    pub on_error: OnError,
    /// Augmentation of training images; if not given, it depends on the data set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub augment: Option<Augment>,
}

/// `train` of [`FineTuneSettings`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FineTuneMachine {
    /// Number format of matrix products; weights and losses stay in fp32.
    pub precision: Precision,
    /// The device to train on.
    pub device: Device,
    /// Threads of libtorch and of the loader; 0 uses every core.
    pub threads: usize,
    /// Steps between checkpoints; 0 writes one only at the end.
    pub checkpoint_every: u64,
    /// Steps between lines of metrics.
    pub log_every: u64,
}

impl Default for FineTuneMachine {
    fn default() -> Self {
        let (precision, device) = (Precision::default(), Device::default());
        Self { precision, device, threads: 0, checkpoint_every: 0, log_every: 50 }
    }
}

/// `eval` of [`FineTuneSettings`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FineTuneProtocol {
    /// Fine-tuning.
    pub finetune: FineTune,
}

impl Checked for FineTuneSettings {
    fn check(&self) -> Result<(), Violation> {
        let FineTuneData { limit, holdout, image_size, augment, .. } = &self.data;
        limit.map_or(Ok(()), |limit| at_least_one("data.limit", limit))?;
        holdout.map_or(Ok(()), |part| proper_fraction("data.holdout", part))?;
        if let Some(size) = *image_size {
            size.check("data.image_size")?;
            let batch = self.eval.finetune.batch_size;
            check_batch("eval.finetune.batch_size", batch, size.height(), size.width())?;
        }
        if let Some(augment) = augment {
            // If the model determines the size, any shift that fits images of some size is
            // accepted.
            let size = image_size.unwrap_or(ImageSize::Square(usize::from(u16::MAX)));
            check_augment(augment, size)?;
        }
        within_limit("train.threads", self.train.threads as f64)?;
        let every = self.train.log_every;
        must_be(every > 0, "train.log_every", every, "at least 1")?;
        self.eval.finetune.check()
    }
}

impl FineTuneSettings {
    /// Reads overrides, `key=value`, over the defaults.
    ///
    /// ```
    /// use bauta_recipe::FineTuneSettings;
    /// let set = |text: &str| FineTuneSettings::parse(&[text.to_owned()]);
    /// assert_eq!(set("eval.finetune.epochs=3")?.eval.finetune.epochs, 3);
    /// let error = set("eval.finetune.epoch=3").unwrap_err().to_string();
    /// assert!(error.ends_with("did you mean eval.finetune.epochs?"), "{error}");
    /// # Ok::<(), bauta_recipe::reading::SettingsError>(())
    /// ```
    ///
    /// # Errors
    /// [`SettingsError`], which names the override and what is accepted.
    pub fn parse(set: &[String]) -> Result<Self, SettingsError> {
        overrides("the settings of fine-tuning", set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_by_its_key() {
        for (assignment, words) in [
            ("eval.finetune.labels=0", "must be in (0, 1]"),
            ("eval.finetune.layer_decay=1.5", "must be in (0, 1]"),
            ("eval.finetune.drop_path=1", "must be in [0, 1)"),
            ("eval.finetune.randaugment=11", "must be in [0, 10]"),
            ("eval.finetune.erasing=-1", "must be in [0, 1]"),
            ("eval.finetune.warmup_epochs=90", "longer than the run"),
            ("train.epochs=3", "unknown key train.epochs"),
            ("eval.finetune.batch_size=many", "expected an integer"),
            ("train.log_every=0", "must be at least 1"),
            ("data.limit=0", "must be at least 1"),
            ("data.holdout=1", "must be in (0, 1)"),
            ("data.image_size=0", "must be at least 1"),
            ("data.augment.erasing=2", "data.augment.erasing = 2"),
        ] {
            let error = FineTuneSettings::parse(&[assignment.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert!(error.contains(assignment.split('=').next().unwrap()), "{error}");
        }
    }
}
