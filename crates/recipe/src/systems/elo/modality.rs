//! The modalities of a clip.

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr};

use crate::reading::{Violation, ensure};

/// What a network receives of a clip, by the names that recipes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum ClipModality {
    /// Frames in colour.
    Rgb,
    /// Frames in grey.
    Grey,
    /// Optical flow between frames.
    Flow,
    /// Spectrograms of the sound.
    Sound,
}

impl ClipModality {
    /// All of them.
    pub fn all() -> Vec<Self> {
        vec![Self::Rgb, Self::Grey, Self::Flow, Self::Sound]
    }

    pub(super) fn check(named: &[Self]) -> Result<(), Violation> {
        let keys = ["model.modalities"];
        ensure(named.contains(&Self::Rgb), &keys, || {
            "model.modalities has no \"rgb\"; its network is the one that is kept, so add it"
                .to_owned()
        })?;
        for (place, modality) in named.iter().enumerate() {
            ensure(!named[..place].contains(modality), &keys, || {
                format!("model.modalities names \"{modality}\" twice; leave one out")
            })?;
        }
        Ok(())
    }
}
