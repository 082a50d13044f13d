//! Outputs and quality of any model folder, ours or Hugging Face's, without the recipe it was
//! trained with.

mod clip_evaluation;
mod embed;
mod evaluation;
mod feature_model;
mod forward;
mod images;
mod npy;
mod reconstruct;
mod said_framing;
mod user_images;

pub use clip_evaluation::ClipFolderEvaluation;
pub(crate) use clip_evaluation::check_clip_channels;
pub use embed::{Embed, FeatureFormat};
pub use evaluation::{EvaluationReport, FolderEvaluation};
pub use feature_model::FeatureModel;
pub use forward::{Forward, pixel_target};
pub use images::{
    NormalizedBy, check_channels, data_normalization, framing, normalization, open_options,
};
pub use reconstruct::Reconstruct;
pub use said_framing::said_framing;
