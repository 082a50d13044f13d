//! Rewards: the credit of the prediction policy's actions, for each label.
//!
//! All rewards use a batch of held-out documents whose outputs do not depend on the thresholds, so
//! the thresholds at the policy's mean can be tried on the same documents at no cost.

use tch::{Kind, Tensor};

/// The available rewards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reward {
    /// The gain in F1 over the policy's mean on the same documents, credited to the label that
    /// caused it ([`counterfactual_f1`]).
    #[default]
    CounterfactualF1,
    /// The margin between probability and threshold, as recalled from the paper
    /// ([`probability_margin`]).
    ///
    /// It grows with the threshold for any outputs, so thresholds run away; it is included to show
    /// that.
    ProbabilityMargin,
    /// Micro-F1 of the batch minus its moving average, the same for all labels. It is unbiased, but
    /// its variance hides the effect of a single label; it is included to show that.
    ScalarF1,
}

/// Hits of thresholds on a batch, by label: all `[T, N]`.
struct Hits {
    hits: Tensor,
    predicted: Tensor,
}

/// The data of a reward.
#[derive(Clone, Copy, Debug)]
pub struct Credit<'a> {
    /// Probabilities of held-out documents, `[B, N]`.
    pub outputs: &'a Tensor,
    /// The true labels, 0 or 1, `[B, N]`.
    pub truth: &'a Tensor,
    /// The thresholds of the action, `[N]`.
    pub thresholds: &'a Tensor,
    /// The thresholds at the policy's mean, `[N]`.
    pub mean_thresholds: &'a Tensor,
}

impl Credit<'_> {
    /// Counts for several thresholds per label. Counts are whole numbers, exact in any order.
    fn hits(&self, thresholds: &[&Tensor]) -> Hits {
        let thresholds = Tensor::stack(thresholds, 0).unsqueeze(1);
        let predicted = self.outputs.gt_tensor(&thresholds).to_kind(Kind::Float);
        let hits = (&predicted * self.truth).sum_dim_intlist(1, false, Kind::Float);
        Hits { hits, predicted: predicted.sum_dim_intlist(1, false, Kind::Float) }
    }

    /// Micro-F1 of the action on the batch; a scalar.
    pub fn micro_f1(&self) -> Tensor {
        let Hits { hits, predicted } = self.hits(&[self.thresholds]);
        f1(&hits.sum(Kind::Float), &predicted.sum(Kind::Float), &self.truth.sum(Kind::Float))
    }
}

/// `2 tp / (predicted + true)`, 0 if nothing is predicted or true: counts are whole numbers, so a
/// minimum of 1 for the denominator changes nothing else.
fn f1(hits: &Tensor, predicted: &Tensor, borne: &Tensor) -> Tensor {
    hits * 2.0 / (predicted + borne).clamp_min(1.0)
}

/// The counterfactual gain of each label, `[N]`.
///
/// For label j, `N · (micro-F1 with its own sampled decisions and the others' mean ones − micro-F1
/// at the mean) + η · (its F1 sampled − its F1 at the mean)`. It is 0 if the action is the mean.
pub fn counterfactual_f1(credit: Credit<'_>, eta: f64) -> Tensor {
    let all = credit.hits(&[credit.thresholds, credit.mean_thresholds]);
    let [hits, mean_hits] = [0, 1].map(|row| all.hits.get(row));
    let [predicted, mean_predicted] = [0, 1].map(|row| all.predicted.get(row));
    let borne = credit.truth.sum_dim_intlist(0, false, Kind::Float);
    let [all_hits, all_predicted, all_borne] =
        [&mean_hits, &mean_predicted, &borne].map(|counts| counts.sum(Kind::Float));
    let labels = borne.size()[0] as f64;
    let with_own = f1(
        &(&all_hits - &mean_hits + &hits),
        &(&all_predicted - &mean_predicted + &predicted),
        &all_borne,
    );
    let micro = with_own - f1(&all_hits, &all_predicted, &all_borne);
    let own = f1(&all.hits, &all.predicted, &borne);
    micro * labels + (own.get(0) - own.get(1)) * eta
}

/// The probability margin of each label, `[N]`: the mean over documents of `(−1)^{y*} (q − y) / q`,
/// positive if a true label's probability is above its threshold or a false one's below.
pub fn probability_margin(outputs: &Tensor, truth: &Tensor, thresholds: &Tensor) -> Tensor {
    let sign = truth * -2.0 + 1.0;
    let margin = (thresholds - outputs) / thresholds;
    (sign * margin).mean_dim(0, false, Kind::Float)
}
