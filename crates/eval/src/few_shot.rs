//! Few-shot ridge regression on a handful of labelled images per class.
//!
//! One-hot labels are regressed on standardised features in closed form, so there
//! is no schedule to tune. With the centred shots X = U S Vᵀ, centred labels Y and
//! strength λ the weights are W = V S/(S² + λ) Uᵀ Y. The leave-one-out prediction
//! for shot i follows without another fit: its residual is the fitted one divided
//! by 1 − hᵢ, where h is the diagonal of U S²/(S² + λ) Uᵀ + 1/n. The λ with the
//! least squared residual over all shots is chosen, without the test split.
//!
//! The features are standardised over the whole training split: that uses images
//! beyond the shots, but none of their labels.

use std::sync::atomic::AtomicBool;

use tch::{Kind, Tensor};

use crate::encoded::{Standardization, block_rows};
use crate::subset::{class_balanced, enough};
use crate::watch::go_on;
use crate::{EncodedData, EvalError, Evaluator, Metrics};

/// Candidate strengths λ, divided by the number of features.
const LADDER: [f64; 7] = [1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3];

/// Classifies by ridge regression on a few training samples of each class.
///
/// With 5 shots the metrics are `few_shot_5_top1`, the mean over the draws, and
/// `few_shot_5_top1_std`, their standard deviation, where there are two draws or more.
#[derive(Clone, Debug)]
pub struct FewShotRidge {
    shots: usize,
    draws: u32,
}

impl FewShotRidge {
    /// Learns from `shots` samples per class, in `draws` independent draws.
    ///
    /// # Errors
    /// [`EvalError::Setting`] unless both are at least 1.
    pub fn new(shots: usize, draws: u32) -> Result<Self, EvalError> {
        let settings = [("shots", shots), ("draws", draws.try_into().unwrap_or(1))];
        match settings.into_iter().find(|&(_, value)| value == 0) {
            Some((name, _)) => Err(EvalError::Setting { name, value: 0.0, expected: "at least 1" }),
            None => Ok(Self { shots, draws }),
        }
    }

    /// Predicts the classes \[N\] of the test samples, i64, from the training
    /// samples with these indices.
    ///
    /// `features` should be [standardised](EncodedData::standardized).
    ///
    /// # Panics
    /// When there are fewer than two shots, or an index outside the training split.
    pub fn predict(features: &EncodedData, shots: &[usize]) -> Tensor {
        assert!(shots.len() > 1, "{} shots; two classes have at least two", shots.len());
        tch::no_grad(|| {
            Self::predict_by(&|features: &Tensor| features.shallow_clone(), features, shots)
        })
    }

    /// Like [`Self::predict`], for features that `standardize` standardises one block at a time.
    fn predict_by(
        standardize: &dyn Fn(&Tensor) -> Tensor,
        features: &EncodedData,
        shots: &[usize],
    ) -> Tensor {
        let (train, test) = (features.train(), features.test().features());
        let shots: Vec<i64> = shots.iter().map(|&shot| shot as i64).collect();
        let shots = Tensor::from_slice(&shots).to_device(train.features().device());
        let samples = standardize(&train.features().index_select(0, &shots));
        let labels = train.labels().index_select(0, &shots);
        let ridge = Ridge::fit(&samples, &labels, features.classes());
        let blocks = test.split(block_rows(test), 0);
        let predictions = blocks.iter().map(|block| ridge.predict(&standardize(block)));
        Tensor::cat(&predictions.collect::<Vec<_>>(), 0)
    }
}

impl Evaluator for FewShotRidge {
    fn name(&self) -> &str {
        "few-shot"
    }

    fn settings(&self) -> String {
        format!(
            "ridge on {} images per class, strength by leave-one-out, mean of {} draws",
            self.shots, self.draws
        )
    }

    fn labelled(&self, counts: &[usize]) -> Result<usize, EvalError> {
        enough(counts, self.shots)?;
        Ok(self.shots * counts.len())
    }

    /// # Errors
    /// [`EvalError::TooFew`] when a class has fewer training samples than shots.
    fn evaluate_until(
        &self,
        features: &EncodedData,
        seed: u64,
        stop: &AtomicBool,
    ) -> Result<Metrics, EvalError> {
        let labels = features.train().labels_on_host();
        let classes = features.classes() as usize;
        self.labelled(&features.training_counts())?;
        let _no_grad = tch::no_grad_guard();
        let standard = Standardization::over(features.train().features());
        let standardize = |features: &Tensor| standard.apply(features);
        let mut accuracies = Vec::new();
        for draw in 0..self.draws {
            go_on(stop)?;
            let shots = class_balanced(&labels, classes, self.shots, seed, draw.into())?;
            let predicted = Self::predict_by(&standardize, features, &shots);
            let correct = predicted.eq_tensor(features.test().labels());
            accuracies.push(correct.mean(Kind::Double).double_value(&[]));
        }
        let name = format!("few_shot_{}_top1", self.shots);
        let draws = accuracies.len() as f64;
        let mean = accuracies.iter().sum::<f64>() / draws;
        let mut metrics = Metrics::from_iter([(name.clone(), mean)]);
        if accuracies.len() > 1 {
            let squares: f64 = accuracies.iter().map(|accuracy| (accuracy - mean).powi(2)).sum();
            metrics.extend([(name + "_std", (squares / (draws - 1.0)).sqrt())]);
        }
        Ok(metrics)
    }
}

/// A fitted regression: scores are (x − mean) W + offset.
struct Ridge {
    mean: Tensor,
    weight: Tensor,
    offset: Tensor,
}

impl Ridge {
    /// Fits labels \[S\] to features [S, D].
    fn fit(samples: &Tensor, labels: &Tensor, classes: i64) -> Self {
        let centred = |tensor: Tensor| {
            let mean = tensor.mean_dim([0].as_slice(), true, Kind::Double);
            (tensor - &mean, mean)
        };
        let (shots, width) = (samples.size()[0] as f64, samples.size()[1] as f64);
        let samples = samples.to_kind(Kind::Double);
        let labels = labels.one_hot(classes).to_kind(Kind::Double);
        let ((samples, mean), (labels, offset)) = (centred(samples), centred(labels));
        let (left, singular, right) = samples.svd(true, true);
        let along = left.transpose(0, 1).matmul(&labels);
        let squares = singular.square();

        let strengths = LADDER.map(|ratio| ratio * width);
        let errors = strengths.map(|strength| {
            let shrink = &squares / (&squares + strength);
            let residual = &labels - left.matmul(&(shrink.unsqueeze(1) * &along));
            let leverage = left.square().matmul(&shrink) + 1.0 / shots;
            (residual / (1.0_f64 - leverage).unsqueeze(1)).square().mean(Kind::Double)
        });
        let best = Tensor::stack(&errors, 0).argmin(0, false).int64_value(&[]) as usize;
        let inverse = &singular / (&squares + strengths[best]);
        let weight = right.matmul(&(inverse.unsqueeze(1) * along));
        let [mean, weight, offset] =
            [mean, weight, offset].map(|tensor| tensor.to_kind(Kind::Float));
        Self { mean, weight, offset }
    }

    fn predict(&self, features: &Tensor) -> Tensor {
        // (x − mean) W without a copy of all features.
        let offset = &self.offset - self.mean.matmul(&self.weight);
        (features.matmul(&self.weight) + offset).argmax(1, false)
    }
}
