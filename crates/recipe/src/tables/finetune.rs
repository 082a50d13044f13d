//! Fine-tuning: a recipe's `[eval.finetune]`, and the settings of the command that
//! fine-tunes any model folder.

use std::path::{Path, PathBuf};

use bauta_data::{Augment, OnError};
use serde::{Deserialize, Serialize};

use crate::document::{Node, parse_override};
use crate::error::RecipeError;
use crate::eval::Features;
use crate::keys::keys_of;
use crate::schema::{Device, ImageSize, Precision};
use crate::validate::{Violation, at_least_one, check_warmup, ensure, non_negative, positive};

/// Training of encoder and classifier on labelled images (MAE, fine-tuning).
///
/// The defaults are for small images and encoders on a CPU, and a short run: the
/// paper's own, for ImageNet, are in `docs/finetuning.md`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FineTune {
    /// Passes over the labelled images.
    pub epochs: u32,
    /// Images in a step.
    pub batch_size: usize,
    /// Learning rate of the head at 256 images a step.
    pub base_lr: f64,
    /// Learning rate at the end of the cosine, before layer scales.
    pub min_lr: f64,
    /// Length of the linear warm-up, in epochs.
    pub warmup_epochs: f64,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// Learning rate of a layer over that of the layer above it; 1 from scratch.
    pub layer_decay: f64,
    /// Rate at which samples skip the last block's branches; less below it.
    pub drop_path: f64,
    /// λ of mixup is drawn from Beta(this, this); 0 leaves it out.
    pub mixup: f64,
    /// λ of CutMix, likewise.
    pub cutmix: f64,
    /// What the labels give up to all classes together.
    pub smoothing: f64,
    /// Probability of erasing a rectangle of an image.
    pub erasing: f64,
    /// Magnitude of RandAugment, 0 to 10; 0 leaves it out.
    pub randaugment: f64,
    /// What the classifier reads: the mean of the patch tokens under a norm of its own,
    /// or the class token after the final norm.
    pub features: Features,
    /// Train only so many blocks, the last ones, and the head; all, and the embeddings,
    /// where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<usize>,
    /// Fraction of the training images whose labels are used, equally many of each class.
    pub labels: f64,
}

impl Default for FineTune {
    fn default() -> Self {
        Self {
            epochs: 5,
            batch_size: 128,
            base_lr: 4e-3,
            min_lr: 1e-6,
            warmup_epochs: 0.5,
            weight_decay: 0.05,
            layer_decay: 0.75,
            drop_path: 0.0,
            mixup: 0.0,
            cutmix: 0.0,
            smoothing: 0.1,
            erasing: 0.0,
            randaugment: 0.0,
            features: Features::Mean,
            blocks: None,
            labels: 1.0,
        }
    }
}

impl FineTune {
    /// The protocol, in words.
    pub fn describe(&self) -> String {
        let what = match self.blocks {
            Some(blocks) => format!("the last {blocks} blocks and a classifier"),
            None => "all of the encoder and a classifier".to_owned(),
        };
        format!(
            "Fine-tuning: {what} on the {}, {} epochs with {} % of the labels, layer decay {} (none \
             from scratch), measured once at the end.",
            self.features.describe(),
            self.epochs,
            100.0 * self.labels,
            self.layer_decay
        )
    }

