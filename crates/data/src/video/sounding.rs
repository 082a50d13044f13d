//! Clips that are seen and heard.

use bauta_datasets::DataError;

use crate::prefetch::Cancel;

/// Samples a second of a clip's sound.
pub(super) const RATE: u32 = 16_000;

/// Root mean square below which a sound is silent.
pub(super) const SILENT: f64 = 1e-4;

/// Which clips; those of different splits share nothing that is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoundingSplit {
    /// To train on.
    Train,
    /// Held out of the training, to choose by.
    HeldOut,
    /// To measure on at the end.
    Test,
}

/// A clip, seen and heard.
#[derive(Clone, Debug, PartialEq)]
pub struct SoundingClip {
    /// Pixels of the frames, \[T, H, W, 3\] row by row.
    pub frames: Vec<u8>,
    /// The sound of the left and the right ear, [`SoundingSource::samples`] each; empty where clips
    /// are not heard.
    pub sound: [Vec<f32>; 2],
    /// Its class, 0 where there are none.
    pub class: u32,
}

/// An unlimited supply of clips by number: each is a function of its split and number.
pub trait SoundingSource: Send + Sync {
    /// Names of the classes; empty where clips have none.
    fn classes(&self) -> &[String];

    /// Frames of a clip, T.
    fn frames(&self) -> usize;

    /// Height and width of the frames in pixels.
    fn size(&self) -> usize;

    /// Samples a second of the sound.
    fn rate(&self) -> u32 {
        RATE
    }

    /// Samples of a clip's sound.
    fn samples(&self) -> usize;

    /// Makes a clip; none where nothing is heard in it, and it should be.
    ///
    /// Soon after `cancel` is set it gives up, with any error.
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

/// The root mean square of a sound, 0 of none.
pub(super) fn loudness(wave: &[f32]) -> f64 {
    let power: f64 = wave.iter().map(|x| f64::from(*x).powi(2)).sum();
    (power / wave.len().max(1) as f64).sqrt()
}
