//! Fine-tuning: a pre-trained encoder, or its last blocks, trained on labels, against the same
//! network from scratch.
//!
//! The test images are used once, at the end. Settings should be chosen on images held
//! out of the training split.

mod classification;
mod clips;
mod config;
mod kept;
mod report;
mod task;

pub use clips::{ClipFineTuneTask, balanced};
pub use config::FineTuneConfig;
pub use kept::Kept;
pub use report::FineTuneReport;
pub use task::{FineTuneTask, FineTuned};
