//! A learner's settings, and the weights that it can change.

use bauta_backbones::BareConfig;
use serde::{Deserialize, Serialize};

use crate::{Density, SupermaskError, WeightStart};

/// A learner's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearnerConfig {
    /// The network.
    pub network: BareConfig,
    /// Classes per task, c; labels start from 0 in every task.
    pub classes: usize,
    /// Number of tasks with separate heads; `None` for a shared head.
    pub heads: Option<usize>,
    /// The fraction of each layer that a mask keeps; none for the plain network.
    pub density: Option<Density>,
    /// How weights are initialised.
    pub start: WeightStart,
    /// Whether the scores of finished tasks are kept, for `Learner::transfer`: 4n bytes per task
    /// instead of n / 8.
    pub keep_scores: bool,
}

impl LearnerConfig {
    /// Refuses more tasks than there are separate heads.
    pub(crate) fn check_tasks(&self, tasks: usize) -> Result<(), SupermaskError> {
        match self.heads {
            Some(heads) if tasks > heads => Err(SupermaskError::Setting {
                key: "heads",
                value: heads.to_string(),
                rule: format!("at least {tasks}, one for each task"),
            }),
            _ => Ok(()),
        }
    }
}

/// The weights of a mask that can change while weights are learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Editing {
    /// All of them (SSNeT); earlier tasks are forgotten.
    Original,
    /// Those that no earlier mask keeps (ExSSNeT); earlier tasks do not change.
    Exclusive,
}
