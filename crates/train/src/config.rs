//! How an objective is trained: the settings common to all objectives.

use tch::Kind;

use crate::{OptimizerConfig, Rule, Schedule, Shape, TrainError};

/// Arithmetic of matrix products; parameters and losses stay in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Single precision.
    #[default]
    Fp32,
    /// bfloat16 autocast.
    Bf16,
}

impl Precision {
    /// The number type of matrix products.
    pub fn kind(self) -> Kind {
        match self {
            Self::Fp32 => Kind::Float,
            Self::Bf16 => Kind::BFloat16,
        }
    }
}

/// How a phase trains.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainConfig {
    /// Learning rate and number of optimiser steps.
    pub schedule: Schedule,
    /// Optimiser steps in a pass over the data; epochs are counted by it.
    pub steps_per_epoch: u64,
    /// Samples in one input.
    pub batch_size: usize,
    /// Inputs in one optimiser step; their gradients are averaged.
    pub accumulate: usize,
    /// Optimiser settings.
    pub optimizer: OptimizerConfig,
    /// Clip the gradient's global norm to this.
    pub clip_grad: Option<f64>,
    /// Decay of a moving average of the weights, which is saved as the model in their place.
    pub ema: Option<f64>,
    /// Arithmetic of the forward pass.
    pub precision: Precision,
    /// Recompute transformer blocks in the backward pass instead of keeping their values
    /// ([`bauta_libtorch::Checkpointing`]).
    pub checkpoint_blocks: bool,
    /// With several ranks, each keeps the optimiser's state for a share of the parameters
    /// ([`crate::Optimizer::of_share`]); the weights are the same, bit for bit.
    pub shard_optimizer: bool,
    /// Write a checkpoint every this many steps of the phase; with 0, only at its end.
    pub checkpoint_every: u64,
    /// Read losses and write metrics every this many steps of the phase, as well as at its first
    /// step and at checkpoints; with 0, only there.
    pub log_every: u64,
    /// Let observers measure the objective, and write a record, every this many steps of the phase
    /// and at its end; with 0, never. Their time does not count as training time.
    pub measure_every: u64,
}

impl TrainConfig {
    /// AdamW with MAE's settings in single precision, without clipping or averaging, with a record
    /// every 50 steps, a checkpoint at the end and the whole schedule as one epoch.
    pub fn new(schedule: Schedule, batch_size: usize) -> Self {
        Self {
            steps_per_epoch: schedule.steps,
            schedule,
            batch_size,
            accumulate: 1,
            optimizer: OptimizerConfig::default(),
            clip_grad: None,
            ema: None,
            precision: Precision::Fp32,
            checkpoint_blocks: false,
            shard_optimizer: false,
            checkpoint_every: 0,
            log_every: 50,
            measure_every: 0,
        }
    }

    /// Whether a record is due after this many steps of the phase, regardless of checkpoints.
    pub(crate) fn is_log_step(&self, made: u64) -> bool {
        let every = |period: u64| period > 0 && made.is_multiple_of(period);
        made == 1 || made == self.schedule.steps || every(self.log_every) || self.measures(made)
    }

    /// Whether observers measure after this many steps of the phase.
    pub fn measures(&self, made: u64) -> bool {
        let every = self.measure_every;
        every > 0 && (made == self.schedule.steps || made.is_multiple_of(every))
    }

    /// Checks every value.
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        let refuse = |key, value: String, rule| Err(TrainError::Setting { key, value, rule });
        let counts = [
            ("steps", self.schedule.steps),
            ("steps_per_epoch", self.steps_per_epoch),
            ("batch_size", self.batch_size as u64),
            ("accumulate", self.accumulate as u64),
        ];
        if let Some((key, _)) = counts.into_iter().find(|&(_, count)| count == 0) {
            return refuse(key, "0".to_owned(), "must be at least 1");
        }
        let OptimizerConfig { rule, weight_decay, layer_decay } = self.optimizer;
        let Schedule { lr, warmup_steps, ref shape, .. } = self.schedule;
        let of_shape = match *shape {
            Shape::Cosine { min_lr } => Some(("min_lr", min_lr)),
            Shape::Constant => None,
            Shape::Steps { factor, .. } => Some(("factor", factor)),
        };
        let eps = match rule {
            Rule::AdamW { eps, .. } | Rule::Adam { eps, .. } => Some(("eps", eps)),
            Rule::Sgd { .. } => None,
        };
        let decay = layer_decay.map(|layers| ("layer_decay", layers.decay));
        let amounts = [("lr", lr), ("warmup_steps", warmup_steps), ("weight_decay", weight_decay)];
        let wrong = |&(_, amount): &(&str, f64)| !(amount >= 0.0 && amount.is_finite());
        let mut amounts = amounts.into_iter().chain(of_shape).chain(eps).chain(decay);
        if let Some((key, amount)) = amounts.find(wrong) {
            return refuse(key, amount.to_string(), "must be a number of 0 or more");
        }
        if let Some(limit) = self.clip_grad.filter(|&limit| limit.is_nan() || limit <= 0.0) {
            let rule = "must be above 0; leave it out to train without clipping";
            return refuse("clip_grad", limit.to_string(), rule);
        }
        if let Some(decay) = self.ema.filter(|decay| !(0.0..1.0).contains(decay)) {
            return refuse("ema", decay.to_string(), "must be in [0, 1)");
        }
        match rule {
            Rule::AdamW { betas: (a, b), .. } | Rule::Adam { betas: (a, b), .. } => {
                if [a, b].iter().any(|beta| !(0.0..1.0).contains(beta)) {
                    return refuse("betas", format!("{a}, {b}"), "must be in [0, 1)");
                }
            }
            Rule::Sgd { momentum, nesterov } => {
                if !(0.0..1.0).contains(&momentum) {
                    return refuse("momentum", momentum.to_string(), "must be in [0, 1)");
                }
                if nesterov && momentum == 0.0 {
                    return refuse("nesterov", "true".to_owned(), "needs a momentum above 0");
                }
            }
        }
        Ok(())
    }
}
