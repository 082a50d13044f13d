//! The `train` table, which every recipe has.

use serde::{Deserialize, Serialize};
use strum::Display;
use toml::Table;

use super::limits::{count, within_limit};
use crate::reading::{Place, Violation, each_must_be, ensure, must_be, non_negative, positive};

/// Optimiser, schedule and bookkeeping.
///
/// Keys that the chosen optimiser and schedule do not read have their defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Passes over the training images.
    pub epochs: u32,
    /// Images in one forward pass.
    pub batch_size: usize,
    /// Forward passes in one optimiser step.
    #[serde(default = "defaults::accumulate")]
    pub accumulate: usize,
    /// The optimiser.
    #[serde(default)]
    pub optimizer: Optimizer,
    /// Learning rate at 256 images per step; scaled by `batch_size · accumulate / 256`.
    pub base_lr: f64,
    /// The schedule of the learning rate after the warm-up.
    #[serde(default)]
    pub schedule: Schedule,
    /// With schedule `cosine`: the learning rate at its end, before layer scales.
    #[serde(default)]
    pub min_lr: f64,
    /// With schedule `steps`: the epochs, or fractions of them, at which the learning rate falls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub milestones: Vec<f64>,
    /// With schedule `steps`: the factor of the learning rate at each milestone.
    #[serde(default = "defaults::decay")]
    pub decay: f64,
    /// Length of the linear warm-up, in epochs.
    #[serde(default)]
    pub warmup_epochs: f64,
    /// Weight decay of matrices: decoupled with `adamw`, otherwise part of the gradient.
    #[serde(default = "defaults::weight_decay")]
    pub weight_decay: f64,
    /// With optimizer `adamw` or `adam`: decay rates of the first and second moment.
    #[serde(default = "defaults::betas")]
    pub betas: [f64; 2],
    /// With optimizer `sgd`: the momentum.
    #[serde(default = "defaults::momentum")]
    pub momentum: f64,
    /// Clip the gradient's global norm to this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_grad: Option<f64>,
    /// Keep an exponential moving average of the weights with this decay, and evaluate it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Number format of matrix products; weights and losses stay in fp32.
    #[serde(default)]
    pub precision: Precision,
    /// Keep only the input of each transformer block and recompute the rest in the backward pass:
    /// the same result with less memory and more time. Nothing is recomputed if not given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checkpoint_blocks: bool,
    /// With several processes, each keeps the optimiser's moments of a share of the weights and
    /// updates that share in every step: the same result with less memory. If not given, each
    /// process keeps all moments.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shard_optimizer: bool,
    /// The device to train on.
    #[serde(default)]
    pub device: Device,
    /// Threads of libtorch and of the loader; 0 uses every core.
    #[serde(default)]
    pub threads: usize,
    /// Steps between checkpoints; 0 writes one only at the end.
    #[serde(default)]
    pub checkpoint_every: u64,
    /// Steps between lines of metrics.
    #[serde(default = "defaults::log_every")]
    pub log_every: u64,
}

/// Optimisers, by the names that recipes use, in the order of the documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Optimizer {
    /// Adam with decoupled weight decay (arXiv 1711.05101).
    #[default]
    AdamW,
    /// Adam (arXiv 1412.6980).
    Adam,
    /// Gradient descent with momentum.
    Sgd,
}

/// Learning-rate schedules after the warm-up, by the names that recipes use, in the order of the
/// documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Schedule {
    /// Half a cosine, down to `train.min_lr`.
    #[default]
    Cosine,
    /// Constant to the end.
    Constant,
    /// Multiplied by `train.decay` at each of `train.milestones`.
    Steps,
}

/// Arithmetic of matrix products; parameters and losses stay in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Precision {
    /// Single precision.
    #[default]
    Fp32,
    /// bfloat16 autocast.
    Bf16,
    /// bfloat16 where the device multiplies it natively, otherwise single precision.
    Auto,
}

/// The device to train on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Device {
    /// CUDA if libtorch finds a device, otherwise the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The first CUDA device.
    Cuda,
}

mod defaults {
    pub(super) fn accumulate() -> usize {
        1
    }
    pub(super) fn weight_decay() -> f64 {
        0.05
    }
    pub(super) fn betas() -> [f64; 2] {
        [0.9, 0.95]
    }
    pub(super) fn momentum() -> f64 {
        0.9
    }
    pub(super) fn decay() -> f64 {
        0.1
    }
    pub(super) fn log_every() -> u64 {
        50
    }
}

/// A key of the table that a choice leaves unused.
struct Unread {
    key: &'static str,
    /// The key whose value decides.
    choice: &'static str,
    /// The values of `choice` with which the key is read.
    readers: &'static str,
}

