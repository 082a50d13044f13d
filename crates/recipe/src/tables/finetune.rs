//! The `eval.finetune` table: encoder and classifier trained on labelled images.

use serde::{Deserialize, Serialize};

use super::limits::{count, within_limit};
use super::pooling::Pooling;
use super::train::check_warmup;
use crate::reading::{Violation, below_one, fraction, must_be, non_negative, positive};

/// Training of encoder and classifier on labelled images (MAE, fine-tuning).
///
/// The defaults are for small images and encoders on a CPU, and a short run: the
/// paper's own, for ImageNet, are in `docs/finetuning.md`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FineTune {
    /// Passes over the labelled images.
    pub epochs: u32,
    /// Images per step.
    pub batch_size: usize,
    /// Learning rate of the head at 256 images per step.
    pub base_lr: f64,
    /// Learning rate at the end of the cosine, before layer scales.
    pub min_lr: f64,
    /// Length of the linear warm-up, in epochs.
    pub warmup_epochs: f64,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// Learning rate of a layer relative to the layer above it; 1 from scratch.
    pub layer_decay: f64,
    /// Stochastic depth: the probability that a sample skips the last block's branches; it falls
    /// linearly to 0 at the first block.
    pub drop_path: f64,
    /// Mixup: λ is drawn from Beta(α, α) with this α; 0 turns it off.
    pub mixup: f64,
    /// CutMix: the same for its λ.
    pub cutmix: f64,
    /// Label smoothing.
    pub smoothing: f64,
    /// Probability of erasing a rectangle of an image.
    pub erasing: f64,
    /// Magnitude of RandAugment, 0 to 10; 0 turns it off.
    pub randaugment: f64,
    /// What the classifier reads: the mean of the patch tokens under its own norm, or the class
    /// token after the final norm.
    pub features: Pooling,
    /// Train only this many of the last blocks and the head; everything if not given.
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
            features: Pooling::Mean,
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

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for the first value that makes no sense.
    pub fn check(&self) -> Result<(), Violation> {
        count("eval.finetune.epochs", self.epochs as usize)?;
        count("eval.finetune.batch_size", self.batch_size)?;
        positive("eval.finetune.base_lr", self.base_lr)?;
        non_negative("eval.finetune.min_lr", self.min_lr)?;
        let (warmup, epochs) = (self.warmup_epochs, self.epochs);
        check_warmup("eval.finetune.warmup_epochs", warmup, "eval.finetune.epochs", epochs)?;
        non_negative("eval.finetune.weight_decay", self.weight_decay)?;
        for (key, share) in
            [("eval.finetune.layer_decay", self.layer_decay), ("eval.finetune.labels", self.labels)]
        {
            must_be(share > 0.0 && share <= 1.0, key, share, "in (0, 1]")?;
        }
        below_one("eval.finetune.drop_path", self.drop_path)?;
        below_one("eval.finetune.smoothing", self.smoothing)?;
        non_negative("eval.finetune.mixup", self.mixup)?;
        non_negative("eval.finetune.cutmix", self.cutmix)?;
        within_limit("eval.finetune.mixup", self.mixup)?;
        within_limit("eval.finetune.cutmix", self.cutmix)?;
        if let Some(blocks) = self.blocks {
            within_limit("eval.finetune.blocks", blocks as f64)?;
        }
        fraction("eval.finetune.erasing", self.erasing)?;
        let magnitude = self.randaugment;
        let known = (0.0..=10.0).contains(&magnitude);
        must_be(known, "eval.finetune.randaugment", magnitude, "in [0, 10]")
    }
}
