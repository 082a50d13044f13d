//! What any model folder says and is worth, ours or Hugging Face's, without the recipe that
//! made it.

mod embed;
mod evaluation;
mod forward;
mod images;
mod reconstruct;

pub use embed::embed;
pub use evaluation::{EvaluationReport, FolderEvaluation};
pub use forward::{forward, pixel_target};
pub use images::{NormalizedBy, framing, normalization};
pub use reconstruct::{Reconstruct, reconstruct};
