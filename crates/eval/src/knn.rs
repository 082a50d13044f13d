//! Weighted k-nearest neighbours (Wu et al. 2018, §3.4; DINO's protocol).
//!
//! Features are standardised over the training split, then compared by cosine.
//! Without standardisation, the few features of largest scale dominate and the
//! accuracy of MAE features collapses.

use std::sync::atomic::AtomicBool;

use tch::{Kind, Tensor};

use crate::encoded::{Standardization, block_rows};
use crate::watch::go_on;
use crate::{EncodedData, EncodedSplit, EvalError, Evaluator, Metrics};

/// Similarities held at once: 16 Mi numbers, 64 MiB.
const SIMILARITIES: i64 = 1 << 24;

/// Classifies by the votes of the k most similar training samples, each weighted
/// by exp(similarity / temperature); metric `knn_top1`.
#[derive(Clone, Debug)]
pub struct KnnEvaluator {
    k: i64,
    temperature: f64,
}

impl KnnEvaluator {
    /// An evaluator with `k` neighbours; the usual `temperature` is 0.07.
    ///
    /// # Errors
    /// [`EvalError::Setting`] unless `k` ≥ 1 and `temperature` is positive and finite.
    pub fn new(k: usize, temperature: f64) -> Result<Self, EvalError> {
        if k == 0 {
            let (name, expected) = ("k", "at least 1");
            return Err(EvalError::Setting { name, value: 0.0, expected });
        }
        if !(temperature > 0.0 && temperature.is_finite()) {
            let (name, expected) = ("temperature", "positive and finite");
            return Err(EvalError::Setting { name, value: temperature, expected });
        }
        Ok(Self { k: k as i64, temperature })
    }

    /// Predicts the classes \[N\] of the test samples, i64.
    ///
    /// # Errors
    /// [`EvalError::Neighbours`] when there are fewer than k training samples.
    pub fn predict(&self, features: &EncodedData) -> Result<Tensor, EvalError> {
        self.predict_until(features, &AtomicBool::new(false))
    }

    fn predict_until(
        &self,
        features: &EncodedData,
        stop: &AtomicBool,
    ) -> Result<Tensor, EvalError> {
        self.check(features.train().samples())?;
        self.predict_by(features, block_rows(features.train().features()), stop)
    }

    /// Compares with `rows` training samples at a time and keeps the nearest of all so far.
    fn predict_by(
        &self,
        features: &EncodedData,
        rows: i64,
        stop: &AtomicBool,
    ) -> Result<Tensor, EvalError> {
        let (train, test) = (features.train(), features.test());
        let standard = Standardization::over(train.features());
        let chunk = (SIMILARITIES / rows).clamp(1, test.samples());
        let queries = test.features().split(chunk, 0);
        let mut nearest: Vec<Option<Nearest>> = queries.iter().map(|_| None).collect();
        for (place, block) in train.features().split(rows, 0).iter().enumerate() {
            let keys = to_directions(standard.apply(block)).transpose(0, 1);
            for (queries, nearest) in queries.iter().zip(&mut nearest) {
                go_on(stop)?;
                let similarities = to_directions(standard.apply(queries)).matmul(&keys);
                let begin = place as i64 * rows;
                *nearest = Some(Nearest::of(&similarities, begin, nearest.take(), self.k));
            }
        }
        let votes = nearest.into_iter().flatten();
        let votes: Vec<Tensor> =
            votes.map(|nearest| self.vote(&nearest, train, features.classes())).collect();
        Ok(Tensor::cat(&votes, 0))
    }

    fn check(&self, references: i64) -> Result<(), EvalError> {
        if self.k > references {
            return Err(EvalError::Neighbours { k: self.k, references });
        }
        Ok(())
    }

    /// The class \[B\] with the largest vote.
    fn vote(&self, found: &Nearest, train: &EncodedSplit, classes: i64) -> Tensor {
        let Nearest { similarities: nearest, indices } = found;
        // Subtracting the largest prevents overflow; a common factor does not change the vote.
        let weights = ((nearest - nearest.narrow(1, 0, 1)) / self.temperature).exp();
        let labels = train.labels().index_select(0, &indices.view([-1])).view_as(indices);
        let votes = Tensor::zeros([nearest.size()[0], classes], (Kind::Float, nearest.device()));
        votes.scatter_add(1, &labels, &weights).argmax(1, false)
    }
}

impl Evaluator for KnnEvaluator {
    fn name(&self) -> &str {
        "knn"
    }

    fn settings(&self) -> String {
        format!("k {}, temperature {}, cosine of standardised features", self.k, self.temperature)
    }

    fn labelled(&self, counts: &[usize]) -> Result<usize, EvalError> {
        let references = counts.iter().sum();
        self.check(references as i64)?;
        Ok(references)
    }

    /// Nothing here is random, so the seed has no effect.
    fn evaluate_until(
        &self,
        features: &EncodedData,
        _seed: u64,
        stop: &AtomicBool,
    ) -> Result<Metrics, EvalError> {
        let predictions = tch::no_grad(|| self.predict_until(features, stop))?;
        let correct = predictions.eq_tensor(features.test().labels()).mean(Kind::Double);
        Ok(Metrics::from_iter([("knn_top1", correct.double_value(&[]))]))
    }
}

/// The training samples most similar to each of B samples, [B, K] each.
struct Nearest {
    similarities: Tensor,
    indices: Tensor,
}

impl Nearest {
    /// The `k` most similar of N training samples, numbered from `begin`, by similarities [B, N],
    /// and of those found `before`.
    fn of(similarities: &Tensor, begin: i64, before: Option<Self>, k: i64) -> Self {
        let most =
            |similarities: &Tensor| similarities.topk(k.min(similarities.size()[1]), 1, true, true);
        let (found, places) = most(similarities);
        let Some(before) = before else { return Self { similarities: found, indices: places } };
        let all = Tensor::cat(&[before.similarities, found], 1);
        let (similarities, places_of_all) = most(&all);
        let indices = Tensor::cat(&[before.indices, places + begin], 1);
        Self { similarities, indices: indices.gather(1, &places_of_all, false) }
    }
}

/// Scales each feature vector to length 1, in place; a zero vector stays zero.
fn to_directions(features: Tensor) -> Tensor {
    let lengths = features.norm_scalaropt_dim(2, [1], true);
    features.shallow_clone().g_div_(&lengths.clamp_min(1e-12))
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn blocks_find_the_neighbours_of_the_whole() {
        let split = |samples: i64, pace: f64| {
            let places = Tensor::arange(samples * 5, (Kind::Float, Device::Cpu));
            let features = (places * pace).sin().view([samples, 5]);
            let labels = Tensor::arange(samples, (Kind::Int64, Device::Cpu)).remainder(4);
            EncodedSplit::new(features, labels).unwrap()
        };
        let data = EncodedData::new(split(101, 0.37), split(40, 0.61), 4).unwrap();
        for k in [1, 7, 30] {
            let knn = KnnEvaluator::new(k, 0.07).unwrap();
            let by = |rows| knn.predict_by(&data, rows, &AtomicBool::new(false)).unwrap();
            let whole = by(101);
            assert!(whole.max().int64_value(&[]) > 0, "they are of several classes");
            for rows in [1, 20, 100] {
                assert_eq!(by(rows), whole, "k {k}, {rows} at once");
            }
        }
    }
}
