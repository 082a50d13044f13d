//! Sound as networks see it: log-mel spectrograms of waves.
//!
//! Waves come from files by [`Ffmpeg::sound`](crate::video::Ffmpeg::sound), or from a generator.

mod mel;

pub use self::mel::{LogMel, LogMelConfig};
