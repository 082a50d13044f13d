//! Settings of generated videos: moving digits, moving cameras, moving stamps.

use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// What happens when a digit meets the border of the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Walls {
    /// It bounces off; its label is its initial direction.
    #[default]
    Bounce,
    /// It leaves the frame and enters on the other side; its direction never changes.
    Wrap,
}

/// Settings of Moving MNIST's videos.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MovingMnistOptions {
    /// Videos to train on, at least 1.
    pub videos: usize,
    /// Videos to evaluate on, at least 1.
    pub test_videos: usize,
    /// Digits in a video, 1 or 2.
    pub digits: usize,
    /// Height and width of the frames in pixels.
    pub size: usize,
    /// Height and width of the digits in pixels, at most `size`; 0 for 7/16 of it, which is
    /// MNIST's own 28 at `size` 64.
    pub digit_size: usize,
    /// Frames of a video, at least 1.
    pub frames: u64,
    /// Speeds in pixels per frame, above 0 and below `size`: the classes of the label `speed`.
    pub speeds: Vec<f64>,
    /// What happens when a digit meets the border.
    pub walls: Walls,
    /// Seed of the videos, separate from that of the run.
    pub seed: u64,
}

impl Default for MovingMnistOptions {
    fn default() -> Self {
        Self {
            videos: 10_000,
            test_videos: 2_000,
            digits: 2,
            size: 64,
            digit_size: 0,
            frames: 20,
            speeds: vec![2.0, 4.0],
            walls: Walls::Bounce,
            seed: 0,
        }
    }
}

impl MovingMnistOptions {
    /// Height and width of the digits in pixels, with 0 resolved.
    pub fn digit_side(&self) -> usize {
        if self.digit_size == 0 { (self.size * 7 / 16).max(1) } else { self.digit_size }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`DataError::Setting`], which names the one that is out of its range.
    pub fn check(&self) -> Result<(), DataError> {
        for (key, value) in [
            ("videos", self.videos),
            ("test_videos", self.test_videos),
            ("frames", self.frames as usize),
        ] {
            if value == 0 {
                return Err(DataError::setting(key, 0, "must be at least 1"));
            }
        }
        if ![1, 2].contains(&self.digits) {
            return Err(DataError::setting("digits", self.digits, "must be 1 or 2"));
        }
        if !(1..=4096).contains(&self.size) {
            return Err(DataError::setting("size", self.size, "must be 1 to 4096 pixels"));
        }
        if self.digit_size > self.size {
            let rule = format!("must be at most size = {}", self.size);
            return Err(DataError::setting("digit_size", self.digit_size, rule));
        }
        let possible = |&speed: &f64| speed > 0.0 && speed < self.size as f64;
        if self.speeds.is_empty() || !self.speeds.iter().all(possible) {
            let rule = format!("must be pixels per frame, above 0 and below size = {}", self.size);
            return Err(DataError::setting("speeds", format!("{:?}", self.speeds), rule));
        }
        Ok(())
    }
}

/// Settings of videos of camera motions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PanOptions {
    /// Videos to train on, at least 1.
    pub videos: usize,
    /// Videos to evaluate on, at least 1.
    pub test_videos: usize,
    /// Height and width of the frames in pixels.
    pub size: usize,
    /// Frames of a video, at least 2.
    pub frames: u64,
    /// Seed of the videos, separate from that of the run.
    pub seed: u64,
}

impl Default for PanOptions {
    fn default() -> Self {
        Self { videos: 10_000, test_videos: 2_000, size: 64, frames: 16, seed: 0 }
    }
}

impl PanOptions {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`DataError::Setting`], which names the one that is out of its range.
    pub fn check(&self) -> Result<(), DataError> {
        for (key, value) in [("videos", self.videos), ("test_videos", self.test_videos)] {
            if value == 0 {
                return Err(DataError::setting(key, 0, "must be at least 1"));
            }
        }
        if self.frames < 2 {
            return Err(DataError::setting("frames", self.frames, "must be at least 2"));
        }
        if !(1..=1024).contains(&self.size) {
            return Err(DataError::setting("size", self.size, "must be 1 to 1024 pixels"));
        }
        Ok(())
    }
}

/// Settings of clips of moving stamps with sound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MovingStampsOptions {
    /// Stamps, each in four classes, one per direction; at least 1.
    pub stamps: usize,
    /// Height and width of the frames in pixels, 8 to 1024.
    pub size: usize,
    /// Frames of a clip of one second, at least 2.
    pub frames: usize,
    /// Exponent of the power law of the class sizes, at least 0; 0 for equal sizes.
    pub exponent: f64,
    /// Seed of the clips, separate from that of the run.
    pub seed: u64,
}

impl Default for MovingStampsOptions {
    fn default() -> Self {
        Self { stamps: 5, size: 32, frames: 12, exponent: 1.0, seed: 0 }
    }
}

impl MovingStampsOptions {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`DataError::Setting`], which names the one that is out of its range.
    pub fn check(&self) -> Result<(), DataError> {
        let Self { stamps, size, frames, exponent, .. } = *self;
        if stamps == 0 {
            return Err(DataError::setting("stamps", 0, "must be at least 1"));
        }
        if !(8..=1024).contains(&size) {
            return Err(DataError::setting("size", size, "must be 8 to 1024 pixels"));
        }
        if !(2..=1000).contains(&frames) {
            return Err(DataError::setting("frames", frames, "must be 2 to 1000"));
        }
        if !(exponent >= 0.0 && exponent.is_finite()) {
            return Err(DataError::setting("exponent", exponent, "must be at least 0"));
        }
        Ok(())
    }
}
