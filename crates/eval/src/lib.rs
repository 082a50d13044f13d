//! What frozen features are worth, and pictures of what a model reconstructs.
//!
//! An encoder is run once over the official splits ([`Split::encode`]); the
//! resulting [`Features`] are all that an [`Evaluator`] sees. So the encoder, raw
//! pixels and an untrained encoder are measured by the same code, and their
//! [`Metrics`] differ by a prefix only.
//!
//! Evaluators draw from their own random streams, never from libtorch's global
//! generator: evaluating in the middle of training does not change the training.
//!
//! ```
//! use bauta_eval::{Evaluator, Features, KnnEvaluator, LinearProbe, Metrics, Split};
//! use tch::Tensor;
//!
//! // Two classes that the first feature tells apart.
//! let points = |n: i64| {
//!     let labels = Tensor::arange(n, (tch::Kind::Int64, tch::Device::Cpu)).remainder(2);
//!     let side = labels.to_kind(tch::Kind::Float) * 2.0 - 1.0;
//!     let other = Tensor::linspace(-1.0, 1.0, n, (tch::Kind::Float, tch::Device::Cpu));
//!     Split::new(Tensor::stack(&[side, other], 1), labels)
//! };
//! let features = Features::new(points(100)?, points(40)?, 2)?;
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
pub mod dense;
mod error;
mod evaluator;
mod features;
mod few_shot;
mod knn;
mod linear_probe;
mod mixture;
mod momentum;
mod neighbours;
mod picture;
mod projection;
mod reconstruction;
mod semi;
mod separability;
mod subset;

pub use accuracy::Accuracy;
pub use attention_map::AttentionMaps;
pub use error::EvalError;
pub use evaluator::{Evaluator, Metrics};
pub use features::{Features, Split, join_batches};
pub use few_shot::FewShotRidge;
pub use knn::KnnEvaluator;
pub use linear_probe::{LinearProbe, Optimizer};
pub use mixture::mixture_sheet;
pub use neighbours::{contact_sheet, nearest};
pub use picture::{Picture, PictureLayout};
pub use projection::Projection;
pub use reconstruction::Reconstructions;
pub use semi::SemiSupervised;
pub use separability::{
    PairTokens, Separability, Separation, Separator, mean_cosine, mixture_anchor,
};
pub use subset::{class_balanced, per_class};
