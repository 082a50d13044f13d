//! Video transformers (MAE-ST, Feichtenhofer et al., arXiv 2205.09113).
//!
//! A clip is cut into spacetime patches of t × p × p pixels; the rest is a vision transformer, with
//! the same blocks. Where the authors' two code bases differ, facebookresearch/mae_st is followed,
//! and PySlowFast's behaviour is an option.

mod config;
mod decoder;
mod encoder;
mod inflate;
mod patch_embed;
mod positions;
mod step_cost;
#[cfg(test)]
mod tests;

pub use config::{VideoConfig, VideoPositions};
pub use decoder::{DecoderClassToken, VideoDecoder, VideoDecoderConfig};
pub use encoder::VideoTransformer;
pub use inflate::{deflate_weights, inflate_weights};