    pub(crate) fn check(&self) -> Result<(), Violation> {
        at_least_one("eval.finetune.epochs", self.epochs as usize)?;
        at_least_one("eval.finetune.batch_size", self.batch_size)?;
        positive("eval.finetune.base_lr", self.base_lr)?;
        non_negative("eval.finetune.min_lr", self.min_lr)?;
        let (warmup, epochs) = (self.warmup_epochs, self.epochs);
        check_warmup("eval.finetune.warmup_epochs", warmup, "eval.finetune.epochs", epochs)?;
        non_negative("eval.finetune.weight_decay", self.weight_decay)?;
        within("eval.finetune.layer_decay", self.layer_decay, true)?;
        within("eval.finetune.labels", self.labels, true)?;
        for (key, value) in [
            ("eval.finetune.drop_path", self.drop_path),
            ("eval.finetune.smoothing", self.smoothing),
        ] {
            within(key, value, false)?;
        }
        non_negative("eval.finetune.mixup", self.mixup)?;
        non_negative("eval.finetune.cutmix", self.cutmix)?;
        ensure((0.0..=1.0).contains(&self.erasing), &["eval.finetune.erasing"], || {
            format!("eval.finetune.erasing {} is no probability", self.erasing)
        })?;
        ensure((0.0..=10.0).contains(&self.randaugment), &["eval.finetune.randaugment"], || {
            format!("eval.finetune.randaugment {} is outside [0, 10]", self.randaugment)
        })
    }
}

/// In (0, 1], or else in [0, 1).
fn within(key: &'static str, value: f64, with_one: bool) -> Result<(), Violation> {
    let (holds, range) = match with_one {
        true => (value > 0.0 && value <= 1.0, "(0, 1]"),
        false => ((0.0..1.0).contains(&value), "[0, 1)"),
    };
    ensure(holds, &[key], || format!("{key} {value} is outside {range}"))
}

/// What the command that fine-tunes a model folder can be told by dotted keys, which
/// mean what they mean in a recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FineTuneSettings {
    /// Seed of every random stream: order, augmentation, head, list of labels.
    pub seed: u64,
    /// The images.
    pub data: FineTuneData,
    /// Where and how it is computed.
    pub train: FineTuneMachine,
    /// The protocol.
    pub eval: FineTuneProtocol,
}

/// `data` of [`FineTuneSettings`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FineTuneData {
    /// A folder that holds the data set; its cache where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Use only this many training images (the first of the split).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The images' size; the model's own where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<ImageSize>,
    /// What to do with an image that cannot be decoded.
    pub on_error: OnError,
    /// How training images are varied; by the data set where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub augment: Option<Augment>,
}

/// `train` of [`FineTuneSettings`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FineTuneMachine {
    /// Arithmetic of matrix products.
    pub precision: Precision,
    /// Where tensors live.
    pub device: Device,
    /// Threads of libtorch and of the loader; 0 takes every core.
    pub threads: usize,
}

/// `eval` of [`FineTuneSettings`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FineTuneProtocol {
    /// Fine-tuning.
    pub finetune: FineTune,
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
    /// # Ok::<(), bauta_recipe::RecipeError>(())
    /// ```
    ///
    /// # Errors
    /// [`RecipeError`], which names the override and what would do.
    pub fn parse(set: &[String]) -> Result<Self, RecipeError> {
        let mut document = Node::parse("", Path::new("the settings of fine-tuning"))?;
        for assignment in set {
            let (key, node) = parse_override(assignment)?;
            document.set(&key, node);
        }
        let settings = Self::deserialize(&document)
            .map_err(|fault| fault.into_error(&document.place, &keys_of::<Self>()))?;
        settings.eval.finetune.check().map_err(|violation| RecipeError::Invalid {
            place: document.place_of_any(&violation.keys).clone(),
            message: violation.message,
        })?;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_by_its_key() {
        for (assignment, words) in [
            ("eval.finetune.labels=0", "outside (0, 1]"),
            ("eval.finetune.layer_decay=1.5", "outside (0, 1]"),
            ("eval.finetune.drop_path=1", "outside [0, 1)"),
            ("eval.finetune.randaugment=11", "outside [0, 10]"),
            ("eval.finetune.erasing=-1", "no probability"),
            ("eval.finetune.warmup_epochs=90", "longer than the run"),
            ("train.epochs=3", "unknown key train.epochs"),
            ("eval.finetune.batch_size=many", "expected an integer"),
        ] {
            let error = FineTuneSettings::parse(&[assignment.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert!(error.contains(assignment.split('=').next().unwrap()), "{error}");
        }
    }
}