impl Train {
    /// The keys that its optimiser and schedule do not read.
    fn unread(&self) -> Vec<Unread> {
        let unread = |key, choice, readers| Unread { key, choice, readers };
        let mut keys = match self.optimizer {
            Optimizer::AdamW | Optimizer::Adam => {
                vec![unread("momentum", "train.optimizer", "\"sgd\"")]
            }
            Optimizer::Sgd => vec![unread("betas", "train.optimizer", "\"adamw\" or \"adam\"")],
        };
        if self.schedule != Schedule::Cosine {
            keys.push(unread("min_lr", "train.schedule", "\"cosine\""));
        }
        if self.schedule != Schedule::Steps {
            keys.push(unread("milestones", "train.schedule", "\"steps\""));
            keys.push(unread("decay", "train.schedule", "\"steps\""));
        }
        keys
    }

    /// Refuses keys that the optimiser or the schedule does not use, unless an override, a claim or
    /// a reduced form replaced the optimiser or schedule that the file was written for.
    pub(crate) fn refuse_unread<'a>(
        &self,
        place_of: impl Fn(&str) -> Option<&'a Place>,
    ) -> Result<(), Violation> {
        for Unread { key, choice, readers } in self.unread() {
            let key = format!("train.{key}");
            let Some(place) = place_of(&key) else { continue };
            let laid_over = place_of(choice).is_some_and(|choice| choice.lies_over(place));
            ensure(laid_over, &[&key], || {
                format!("{key} is only used with {choice} {readers}; remove it")
            })?;
        }
        Ok(())
    }

    /// The table of a resolved recipe, without the keys that are not read.
    pub(crate) fn written(&self) -> Result<Table, toml::ser::Error> {
        let mut table = Table::try_from(self)?;
        self.unread().iter().for_each(|unread| drop(table.remove(unread.key)));
        Ok(table)
    }

    /// Resets the keys that its optimiser and schedule do not read, so that either choice can be
    /// overridden alone.
    pub(crate) fn keep_own(&mut self) {
        for unread in self.unread() {
            match unread.key {
                "momentum" => self.momentum = defaults::momentum(),
                "betas" => self.betas = defaults::betas(),
                "min_lr" => self.min_lr = 0.0,
                "milestones" => self.milestones.clear(),
                _ => self.decay = defaults::decay(),
            }
        }
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for the first value that makes no sense.
    pub fn check(&self) -> Result<(), Violation> {
        count("train.epochs", self.epochs as usize)?;
        count("train.batch_size", self.batch_size)?;
        count("train.accumulate", self.accumulate)?;
        within_limit("train.threads", self.threads as f64)?;
        positive("train.base_lr", self.base_lr)?;
        non_negative("train.min_lr", self.min_lr)?;
        check_warmup("train.warmup_epochs", self.warmup_epochs, "train.epochs", self.epochs)?;
        self.check_milestones()?;
        let decay = self.decay;
        must_be(decay > 0.0 && decay <= 1.0, "train.decay", decay, "in (0, 1]")?;
        non_negative("train.weight_decay", self.weight_decay)?;
        let rate = |value: f64| (0.0..1.0).contains(&value);
        each_must_be("train.betas", &self.betas, rate, "in [0, 1)")?;
        must_be(rate(self.momentum), "train.momentum", self.momentum, "in [0, 1)")?;
        if let Some(norm) = self.clip_grad {
            positive("train.clip_grad", norm)?;
        }
        if let Some(decay) = self.ema {
            must_be(decay > 0.0 && decay < 1.0, "train.ema", decay, "in (0, 1)")?;
        }
        must_be(self.log_every > 0, "train.log_every", self.log_every, "at least 1")
    }

    fn check_milestones(&self) -> Result<(), Violation> {
        const KEY: &str = "train.milestones";
        let given = !self.milestones.is_empty() || self.schedule != Schedule::Steps;
        ensure(given, &[KEY, "train.schedule"], || {
            format!("{KEY} is missing: train.schedule \"steps\" needs it")
        })?;
        let epochs = f64::from(self.epochs);
        let within = |milestone: f64| milestone > 0.0 && milestone < epochs;
        each_must_be(KEY, &self.milestones, within, "above 0 and below train.epochs")?;
        let rises = self.milestones.is_sorted_by(|one, next| one < next);
        ensure(rises, &[KEY], || format!("{KEY} must be strictly increasing"))
    }
}

/// Checks the length of a linear warm-up against that of the training.
pub(crate) fn check_warmup(
    key: &str,
    warmup: f64,
    epochs_key: &str,
    epochs: u32,
) -> Result<(), Violation> {
    non_negative(key, warmup)?;
    ensure(warmup <= f64::from(epochs), &[key, epochs_key], || {
        format!("{key} {warmup} is longer than the run, {epochs_key} {epochs}")
    })
}
