//! The training loss: binary cross-entropy with one weight per label (the paper's L(θ; w)).

use tch::{Kind, Tensor};

/// `−1/(B N) Σ_i Σ_j w_j [ y*_ij log y_ij + (1 − y*_ij) log(1 − y_ij) ]` for logits and truth `[B,
/// N]`, with weights `[N]`; a scalar.
pub fn weighted_loss(logits: &Tensor, truth: &Tensor, weights: &Tensor) -> Tensor {
    (label_losses(logits, truth) * weights).mean(Kind::Float)
}

/// The same with all weights 1; a scalar.
pub(crate) fn mean_loss(logits: &Tensor, truth: &Tensor) -> Tensor {
    label_losses(logits, truth).mean(Kind::Float)
}

/// Weights inversely proportional to the labels' prevalence, with mean 1: a baseline. A label of
/// prevalence 0 has the same weight as the rarest other one.
pub fn inverse_frequency(prevalence: &[f64]) -> Vec<f32> {
    let rarest = prevalence.iter().copied().filter(|&share| share > 0.0).fold(1.0, f64::min);
    let raw: Vec<f64> = prevalence.iter().map(|share| 1.0 / share.max(rarest)).collect();
    let mean = raw.iter().sum::<f64>() / raw.len() as f64;
    raw.iter().map(|weight| (weight / mean) as f32).collect()
}

/// The dropout mask of a hidden layer at `rate`: 0 where a unit's random number, uniform in [0, 1),
/// is below the rate, 1 / (1 − rate) elsewhere.
pub fn keep_units(uniform: &Tensor, rate: f64) -> Tensor {
    uniform.ge(rate).to_kind(Kind::Float) / (1.0 - rate)
}

/// The cross-entropy of each document's labels, `[B, N]`: softplus of the logit, minus the logit
/// where the label is true.
fn label_losses(logits: &Tensor, truth: &Tensor) -> Tensor {
    logits.clamp_min(0.0) - logits * truth + (-logits.abs()).exp().log1p()
}

#[cfg(test)]
mod tests {
    use tch::Reduction;

    use super::*;

    #[test]
    fn rare_labels_weigh_more_and_dropout_keeps_the_mean() {
        let weights = inverse_frequency(&[0.5, 0.1, 0.0]);
        assert!((weights.iter().sum::<f32>() - 3.0).abs() < 1e-6);
        assert!((weights[1] / weights[0] - 5.0).abs() < 1e-5 && weights[1] == weights[2]);
        let uniform = Tensor::from_slice(&[0.0_f32, 0.2, 0.25, 0.9]);
        let kept: Vec<f32> = keep_units(&uniform, 0.25).try_into().unwrap();
        assert_eq!(kept, [0.0, 0.0, 1.0 / 0.75, 1.0 / 0.75]);
    }

    #[test]
    fn unit_weights_are_plain_binary_cross_entropy() {
        let logits = Tensor::from_slice(&[-40.0_f32, -1.0, 0.0, 0.5, 3.0, 60.0]).view([2, 3]);
        let truth = Tensor::from_slice(&[0.0_f32, 1.0, 1.0, 0.0, 1.0, 0.0]).view([2, 3]);
        let ones = Tensor::from_slice(&[1.0_f32; 3]);
        let own = weighted_loss(&logits, &truth, &ones).double_value(&[]);
        let theirs = logits.binary_cross_entropy_with_logits(
            &truth,
            None::<&Tensor>,
            None::<&Tensor>,
            Reduction::Mean,
        );
        assert!((own - theirs.double_value(&[])).abs() < 1e-6);
    }
}
