//! What a learner is made of, and which weights it may change.

use bauta_backbones::BareConfig;
use serde::{Deserialize, Serialize};

use crate::{Density, WeightStart};

/// What a learner is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearnerConfig {
    /// The network.
    pub network: BareConfig,
    /// Classes of a task, c; labels run from 0 in every task.
    pub classes: usize,
    /// Heads of their own for so many tasks, instead of one that all share.
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
    /// All of them (SSNeT): earlier tasks are forgotten.
    Original,
    /// Those that no earlier mask keeps (ExSSNeT): earlier tasks stay as they are.
    Exclusive,
}
