//! The tables of which recipes consist, each with its keys, defaults and checks.
//!
//! A system's settings are a struct of tables, under their names: the keys that a table's checks
//! name start with `data.` for [`Data`], `model.` for [`Vit`], [`DroppingVit`] and [`Beit`], and so
//! on. Keys are strict; one without a default must be given in the file.

mod about;
mod clip_eval;
mod clips;
mod decoder;
mod documents;
mod eval;
mod finetune;
pub(crate) mod images;
pub(crate) mod limits;
mod mask;
mod mixture;
mod policies;
mod pooling;
mod stages;
mod target;
mod teacher;
mod text_classifier;
pub(crate) mod train;
mod video;
mod vit;

pub use about::About;
pub use clip_eval::{ClipEval, ViewCounts};
pub use clips::ClipData;
pub use decoder::Decoder;
pub use documents::{Documents, Tree};
pub use eval::{Eval, FewShot, Knn, Linear, Pictures, ProbeOptimizer, Protocol, Semi};
pub use finetune::FineTune;
pub use images::{Data, ImageSize};
pub use limits::{LIMITS, Limit, limit};
pub use mask::Mask;
pub use mixture::{Branches, Mixture, MixtureInit, TeacherInput};
pub use policies::{LearntPolicies, PolicyReward, PolicyTable};
pub use pooling::Pooling;
pub use stages::Stages;
pub use target::{Comparison, FeatureLoss, FeatureTarget, Normalization, PixelTarget, TargetKind};
pub use teacher::{Teacher, TeacherKind};
pub use text_classifier::{ClassifierKind, TextClassifier};
pub use train::{Device, Optimizer, Precision, Schedule, Train};
pub use video::{
    ClassToken, FrameTarget, PredictedFrames, SpacetimePositions, VideoDecoder, VideoVit,
};
pub use vit::{Beit, DroppingVit, Vit};
