//! Weighted k-nearest neighbours (Wu et al. 2018, §3.4; DINO's protocol).
//!
//! Features are standardised by the training split, then compared by cosine.
//! Without standardising, the few features of largest scale decide alone and the
//! accuracy of MAE features collapses.

use std::sync::atomic::AtomicBool;

use tch::{Kind, Tensor};

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
    /// Lets `k` neighbours vote; the usual `temperature` is 0.07.
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
        let references = features.train().samples();
        self.check(references)?;
        let features = features.standardized();
        let keys = to_directions(features.train()).transpose(0, 1);
        let queries = to_directions(features.test());
        let chunk = (SIMILARITIES / references).clamp(1, features.test().samples());
        let chunks = queries.split(chunk, 0);
        let predictions = chunks.iter().map(|queries| {
            go_on(stop)?;
            Ok(self.vote(&queries.matmul(&keys), features.train(), features.classes()))
        });
        Ok(Tensor::cat(&predictions.collect::<Result<Vec<_>, EvalError>>()?, 0))
    }

    fn check(&self, references: i64) -> Result<(), EvalError> {
        if self.k > references {
            return Err(EvalError::Neighbours { k: self.k, references });
        }
        Ok(())
    }

    /// Similarities [B, N] to the class \[B\] with the largest vote.
    fn vote(&self, similarities: &Tensor, train: &EncodedSplit, classes: i64) -> Tensor {
        let (nearest, indices) = similarities.topk(self.k, 1, true, true);
        // Against overflow at small temperatures; a common factor changes no vote.
        let weights = ((&nearest - nearest.narrow(1, 0, 1)) / self.temperature).exp();
        let labels = train.labels().index_select(0, &indices.view([-1])).view_as(&indices);
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

/// Scales each feature vector to length 1, in place; a zero vector stays zero.
fn to_directions(split: &EncodedSplit) -> Tensor {
    let lengths = split.features().norm_scalaropt_dim(2, [1], true);
    split.features().shallow_clone().g_div_(&lengths.clamp_min(1e-12))
}
