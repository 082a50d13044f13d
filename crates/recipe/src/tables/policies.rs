//! The `policies` table: what is learnt in addition to the classifier, and how.

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

use crate::reading::{Violation, below_one, fraction, must_be, non_negative, positive};

/// Which policies act, by the names that recipes use.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum LearntPolicies {
    /// The training and the prediction policy.
    #[default]
    Both,
    /// Weights of the labels in the loss; thresholds stay at 0.5.
    Training,
    /// Thresholds of the labels; weights stay at 1.
    Prediction,
    /// Neither: the plain classifier.
    None,
}

/// What thresholds are rewarded for, by the names that recipes use.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum PolicyReward {
    /// Each label for the F1 that its own threshold gains over the policy's mean.
    #[default]
    CounterfactualF1,
    /// The margin between probability and threshold, as recalled from the paper: thresholds
    /// diverge.
    ProbabilityMargin,
    /// All labels for the micro-F1 of a batch: it gains next to nothing.
    ScalarF1,
}

/// The meta-learner and its policies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyTable {
    /// Which policies are learnt and used.
    pub learn: LearntPolicies,
    /// Number of classifiers trained only to learn policies, before the final one.
    pub episodes: u32,
    /// What thresholds are rewarded for.
    pub reward: PolicyReward,
    /// Width of the recurrent state.
    pub hidden: usize,
    /// Standard deviation of an action in logit space.
    pub deviation: f64,
    /// Weights lie within 1 ± this, before they are scaled to mean 1; in [0, 1).
    pub range: f64,
    /// Steps between updates of the meta-learner.
    pub window: usize,
    /// Number of held-out documents per reward.
    pub batch_size: usize,
    /// The meta-learner's learning rate.
    pub lr: f64,
    /// How strongly the policies' means are pulled towards the plain values.
    pub shrinkage: f64,
    /// Discount per step of the reward at a window's end; in [0, 1].
    pub discount: f64,
    /// Weight of a label's own F1 relative to micro-F1.
    pub eta: f64,
    /// Shrink thresholds of labels with few held-out documents towards the best common one.
    pub guard: bool,
}

impl Default for PolicyTable {
    fn default() -> Self {
        Self {
            learn: LearntPolicies::Both,
            episodes: 1,
            reward: PolicyReward::CounterfactualF1,
            hidden: 64,
            deviation: 0.3,
            range: 0.5,
            window: 10,
            batch_size: 256,
            lr: 3e-3,
            shrinkage: 0.0,
            discount: 0.9,
            eta: 0.5,
            guard: true,
        }
    }
}

impl PolicyTable {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for the first value that makes no sense.
    pub fn check(&self) -> Result<(), Violation> {
        let within = |key, value: usize, most: usize| {
            must_be((1..=most).contains(&value), key, value, &format!("in 1..={most}"))
        };
        within("policies.episodes", self.episodes as usize, 100)?;
        within("policies.hidden", self.hidden, 4096)?;
        within("policies.window", self.window, 1000)?;
        within("policies.batch_size", self.batch_size, 65_536)?;
        positive("policies.deviation", self.deviation)?;
        positive("policies.lr", self.lr)?;
        below_one("policies.range", self.range)?;
        non_negative("policies.shrinkage", self.shrinkage)?;
        fraction("policies.discount", self.discount)?;
        non_negative("policies.eta", self.eta)
    }
}
