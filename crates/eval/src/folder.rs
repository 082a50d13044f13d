//! What any model folder says and is worth, ours or Hugging Face's, without the recipe that
//! made it.

mod embed;
mod evaluation;
mod forward;
mod framing;
mod images;
mod npy;
mod reconstruct;

pub use embed::{Embed, FeatureFormat};
pub use evaluation::{EvaluationReport, FolderEvaluation};
pub use forward::{Forward, pixel_target};
pub use framing::framing;
pub use images::{NormalizedBy, normalization};
pub use reconstruct::Reconstruct;
