//! Augmentation of clips: the settings and their ranges.

use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// How frames are brought to the model's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClipCrop {
    /// A rectangle of random area, ratio and place, the same for all frames of a clip.
    #[default]
    RandomResized,
    /// The centre square over the whole shorter side.
    Center,
    /// The whole frame, resized regardless of its aspect ratio.
    None,
}

/// How clips are augmented; the default is MAE-ST's pre-training.
///
/// Mirroring changes the meaning of direction labels: a source that has them needs `flip: false`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClipAugment {
    /// The kind of crop.
    pub crop: ClipCrop,
    /// Least and greatest fraction of the frame's area in a random resized crop, in (0, 1].
    pub scale: [f64; 2],
    /// Least and greatest width over height of a random resized crop, above 0.
    pub ratio: [f64; 2],
    /// Whether to mirror each clip left to right with probability 0.5.
    pub flip: bool,
}

impl Default for ClipAugment {
    fn default() -> Self {
        Self {
            crop: ClipCrop::RandomResized,
            scale: [0.5, 1.0],
            ratio: [0.75, 1.333_333_333_333_333_3],
            flip: true,
        }
    }
}

impl ClipAugment {
    /// Frames as they are: resized whole, never mirrored.
    pub fn none() -> Self {
        Self { crop: ClipCrop::None, flip: false, ..Self::default() }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`DataError::Setting`], which names the one that is out of its range.
    pub fn check(&self) -> Result<(), DataError> {
        let ([least, most], [narrow, wide]) = (self.scale, self.ratio);
        if !(0.0 < least && least <= most && most <= 1.0) {
            let rule = "must be [least, greatest] fraction of the area, in (0, 1]";
            return Err(DataError::setting("scale", format!("{:?}", self.scale), rule));
        }
        if !(0.0 < narrow && narrow <= wide && wide.is_finite()) {
            let rule = "must be [least, greatest] width over height, above 0";
            return Err(DataError::setting("ratio", format!("{:?}", self.ratio), rule));
        }
        Ok(())
    }
}
