//! Opening of the video data sets.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bauta_datasets::video::{ClipDataset, ClipOptions};
use bauta_datasets::{DataError, DatasetName, OpenOptions, SampleType, Split};

use super::{
    CameraPans, ClipSource, ClipSubset, Ffmpeg, FrameFolders, FrameShards, MovingMnist, VideoFiles,
};
use crate::source::holdout::divide;
use crate::source::listed::Listed;
use crate::splits::{TestOrigin, open_splits};
use crate::video::files::VIDEOS;

/// The videos to train on and those to evaluate on, of the same label sets.
pub struct ClipSplits {
    /// The videos to train on.
    pub train: Arc<dyn ClipSource>,
    /// The videos to evaluate on; `None` if the data set has no test split and nothing is held out.
    pub test: Option<Arc<dyn ClipSource>>,
    /// The origin of the test part.
    pub origin: TestOrigin,
    /// Notes on how the folder was interpreted, one sentence each.
    pub notes: Vec<String>,
}

/// Opens the splits of the data set in the folders `roots`: those of its
/// [packages](ClipDataset::packages), or a user's folder.
///
/// `ffmpeg` is called for the program if the data set [needs](ClipDataset::needs_ffmpeg) it. If the
/// pictures for camera motions have no test split, the test videos have their own pictures only if
/// some are held out.
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
        return Err(DataError::setting("roots", "none", "must be the folder of the data set"));
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
                (VideoFiles::of(gathered(roots, &mut notes)?, ffmpeg, videos)?, None)
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

/// The videos of several folders as one list, named by their paths below the common parent folder.
fn gathered(roots: &[PathBuf], notes: &mut Vec<String>) -> Result<Listed, DataError> {
    let mut paths = Vec::new();
    for root in roots {
        let found = Listed::all(root, VIDEOS, notes)?;
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

/// Holds out a part if there is no test split and `holdout` is set.
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
