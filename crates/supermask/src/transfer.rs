//! KKT, transfer of knowledge by nearest neighbours: an earlier task whose features separate the
//! new classes provides the initial scores.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString};
use tch::{Kind, Tensor};

use crate::{Learner, SupermaskError};

/// The earlier tasks whose scores are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, EnumString)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Transfer {
    /// The best one, if it is above chance.
    Best,
    /// The best one.
    Always,
    /// The mean of all that are above chance.
    All,
}

/// The result of a transfer.
#[derive(Clone, Debug, PartialEq)]
pub struct Donation {
    /// Accuracy of the nearest-neighbour vote under each earlier mask.
    pub accuracies: Vec<f64>,
    /// The tasks whose scores initialise the new one; empty if it starts from random scores.
    pub donors: Vec<usize>,
}

/// Batch size.
const BATCH: i64 = 256;

impl Learner {
    /// Initialises the current task's scores from those of earlier ones.
    ///
    /// The first 66 % of the samples (inputs [N, …], labels i64 `[N]`) are the reference set, the
    /// same for each earlier mask; the rest are classified by a vote of their `neighbours` nearest
    /// reference samples, at most N_ref / c, with the task's own number of `classes` c, at most the
    /// network's. Chance is 1 / c. Scores are copied: those of the donors do not change.
    ///
    /// # Errors
    /// [`SupermaskError::Setting`] when the scores of finished tasks were not kept, the network has
    /// fewer classes or there are fewer than two samples, [`SupermaskError::Model`] when the inputs
    /// are of another shape.
    pub fn transfer(
        &mut self,
        rule: Transfer,
        [inputs, labels]: [&Tensor; 2],
        classes: usize,
        neighbours: usize,
    ) -> Result<Donation, SupermaskError> {
        let refuse = |key, value: String, rule: &str| {
            Err(SupermaskError::Setting { key, value, rule: rule.to_owned() })
        };
        let earlier = self.tasks.len().saturating_sub(1);
        if earlier > 0 && self.tasks[0].scores.is_empty() {
            return refuse("keep_scores", "false".to_owned(), "true where scores are lent");
        }
        let count = labels.size()[0];
        let split = (count as f64 * 0.66) as i64;
        if split < 1 {
            return refuse("labels", format!("{count} long"), "2 long or more");
        }
        let most = self.config.classes;
        if !(1..=most).contains(&classes) {
            return refuse("classes", classes.to_string(), &format!("in 1..={most}"));
        }
        let k = neighbours.clamp(1, (split as usize / classes).max(1));
        let mut accuracies = Vec::with_capacity(earlier);
        for task in 0..earlier {
            let view = self.view(task)?;
            let parts = (0..count)
                .step_by(BATCH as usize)
                .map(|from| view.features(&inputs.narrow(0, from, BATCH.min(count - from))));
            let features = Tensor::cat(&parts.collect::<Result<Vec<_>, _>>()?, 0);
            let part = |from, len| [features.narrow(0, from, len), labels.narrow(0, from, len)];
            let (reference, query) = (part(0, split), part(split, count - split));
            accuracies.push(vote_accuracy(&reference, &query, k, most));
        }
        let donors = donors(rule, &accuracies, classes);
        self.borrow(&donors);
        Ok(Donation { accuracies, donors })
    }

    /// Overwrites the current scores with the mean of the donors'.
    fn borrow(&self, donors: &[usize]) {
        if donors.is_empty() {
            return;
        }
        tch::no_grad(|| {
            for (name, scores) in &self.scores {
                let lent = donors.iter().map(|&donor| self.tasks[donor].scores[name].copy());
                let lent = lent.reduce(|sum, next| sum + next).expect("there is a donor");
                let mean = if donors.len() == 1 { lent } else { lent / donors.len() as f64 };
                scores.shallow_clone().copy_(&mean);
            }
        });
    }
}

/// The tasks that donate scores; the first of equally good ones.
fn donors(rule: Transfer, accuracies: &[f64], classes: usize) -> Vec<usize> {
    let chance = 1.0 / classes as f64;
    let above = |task: &usize| accuracies[*task] > chance;
    let best = (0..accuracies.len())
        .reduce(|best, task| if accuracies[task] > accuracies[best] { task } else { best });
    match rule {
        Transfer::Best => best.filter(above).into_iter().collect(),
        Transfer::Always => best.into_iter().collect(),
        Transfer::All => (0..accuracies.len()).filter(above).collect(),
    }
}

/// The fraction of the query that a vote of the `k` nearest neighbours (Euclidean) classifies
/// correctly; features [N, D] and labels i64 [N]. Ties go to the first sample among equal
/// distances, and to the smallest label among equal votes.
fn vote_accuracy(reference: &[Tensor; 2], query: &[Tensor; 2], k: usize, classes: usize) -> f64 {
    let ([known, known_labels], [asked, asked_labels]) = (reference, query);
    let (count, k) = (asked.size()[0], (k as i64).min(known.size()[0]));
    if count == 0 {
        return 0.0;
    }
    let options = (Kind::Int64, known.device());
    let smaller_first = Tensor::arange(classes as i64, options) * -1 + (classes as i64 - 1);
    let mut right = 0;
    for from in (0..count).step_by(BATCH as usize) {
        let len = BATCH.min(count - from);
        let distances = Tensor::cdist(&asked.narrow(0, from, len), known, 2.0, None);
        let (_, order) = distances.sort_stable(true, -1, false);
        let nearest = known_labels.take(&order.narrow(1, 0, k));
        let votes = nearest.one_hot(classes as i64).sum_dim_intlist(1, false, Kind::Int64);
        let told = (votes * classes as i64 + &smaller_first).argmax(-1, false);
        let agree = told.eq_tensor(&asked_labels.narrow(0, from, len));
        right += agree.sum(Kind::Int64).int64_value(&[]);
    }
    right as f64 / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_choose_their_donors() {
        for (rule, accuracies, wanted) in [
            (Transfer::Best, vec![0.4, 0.7, 0.7], vec![1]),
            (Transfer::Best, vec![0.4, 0.5], vec![]),
            (Transfer::Always, vec![0.4, 0.5], vec![1]),
            (Transfer::All, vec![0.6, 0.5, 0.9], vec![0, 2]),
            (Transfer::All, vec![], vec![]),
            (Transfer::Always, vec![], vec![]),
        ] {
            assert_eq!(donors(rule, &accuracies, 2), wanted, "{rule} {accuracies:?}");
        }
    }

    #[test]
    fn votes_are_counted_and_ties_go_to_the_smaller() {
        let points = |values: &[f32]| Tensor::from_slice(values).view([-1, 1]);
        let known = [points(&[0.0, 1.0, 2.0, 10.0]), Tensor::from_slice(&[2_i64, 1, 1, 0])];
        let asked = |values: &[f32], labels: &[i64]| [points(values), Tensor::from_slice(labels)];
        let right =
            |values: &[f32], labels: &[i64], k| vote_accuracy(&known, &asked(values, labels), k, 3);
        assert_eq!(right(&[0.1, 1.4, 9.0], &[2, 1, 0], 1), 1.0);
        // The neighbours of 0.1 are 0 (label 2) and 1 (label 1): a tie, which goes to 1.
        assert_eq!(right(&[0.1], &[1], 2), 1.0);
        assert_eq!(right(&[9.0], &[1], 3), 1.0);
        // 0.5 is equally far from 0 and 1: the first sample counts.
        assert_eq!(right(&[0.5], &[2], 1), 1.0);
    }
}
