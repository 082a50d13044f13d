//! The policies: how the meta-learner's outputs become weights and thresholds.
//!
//! A factorised Gaussian in logit space [this project's reconstruction]: an action is `a = μ + σ
//! ε`. Weights are bounded and have mean 1, because unconstrained ones drift, and a common factor
//! only changes the learning rate.

use tch::{Kind, Tensor};

/// Which policies are active; an inactive one stays at its plain value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policies {
    /// Weights of the labels in the training loss; all 1 if inactive.
    pub training: bool,
    /// Thresholds of the labels; all 0.5 if inactive.
    pub prediction: bool,
}

impl Policies {
    /// Both, as in the paper.
    pub const BOTH: Self = Self { training: true, prediction: true };
}

/// Standard normal numbers that turn a policy's mean into an action; drawn by the caller.
#[derive(Debug)]
pub struct Noise {
    /// Noise of the weights, `[N]`.
    pub weights: Tensor,
    /// Noise of the thresholds, `[N]`.
    pub thresholds: Tensor,
}

/// The meta-learner's action in one step; policies are `[N]`, and nothing has a gradient.
#[derive(Debug)]
pub struct Action {
    /// Weights of the labels in the loss.
    pub weights: Tensor,
    /// Thresholds of the labels.
    pub thresholds: Tensor,
    /// Thresholds at the policy's mean.
    pub mean_thresholds: Tensor,
    /// The weights in logit space.
    pub weight_logits: Tensor,
    /// The thresholds in logit space.
    pub threshold_logits: Tensor,
    /// Weights at the policy's mean.
    pub(crate) mean_weights: Tensor,
    /// The recurrent state after the action, `[1, H]`.
    pub(crate) state: Tensor,
}

/// Weights from their logits, `[N]`: `N v / Σ v` with `v = 1 + ρ tanh(a)`, positive, with mean 1.
pub fn weights_of(logits: &Tensor, range: f64) -> Tensor {
    let raw = logits.tanh() * range + 1.0;
    let mean = raw.mean(Kind::Float);
    raw / mean
}

/// Thresholds from their logits, in (0, 1).
pub fn thresholds_of(logits: &Tensor) -> Tensor {
    logits.sigmoid()
}

/// `Σ_j credit_j log π_j(a | μ)` of a Gaussian with this `deviation`, without constants; a scalar.
/// Its gradient with respect to μ is `credit · (a − μ) / σ²`.
pub(crate) fn credited_log_probability(
    action: &Tensor,
    mean: &Tensor,
    deviation: f64,
    credit: &Tensor,
) -> Tensor {
    (credit * (action - mean).square()).sum(Kind::Float) * (-0.5 / (deviation * deviation))
}

#[cfg(test)]
mod tests {
    use bauta_libtorch::normal;
    use bauta_streams::{Purpose, StreamKey};
    use tch::Device;

    use super::*;

    /// The gradient of log π with respect to μ is (a − μ) / σ², weighed by the
    /// credit, and its mean over actions is 0.
    #[test]
    fn the_score_is_the_noise_over_the_variance() {
        let (draws, mean, deviation) = (40_000, 0.7, 0.3);
        let purpose = Purpose::named("score");
        let mut stream = StreamKey { seed: 5, purpose, epoch: 0, sample: 0 }.stream();
        let means = Tensor::full([draws], mean, (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let action = means.detach() + normal(&[draws], deviation, &mut stream);
        let credit = normal(&[draws], 1.0, &mut stream);
        let score = |credit: &Tensor| {
            let log = credited_log_probability(&action, &means, deviation, credit);
            Tensor::run_backward(&[log], &[&means], false, false).remove(0)
        };
        let wanted = (&action - means.detach()) / (deviation * deviation);
        assert!(score(&credit).allclose(&(&wanted * &credit), 1e-5, 1e-5, false));
        let mean_score = score(&credit.ones_like()).mean(Kind::Double).double_value(&[]);
        let standard_error = 1.0 / deviation / (draws as f64).sqrt();
        assert!(mean_score.abs() < 5.0 * standard_error, "{mean_score}");
    }
}
