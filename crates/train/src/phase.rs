//! The phases that a run's training consists of.

use bauta_backbones::Parameters;

use crate::{TrainConfig, TrainError};

/// One objective trained on one feed with one schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// Its name, unique in the run: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// How it trains.
    pub config: TrainConfig,
    /// Its starting state.
    pub start: Start,
    /// Whether its model is kept as `checkpoints/NAME` at its end.
    pub keep: bool,
}

/// The starting state of a phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// The objective as it is, and a new optimiser.
    #[default]
    Fresh,
    /// The objective as it is, and the optimiser's state at the end of the previous phase.
    WithMoments,
    /// The weights and the objective's own state at the end of the previous phase, and a new
    /// optimiser.
    Continue,
}

/// How training a phase ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is finished; the objective holds its final weights and state.
    Finished,
    /// It was stopped, with a checkpoint.
    Stopped {
        /// Steps made in all phases.
        step: u64,
    },
    /// It was finished before, and a later phase has begun; the objective is unchanged.
    Earlier,
}

impl Phase {
    /// A phase that starts with the objective as it is and keeps nothing but the run's last
    /// checkpoint.
    pub fn new(name: impl Into<String>, config: TrainConfig) -> Self {
        Self { name: name.into(), config, start: Start::Fresh, keep: false }
    }

    /// Checks all settings before the first step.
    pub(crate) fn check(&self, parameters: &Parameters) -> Result<(), TrainError> {
        let refuse = |key, rule| {
            let value = format!("\"{}\"", self.name);
            Err(TrainError::Setting { key, value, rule })
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name.is_empty() || !self.name.chars().all(plain) || self.name.starts_with('.') {
            return refuse("name", "must consist of letters, digits, '-', '_' and '.'");
        }
        let taken = self.name == "last" || self.name.starts_with("step-");
        if taken || self.name.ends_with(".partial") {
            return refuse("name", "is a reserved name of checkpoints; choose another");
        }
        if parameters.trainable().next().is_none() {
            return refuse("phase", "its objective has no parameter to train");
        }
        if let Some(layers) = self.config.optimizer.layer_decay
            && let Some(above) = parameters.trainable().find(|p| layers.is_above(&p.name))
        {
            return Err(TrainError::Setting {
                key: "layer_decay",
                value: format!("a depth of {} with the parameter {}", layers.depth, above.name),
                rule: "must have the number of the network's blocks as depth",
            });
        }
        self.config.check()
    }
}
