//! Settings of a meta-learner.

use crate::MultilabelError;
use crate::policy::Policies;
use crate::reward::Reward;

/// Settings of a meta-learner; the defaults are for small models.
#[derive(Clone, Debug, PartialEq)]
pub struct MetaConfig {
    /// Number of labels, N.
    pub labels: usize,
    /// Steps per episode, for the history.
    pub steps: u64,
    /// Width of the recurrent state, H.
    pub hidden: usize,
    /// Standard deviation σ of an action in logit space.
    pub deviation: f64,
    /// ρ: weights lie in (1 − ρ, 1 + ρ) before they are scaled to mean 1.
    pub range: f64,
    /// Steps between updates, K.
    pub window: usize,
    /// Adam's learning rate.
    pub lr: f64,
    /// β: strength of the means' shrinkage towards 0.
    pub shrinkage: f64,
    /// γ: discount, per step, of the reward at the window's end for earlier steps' weights.
    pub discount: f64,
    /// η: weight of a label's own F1 in addition to micro-F1.
    pub eta: f64,
    /// The credit of thresholds.
    pub reward: Reward,
    /// Which policies are active.
    pub policies: Policies,
}

impl MetaConfig {
    /// The defaults for the given numbers of labels and steps.
    pub fn new(labels: usize, steps: u64) -> Self {
        Self {
            labels,
            steps,
            hidden: 64,
            deviation: 0.3,
            range: 0.5,
            window: 10,
            lr: 3e-3,
            shrinkage: 0.0,
            discount: 0.9,
            eta: 0.5,
            reward: Reward::CounterfactualF1,
            policies: Policies::BOTH,
        }
    }

    pub(crate) fn check(&self) -> Result<(), MultilabelError> {
        let counts = [("labels", self.labels), ("hidden", self.hidden), ("window", self.window)];
        for (argument, count) in counts {
            if count == 0 {
                return Err(MultilabelError::argument(argument, 0, "must be at least 1"));
            }
        }
        let refuse =
            |argument, value: f64, rule| Err(MultilabelError::argument(argument, value, rule));
        for (argument, value) in [("deviation", self.deviation), ("lr", self.lr)] {
            if !(value > 0.0 && value.is_finite()) {
                return refuse(argument, value, "must be a finite number above 0");
            }
        }
        for (argument, value) in [("shrinkage", self.shrinkage), ("eta", self.eta)] {
            if !(value >= 0.0 && value.is_finite()) {
                return refuse(argument, value, "must be a finite number of at least 0");
            }
        }
        if !(0.0..1.0).contains(&self.range) {
            return refuse("range", self.range, "must be in [0, 1), so that weights are positive");
        }
        if !(0.0..=1.0).contains(&self.discount) {
            return refuse("discount", self.discount, "must be in [0, 1]");
        }
        Ok(())
    }
}
