//! Clusters labelled by majority: how well classes separate without supervision.

use std::sync::atomic::AtomicBool;

use bauta_evolve::{EvolveError, KMeans, KMeansConfig, Points};
use tch::{Kind, Tensor};

use crate::watch::go_on;
use crate::{EncodedData, EvalError, Evaluator, Metrics};

/// Clusters the training samples into as many clusters as classes, labels each cluster with its
/// majority class, and test samples with that of the nearest centroid; metric `kmeans_top1`.
#[derive(Clone, Copy, Debug, Default)]
pub struct KMeansEvaluator;

impl Evaluator for KMeansEvaluator {
    fn name(&self) -> &str {
        "k-means"
    }

    fn settings(&self) -> String {
        "as many clusters as classes, 4 starts of k-means++, each cluster its majority's class"
            .to_owned()
    }

    /// # Errors
    /// [`EvalError::Unsuitable`] when there are fewer training samples than classes.
    fn labelled(&self, counts: &[usize]) -> Result<usize, EvalError> {
        let (samples, classes) = (counts.iter().sum(), counts.len());
        if samples < classes {
            let text = format!("{samples} samples cannot be clustered into {classes} classes");
            return Err(EvalError::Unsuitable(text));
        }
        Ok(samples)
    }

    fn evaluate_until(
        &self,
        features: &EncodedData,
        seed: u64,
        stop: &AtomicBool,
    ) -> Result<Metrics, EvalError> {
        go_on(stop)?;
        self.labelled(&features.training_counts())?;
        let classes = features.classes() as usize;
        let refuse = |error: EvolveError| EvalError::Unsuitable(error.to_string());
        let points = host_points(features.train().features()).map_err(refuse)?;
        let clusters = KMeans::fit(&points, &KMeansConfig::new(classes, seed)).map_err(refuse)?;
        let own = features.train().labels_on_host().into_iter().map(|label| label as usize);
        let majorities = clusters.majorities(own, classes);
        let test = host_points(features.test().features()).map_err(refuse)?;
        let labels = features.test().labels_on_host();
        let found = test.rows().map(|row| majorities[clusters.nearest(row)].class as i64);
        let right = found.zip(&labels).filter(|(found, label)| found == *label).count();
        Ok(Metrics::from_iter([("kmeans_top1", right as f64 / labels.len() as f64)]))
    }
}

/// Features [N, D] as points on the host.
///
/// # Errors
/// [`EvolveError`] when there are no features, or one is not finite.
///
/// # Panics
/// Unless the tensor has two dimensions.
pub fn host_points(features: &Tensor) -> Result<Points, EvolveError> {
    let size = features.size();
    assert_eq!(size.len(), 2, "features are [N, D], these are {size:?}");
    let flat = features.detach().to_kind(Kind::Float).contiguous().view([-1]);
    let values = Vec::<f32>::try_from(flat).expect("a row of f32");
    Points::new(values, size[1] as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EncodedSplit;

    fn split(count: usize) -> EncodedSplit {
        // Class 0 about (0, 0), class 1 about (9, 9), class 2 about (0, 9).
        let rows = (0..count).flat_map(|i| {
            let off = (i % 5) as f32 * 0.1;
            [[0.0, 0.0], [9.0, 9.0], [0.0, 9.0]][i % 3].map(|x: f32| x + off)
        });
        let features = Tensor::from_slice(&rows.collect::<Vec<f32>>()).view([-1, 2]);
        let labels: Vec<i64> = (0..count).map(|i| (i % 3) as i64).collect();
        EncodedSplit::new(features, Tensor::from_slice(&labels)).unwrap()
    }

    #[test]
    fn classes_that_lie_apart_are_found() {
        let data = EncodedData::new(split(60), split(30), 3).unwrap();
        let found = KMeansEvaluator.evaluate(&data, 0).unwrap();
        assert_eq!(found.get("kmeans_top1"), Some(1.0));
        assert!(KMeansEvaluator.labelled(&[1, 0, 1]).is_err());
    }

    #[test]
    fn what_is_alike_gets_the_class_of_most() {
        let labels: Vec<i64> = (0..10).map(|i| i64::from(i == 0)).collect();
        let same = || {
            let features = Tensor::ones([10, 2], (Kind::Float, tch::Device::Cpu));
            EncodedSplit::new(features, Tensor::from_slice(&labels)).unwrap()
        };
        let data = EncodedData::new(same(), same(), 2).unwrap();
        assert_eq!(KMeansEvaluator.evaluate(&data, 0).unwrap().get("kmeans_top1"), Some(0.9));
    }
}
