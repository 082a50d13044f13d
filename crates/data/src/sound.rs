//! Sound as input for networks: log-mel spectrograms of waveforms.
//!
//! Waveforms come from files by [`Ffmpeg::sound`](crate::video::Ffmpeg::sound), or from a
//! generator.

mod mel;

pub use self::mel::{LogMel, LogMelConfig};
