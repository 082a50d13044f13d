//! The networks: an encoder of faces, a decoder of their surfaces and trims, and heads on codes.

mod attention;
mod batch;
mod decoder;
mod encoder;
mod field;
mod heads;
mod linear;
mod max_relative;
mod sampled;
mod segments;

pub use attention::BipartiteAttention;
pub use batch::{GraphBatch, Incidence};
pub use decoder::{DecoderConfig, SurfaceDecoder, WeightNormLinear};
pub use encoder::{EncoderConfig, EncoderKind, FaceEncoder};
pub use field::{FieldErrors, FieldLoss, field_targets};
pub use heads::{FaceClassifier, PartClassifier, accuracy, cross_entropy, predicted};
pub use max_relative::MaxRelative;
pub use sampled::SampledBatch;
pub use segments::{segment_max, segment_min, segment_softmax, segment_sum, take_rows};
