//! Detection of images of unlabelled classes (M3AE, figure 6).
//!
//! The paper scores CIFAR-100 against CIFAR-10 with two detectors on frozen features: the
//! Mahalanobis distance to the nearest class (Lee et al. 2018), and the maximum softmax
//! probability of a linear classifier (Hendrycks and Gimpel 2017). Here the outliers are from the
//! same data: every second class is known, and the others are not learnt from.

use std::sync::atomic::AtomicBool;

use tch::{Kind, Tensor};

use crate::{EncodedData, EncodedSplit, EvalError, Evaluator, LinearProbe, Metrics};

/// Ridge added to the covariance of standardised features.
const RIDGE: f64 = 1e-2;

/// The area under the ROC curve: the probability that a value of `inside` is greater than one of
/// `outside`, where ties count half; `None` if either is empty.
///
/// ```
/// use bauta_eval::auroc;
/// assert_eq!(auroc(&[0.9, 0.8], &[0.1]), Some(1.0));
/// assert_eq!(auroc(&[0.9, 0.1], &[0.5]), Some(0.5));
/// assert_eq!(auroc(&[], &[0.5]), None);
/// ```
pub fn auroc(inside: &[f64], outside: &[f64]) -> Option<f64> {
    let mut all: Vec<(f64, bool)> = inside.iter().map(|&score| (score, true)).collect();
    all.extend(outside.iter().map(|&score| (score, false)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut beaten, mut below) = (0.0, 0.0);
    for equals in all.chunk_by(|a, b| a.0 == b.0) {
        let strangers = equals.iter().filter(|(_, is_inside)| !is_inside).count() as f64;
        let own = equals.len() as f64 - strangers;
        beaten += own * (below + 0.5 * strangers);
        below += strangers;
    }
    let pairs = inside.len() as f64 * outside.len() as f64;
    (pairs > 0.0).then(|| beaten / pairs)
}

/// Distinguishes test samples of the classes 0, 2, 4 … from the others after learning only the
/// former; metrics `outside_mahalanobis_auroc` and `outside_softmax_auroc`.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// The classifier of the softmax detector.
    pub probe: LinearProbe,
}

impl Evaluator for Outside {
    fn name(&self) -> &str {
        "outside"
    }

    fn settings(&self) -> String {
        format!(
            "area under the ROC curve for telling the classes 0, 2, 4 … , whose labels are learnt, \
             from the others: by the Mahalanobis distance to the nearest class, and by the greatest \
             probability of a linear probe ({})",
            self.probe.settings()
        )
    }

    /// # Errors
    /// [`EvalError::Setting`] when there are too few training samples of known classes or no other
    /// class, and the probe's errors.
    fn evaluate_until(
        &self,
        features: &EncodedData,
        seed: u64,
        stop: &AtomicBool,
    ) -> Result<Metrics, EvalError> {
        self.probe.validate()?;
        let refuse = |name, value: usize, expected| {
            Err(EvalError::Setting { name, value: value as f64, expected })
        };
        let _no_grad = tch::no_grad_guard();
        let known: Vec<usize> = features
            .train()
            .labels_on_host()
            .into_iter()
            .enumerate()
            .filter(|(_, label)| label % 2 == 0)
            .map(|(index, _)| index)
            .collect();
        if known.len() < 3 {
            return refuse(
                "number of training features of known classes",
                known.len(),
                "at least 3",
            );
        }
        let learnt = features.with_training_part(&known).standardized();
        let classes = (features.classes() as usize).div_ceil(2);
        let halved = |split: &EncodedSplit| {
            let labels = split.labels().divide_scalar_mode(2, "floor");
            EncodedSplit::new(split.features().shallow_clone(), labels)
        };
        let learnt = EncodedData::new(halved(learnt.train())?, halved(learnt.test())?, classes)?;
        let test = learnt.test().features();
        let distances = nearest(&learnt, test);
        let head = self.probe.train(&learnt, seed, stop)?;
        let sure = head.logits(test).softmax(-1, Kind::Float).amax([-1].as_slice(), false);
        let strange: Vec<bool> =
            features.test().labels_on_host().into_iter().map(|label| label % 2 != 0).collect();
        let mut metrics = Metrics::new();
        for (name, scores) in [("mahalanobis", -distances), ("softmax", sure)] {
            let scores: Vec<f64> =
                Vec::try_from(scores.to_kind(Kind::Double)).expect("one score a sample");
            let of = |wanted: bool| -> Vec<f64> {
                let pairs = scores.iter().zip(&strange).filter(|&(_, &found)| found == wanted);
                pairs.map(|(&score, _)| score).collect()
            };
            let Some(area) = auroc(&of(false), &of(true)) else {
                return refuse("number of classes", features.classes() as usize, "at least 3");
            };
            metrics.extend([(format!("outside_{name}_auroc"), area)]);
        }
        Ok(metrics)
    }
}

