//! Quality of the features during training: k-NN accuracy, and signs of collapse.
//!
//! Online k-NN is the usual monitor (as in solo-learn and lightly): the neighbours are training
//! images, the queries images of the test split. To choose settings by its curve, hold out a part
//! of the training images for the queries.
//!
//! A network collapses when its output is the same for all images. If it learns from its own
//! features, its loss does not necessarily show that; their effective rank does (RankMe, Garrido
//! et al., arXiv 2210.02885 §3).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bauta_data::{LoaderConfig, Source, Subset};
use bauta_report::FeatureRecord;
use tch::{Device, Kind, Tensor};

use crate::protocols::{EncodeError, Encoding};
use crate::{EncodedData, EncodedSplit, EvalError, Evaluator, FeatureStore, KnnEvaluator};

/// Maximum numbers of training images among which neighbours are sought, and of queries.
const IMAGES: [usize; 2] = [5000, 2000];

/// Below this effective rank features have collapsed to a few directions.
const FEW: f64 = 4.0;

/// Added to each singular value's share (RankMe's ε).
const EPS: f64 = 1e-7;

/// Measurements of a network during training, on evenly spaced subsets of its images.
pub struct OnlineEvaluation<'a> {
    /// The k-NN evaluator and the images among which neighbours are sought, if there are labels.
    knn: Option<(KnnEvaluator, Arc<dyn Source>)>,
    asked: Arc<dyn Source>,
    loader: LoaderConfig,
    device: Device,
    stop: &'a AtomicBool,
}

/// The results of one measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OnlineMetrics {
    /// Accuracy of nearest neighbours; `None` if the images have no labels.
    pub knn_top1: Option<f64>,
    /// Effective rank of the features, in [1, D] ([`effective_rank`]).
    pub rank: f64,
    /// Mean Euclidean norm of the feature vectors.
    pub norm: f64,
    /// Standard deviation over the images, averaged over the features.
    pub std: f64,
    /// Number of features, D.
    pub features: i64,
}

impl<'a> OnlineEvaluation<'a> {
    /// Queries are images of the second source; with `knn`, the neighbours are images of the first,
    /// and both have labels.
    ///
    /// Images are read with the settings of `loader`; `stop` ends a measurement early.
    pub fn new(
        [train, test]: [&Arc<dyn Source>; 2],
        knn: Option<KnnEvaluator>,
        loader: LoaderConfig,
        device: Device,
        stop: &'a AtomicBool,
    ) -> Self {
        let knn = knn.map(|knn| (knn, spread(train, IMAGES[0])));
        Self { knn, asked: spread(test, IMAGES[1]), loader, device, stop }
    }

    /// Measures the current features [B, D] that `encode` computes from u8 pixels [B, C, H, W].
    ///
    /// No random numbers are drawn here, so measuring does not change the training.
    ///
    /// # Errors
    /// [`EvalError::Stopped`] once `stop` is set; when images cannot be read or encoded, or
    /// features are not finite.
    pub fn measure(
        &self,
        encode: &dyn Fn(&Tensor) -> Result<Tensor, EncodeError>,
    ) -> Result<OnlineMetrics, EvalError> {
        let store = FeatureStore::default();
        let Self { loader, device, stop, .. } = self;
        let encoding = Encoding { loader, device: *device, stop, store: &store };
        let of = |source: &Arc<dyn Source>| -> Result<EncodedSplit, EvalError> {
            let split = encoding.split(source, self.knn.is_some(), encode)?;
            Ok(split.expect("this process makes all of them"))
        };
        let asked = of(&self.asked)?;
        let features = asked.features().shallow_clone();
        let knn_top1 = match &self.knn {
            Some((knn, neighbours)) => {
                let classes = neighbours.classes().len();
                let data = EncodedData::new(of(neighbours)?, asked, classes)?;
                knn.evaluate_until(&data, 0, self.stop)?.get("knn_top1")
            }
            None => None,
        };
        let norms = features.norm_scalaropt_dim(2, [1], false);
        let std = features.std_dim([0].as_slice(), false, false);
        Ok(OnlineMetrics {
            knn_top1,
            rank: effective_rank(&features),
            norm: norms.mean(Kind::Double).double_value(&[]),
            std: std.mean(Kind::Double).double_value(&[]),
            features: features.size()[1],
        })
    }
}

impl fmt::Display for OnlineMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(top1) = self.knn_top1 {
            write!(f, "knn_top1 {top1:.3}, ")?;
        }
        write!(f, "feature rank {:.1} of {}", self.rank, self.features)
    }
}

impl OnlineMetrics {
    /// The metrics as part of a training record.
    pub fn record(&self) -> FeatureRecord {
        FeatureRecord {
            knn_top1: self.knn_top1,
            feature_rank: Some(self.rank),
            feature_norm: Some(self.norm),
            feature_std: Some(self.std),
        }
    }

    /// Whether the features have collapsed to a few directions.
    pub fn collapsed(&self) -> bool {
        self.rank < FEW && self.features > 4 * FEW as i64
    }
}

/// The effective rank of centred features [N, D]: exp of the entropy of their normalised singular
/// values, in [1, min(N, D)] (RankMe's equation 2, Roy and Vetterli's effective rank).
///
/// RankMe does not subtract the mean; after a layer norm it dominates every feature vector, and the
/// rank would be near 1 for any images.
///
/// ```
/// use tch::{Device, Kind, Tensor};
/// // Features along four directions of equal length, and along one.
/// let spread = Tensor::cat(&[
///     Tensor::eye(4, (Kind::Float, Device::Cpu)),
///     -Tensor::eye(4, (Kind::Float, Device::Cpu)),
/// ], 0);
/// assert!((bauta_eval::effective_rank(&spread) - 4.0).abs() < 1e-3);
/// let line = Tensor::arange(8, (Kind::Float, Device::Cpu)).unsqueeze(1).repeat([1, 4]);
/// assert!((bauta_eval::effective_rank(&line) - 1.0).abs() < 1e-3);
/// ```
pub fn effective_rank(features: &Tensor) -> f64 {
    let features = features.to_kind(Kind::Double);
    let centred = &features - features.mean_dim([0].as_slice(), true, Kind::Double);
    let (_, singular, _) = centred.svd(true, false);
    let shares = &singular / singular.sum(Kind::Double).clamp_min(f64::MIN_POSITIVE) + EPS;
    let entropy = -(&shares * shares.log()).sum(Kind::Double);
    entropy.exp().double_value(&[]).max(1.0)
}

/// At most `most` images, evenly spaced over a source.
fn spread(source: &Arc<dyn Source>, most: usize) -> Arc<dyn Source> {
    let (len, count) = (source.len(), source.len().min(most));
    let indices = (0..count).map(|at| at * len / count).collect();
    Arc::new(Subset::new(Arc::clone(source), indices))
}
