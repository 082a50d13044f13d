//! How clips are cut from videos with sound.

use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// How clips are cut from videos with sound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SoundingVideoOptions {
    /// Height and width of the frames in pixels, 8 to 1024: the centre square of the video's
    /// frames, scaled.
    pub size: usize,
    /// Frames of a clip, at least 2.
    pub frames: usize,
    /// Seconds that a clip lasts, in [0.1, 60].
    pub seconds: f64,
    /// The fraction of the videos held out for validation, in (0, 1). If the folder has no test
    /// split, the same fraction of the others is held out for testing.
    pub holdout: f64,
    /// Seed of the clips' start times, separate from that of the run.
    pub seed: u64,
}

impl Default for SoundingVideoOptions {
    fn default() -> Self {
        Self { size: 32, frames: 12, seconds: 1.0, holdout: 0.2, seed: 0 }
    }
}

impl SoundingVideoOptions {
    /// Checks the settings except `holdout`, whose limit depends on the size of the folder.
    ///
    /// # Errors
    /// [`DataError::Setting`], which names the one that is out of its range.
    pub fn check(&self) -> Result<(), DataError> {
        let Self { size, frames, seconds, .. } = *self;
        if !(8..=1024).contains(&size) {
            return Err(DataError::setting("size", size, "must be 8 to 1024 pixels"));
        }
        if !(2..=1000).contains(&frames) {
            return Err(DataError::setting("frames", frames, "must be 2 to 1000"));
        }
        if !(0.1..=60.0).contains(&seconds) {
            return Err(DataError::setting("seconds", seconds, "must be in [0.1, 60]"));
        }
        Ok(())
    }
}
