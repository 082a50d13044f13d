//! Evaluation of frozen features, and pictures of a model's reconstructions.
//!
//! An encoder is run once over the official splits ([`EncodedSplit::encode`]); an
//! [`Evaluator`] gets only the resulting [`EncodedData`]. So the encoder, raw
//! pixels and an untrained encoder are measured by the same code, and the names of
//! their [`Metrics`] differ only by a prefix.
//!
//! Evaluators draw from their own random streams, never from libtorch's global
//! generator: evaluating in the middle of training does not change the training.
//!
//! ```
//! use bauta_eval::{EncodedData, EncodedSplit, Evaluator, KnnEvaluator, LinearProbe, Metrics};
//! use tch::Tensor;
//!
//! // Two classes that are separated by the first feature.
//! let points = |n: i64| {
//!     let labels = Tensor::arange(n, (tch::Kind::Int64, tch::Device::Cpu)).remainder(2);
//!     let side = labels.to_kind(tch::Kind::Float) * 2.0 - 1.0;
//!     let other = Tensor::linspace(-1.0, 1.0, n, (tch::Kind::Float, tch::Device::Cpu));
//!     EncodedSplit::new(Tensor::stack(&[side, other], 1), labels)
//! };
//! let features = EncodedData::new(points(100)?, points(40)?, 2)?;
//!
//! let knn = KnnEvaluator::new(5, 0.07)?;
//! let probe = LinearProbe { batch_size: 20, ..LinearProbe::default() };
//! let mut metrics = Metrics::new();
//! for evaluator in [&knn as &dyn Evaluator, &probe] {
//!     metrics.extend(evaluator.evaluate(&features, 0)?);
//! }
//! assert_eq!(metrics.get("knn_top1"), Some(1.0));
//! assert_eq!(metrics.prefixed("raw_pixels").get("raw_pixels.linear_top1"), Some(1.0));
//! # Ok::<(), bauta_eval::EvalError>(())
//! ```

mod accuracy;
mod attention_map;
mod batch;
mod begun;
mod clip_reconstruction;
mod clips;
mod continual;
pub mod dense;
mod encoded;
mod error;
mod evaluator;
mod exhibit;
mod feature_store;
mod few_labels;
mod few_shot;
mod fills;
mod film_strips;
pub mod finetune;
pub mod folder;
mod json;
mod k_means;
mod knn;
mod linear_probe;
mod machine;
mod metrics;
mod mixture;
mod momentum;
mod neighbours;
mod online;
mod origin;
mod outside;
mod pairs;
mod picture;
mod projection;
mod protocols;
mod reconstruction;
mod retrieval;
#[cfg(test)]
mod seeded;
mod semi;
mod separability;
mod splits;
mod subset;
mod text_features;
mod watch;

pub use accuracy::Accuracy;
pub use attention_map::AttentionMaps;
pub use batch::{appended, host_tensor, rows_of, whole_source};
pub use clip_reconstruction::ClipReconstructions;
pub use clips::ClipProtocols;
pub use continual::AccuracyMatrix;
pub use encoded::{EncodedData, EncodedSplit, image_features, join_batches};
pub use error::EvalError;
pub use evaluator::Evaluator;
pub use exhibit::Exhibit;
pub use feature_store::FeatureStore;
pub use few_labels::{Answers, FewLabelled, FewLabels, HeadTraining, LabelledDraw, Learner};
pub use few_shot::FewShotRidge;
pub use fills::fill_sheet;
pub use film_strips::film_strips;
pub use k_means::{KMeansEvaluator, host_points};
pub use knn::KnnEvaluator;
pub use linear_probe::{LinearProbe, ProbeOptimizer};
pub use machine::{DeviceChoice, choose_threads, device_name};
pub use metrics::{Metrics, Scores};
pub use mixture::mixture_sheet;
pub use neighbours::{contact_sheet, nearest};
pub use online::{OnlineEvaluation, OnlineMetrics, effective_rank};
pub use origin::{describe_splits, starting_weights};
pub use outside::{Outside, auroc};
pub use pairs::{MixturePair, MixturePairs, SHARES, separability_anchors};
pub use picture::{Picture, PictureLayout};
pub use projection::Projection;
pub use protocols::{
    EVALUATION_BATCH, EncodeError, Measurement, Protocols, check_labels, check_suitable,
    missing_classes, warn_of_missing_classes,
};
pub use reconstruction::Reconstructions;
pub use retrieval::{recalls, top1};
pub use semi::SemiSupervised;
pub use separability::{
    PairTokens, Separability, Separation, Separator, mean_cosine, mixture_anchor,
};
pub use splits::{Splits, cached};
pub use subset::{class_balanced, per_class};
pub use text_features::{TextEncoder, TextFeatures, chosen_features};
pub use watch::{TrainingRun, Watch};
