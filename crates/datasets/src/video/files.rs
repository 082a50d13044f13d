//! Options for reading videos from files.

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::images::Decoding;

/// Options for reading videos.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VideoOptions {
    /// Frames whose shorter side is longer than this many pixels are scaled down to it; 0 keeps all
    /// sizes.
    pub short_side: usize,
    /// Maximum number of pixels of a frame.
    pub max_pixels: u64,
    /// Frames per second of folders of frames, above 0.
    pub frame_rate: f64,
}

impl Default for VideoOptions {
    fn default() -> Self {
        // The copies of data sets that papers report on have a shorter side of 256 pixels.
        Self { short_side: 256, max_pixels: Decoding::MAX_PIXELS, frame_rate: 30.0 }
    }
}

impl VideoOptions {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`DataError::Setting`], which names the one that is out of its range.
    pub fn check(&self) -> Result<(), DataError> {
        if !(self.frame_rate > 0.0 && self.frame_rate.is_finite()) {
            let rule = "must be above 0 frames per second";
            return Err(DataError::setting("frame_rate", self.frame_rate, rule));
        }
        Ok(())
    }
}
