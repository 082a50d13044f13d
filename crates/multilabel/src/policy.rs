//! The policies: what the meta-learner's outputs mean as weights and thresholds.
//!
//! A factorised Gaussian in logit space [this project's reconstruction]: an action is
//! `a = μ + σ ε`; weights are bounded and have mean 1, because free ones drift and a common
//! factor is only a learning rate.

use tch::{Kind, Tensor};

/// Which policies act; the other one stays at its plain value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policies {
    /// Weights of the labels in the training loss; all 1 without it.
    pub training: bool,
    /// Thresholds of the labels; all 0.5 without it.
    pub prediction: bool,
}

impl Policies {
    /// Both, as in the paper.
    pub const BOTH: Self = Self { training: true, prediction: true };
}

/// Standard normal numbers that make an action of a policy's mean; drawn by the caller.
#[derive(Debug)]
pub struct Noise {
    /// Of the weights, `[N]`.
    pub weights: Tensor,
    /// Of the thresholds, `[N]`.
    pub thresholds: Tensor,
}

/// What the meta-learner does in one step; policies are `[N]`, and nothing has a gradient.
#[derive(Debug)]
pub struct Action {
    /// Weights of the labels in the loss.
    pub weights: Tensor,
    /// Thresholds of the labels.
    pub thresholds: Tensor,
    /// Thresholds at the policy's mean.
    pub mean_thresholds: Tensor,
    /// The weights' place in logit space.
    pub weight_logits: Tensor,
    /// The thresholds' place in logit space.
    pub threshold_logits: Tensor,
    /// Weights at the policy's mean.
    pub(crate) mean_weights: Tensor,
    /// The recurrent state that it leads to, `[1, H]`.
    pub(crate) state: Tensor,
}

/// Weights of a place in logit space, `[N]`: `N v / Σ v` with `v = 1 + ρ tanh(a)`, positive, of
/// mean 1.
pub fn weights_of(logits: &Tensor, range: f64) -> Tensor {
    let raw = logits.tanh() * range + 1.0;
    let mean = raw.mean(Kind::Float);
    raw / mean
}

/// Thresholds of a place in logit space, in (0, 1).
pub fn thresholds_of(logits: &Tensor) -> Tensor {
    logits.sigmoid()
}

/// `Σ_j credit_j log π_j(a | μ)` of a Gaussian of this deviation, constants left out; a scalar.
/// Its gradient with respect to μ is `credit · (a − μ) / σ²`.
pub(crate) fn credited_log_probability(
    action: &Tensor,
    mean: &Tensor,
    deviation: f64,
    credit: &Tensor,
) -> Tensor {
    (credit * (action - mean).square()).sum(Kind::Float) * (-0.5 / (deviation * deviation))
}
