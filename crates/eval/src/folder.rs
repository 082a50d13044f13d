//! What any model folder says and is worth, ours or Hugging Face's, without the recipe that
//! made it.

mod embed;
mod evaluation;
mod feature_model;
mod forward;
mod images;
mod npy;
mod reconstruct;
mod said_framing;
mod user_images;

pub use embed::{Embed, FeatureFormat};
pub use evaluation::{EvaluationReport, FolderEvaluation};
pub use feature_model::FeatureModel;
pub use forward::{Forward, pixel_target};
pub use images::{NormalizedBy, framing, normalization};
pub use reconstruct::Reconstruct;
pub use said_framing::said_framing;
