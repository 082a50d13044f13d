//! Clips with pictures and sound.

use bauta_datasets::DataError;

use crate::prefetch::Cancel;

/// Samples per second of a clip's sound.
pub(super) const RATE: u32 = 16_000;

/// Root mean square below which a sound is silent.
pub(super) const SILENT: f64 = 1e-4;

/// A split of the clips; different splits share nothing that is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoundingSplit {
    /// For training.
    Train,
    /// Held out of training, for validation.
    HeldOut,
    /// For testing at the end.
    Test,
}

/// A clip with its pictures and its sound.
#[derive(Clone, Debug, PartialEq)]
pub struct SoundingClip {
    /// Pixels of the frames, \[T, H, W, 3\] row by row.
    pub frames: Vec<u8>,
    /// The sound of the left and the right ear, [`SoundingSource::samples`] each; empty if sound is
    /// not read.
    pub sound: [Vec<f32>; 2],
    /// Its class, 0 if there are none.
    pub class: u32,
}

/// An unlimited supply of numbered clips: each is a function of its split and number.
pub trait SoundingSource: Send + Sync {
    /// Names of the classes; empty if clips have none.
    fn classes(&self) -> &[String];

    /// Frames of a clip, T.
    fn frames(&self) -> usize;

    /// Height and width of the frames in pixels.
    fn size(&self) -> usize;

    /// Samples per second of the sound.
    fn rate(&self) -> u32 {
        RATE
    }

    /// Samples of a clip's sound.
    fn samples(&self) -> usize;

    /// Produces a clip; `None` if it should have sound but none is audible.
    ///
    /// Gives up with any error soon after `cancel` is set.
    ///
    /// # Errors
    /// When it cannot be read.
    fn clip(
        &self,
        split: SoundingSplit,
        index: u64,
        cancel: &Cancel,
    ) -> Result<Option<SoundingClip>, DataError>;
}

/// The root mean square of a sound; 0 for an empty one.
pub(super) fn loudness(wave: &[f32]) -> f64 {
    let power: f64 = wave.iter().map(|x| f64::from(*x).powi(2)).sum();
    (power / wave.len().max(1) as f64).sqrt()
}
