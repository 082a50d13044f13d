//! A learner's settings, and which weights it may change.

use bauta_backbones::BareConfig;
use serde::{Deserialize, Serialize};

use crate::{Density, WeightStart};

/// A learner's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearnerConfig {
    /// The network.
    pub network: BareConfig,
    /// Classes of a task, c; labels run from 0 in every task.
    pub classes: usize,
    /// Separate heads for this many tasks, instead of a shared one.
    pub heads: Option<usize>,
    /// What a mask keeps of each layer; none for the plain network.
    pub density: Option<Density>,
    /// How weights start.
    pub start: WeightStart,
    /// Whether the scores of finished tasks are kept, for `Learner::transfer`: 4n bytes a
    /// task instead of n / 8.
    pub keep_scores: bool,
}

/// Which of a mask's weights may change while weights are learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Editing {
    /// All of them (SSNeT), so that earlier tasks are forgotten.
    Original,
    /// Those that no earlier mask keeps (ExSSNeT), so that earlier tasks do not change.
    Exclusive,
}