/// Squared Mahalanobis distances \[M\] of features [M, D] to the nearest class of the training
/// split, with one covariance for all classes.
fn nearest(learnt: &EncodedData, features: &Tensor) -> Tensor {
    let (train, classes) = (learnt.train(), learnt.classes());
    let rows = train.features().to_kind(Kind::Double);
    let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Double, rows.device()));
    let counts = zeros(&[classes]).index_add(0, train.labels(), &rows.select(1, 0).ones_like());
    let sums = zeros(&[classes, train.width()]).index_add(0, train.labels(), &rows);
    let means = sums / counts.clamp_min(1.0).unsqueeze(1);
    let apart = &rows - means.index_select(0, train.labels());
    let eye = Tensor::eye(train.width(), (Kind::Double, rows.device()));
    let covariance = apart.transpose(0, 1).matmul(&apart) / train.samples() as f64 + eye * RIDGE;
    // With covariance = L Lᵀ, these are the Euclidean distances of L⁻¹ x.
    let root = covariance.linalg_cholesky(false);
    let whiten = |x: &Tensor| {
        let columns = x.transpose(0, 1);
        root.linalg_solve_triangular(&columns, false, true, false).transpose(0, 1)
    };
    let squares = Tensor::cdist(&whiten(&features.to_kind(Kind::Double)), &whiten(&means), 2.0, 2);
    // A class without training samples is infinitely far away.
    let absent = counts.eq(0.0).unsqueeze(0);
    squares.square().masked_fill(&absent, f64::INFINITY).amin([1].as_slice(), false)
}

#[cfg(test)]
mod tests {
    use bauta_streams::{Purpose, StreamKey};
    use tch::Device;

    use super::*;

    /// Clouds around one corner per class.
    fn clouds(samples: i64, seed: u64, spread: f64) -> EncodedSplit {
        let classes = 4;
        let key = StreamKey { seed, purpose: Purpose::named("clouds"), epoch: 0, sample: 0 };
        let noise = bauta_libtorch::normal(&[samples, 8], spread, &mut key.stream());
        let labels = Tensor::arange(samples, (Kind::Int64, Device::Cpu)).remainder(classes);
        let corners = Tensor::eye(8, (Kind::Float, Device::Cpu)) * 4.0;
        EncodedSplit::new(noise + corners.index_select(0, &labels), labels).unwrap()
    }

    fn measured(spread: f64) -> Vec<f64> {
        let data = EncodedData::new(clouds(400, 0, spread), clouds(200, 1, spread), 4).unwrap();
        let outside = Outside { probe: LinearProbe { batch_size: 64, ..LinearProbe::default() } };
        let metrics = outside.evaluate(&data, 0).unwrap();
        assert_eq!(metrics.iter().count(), 2);
        metrics.into_iter().map(|(_, value)| value).collect()
    }

    #[test]
    fn strangers_are_far_from_known_classes() {
        for area in measured(0.5) {
            assert!(area > 0.95, "{area}");
        }
    }

    #[test]
    fn of_noise_nothing_is_known() {
        for area in measured(1e3) {
            assert!((area - 0.5).abs() < 0.1, "{area}");
        }
    }

    #[test]
    fn two_classes_are_too_few() {
        let split = |seed| {
            let of = clouds(40, seed, 1.0);
            let labels = of.labels().remainder(2);
            EncodedSplit::new(of.features().shallow_clone(), labels).unwrap()
        };
        let data = EncodedData::new(split(0), split(1), 2).unwrap();
        let error = Outside::default().evaluate(&data, 0).unwrap_err().to_string();
        assert!(error.contains("number of classes"), "{error}");
    }
}
