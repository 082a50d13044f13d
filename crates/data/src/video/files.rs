//! Videos in files, decoded by ffmpeg when they are read.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bauta_datasets::DataError;
use bauta_datasets::video::VideoOptions;

use super::ffmpeg::{Decode, Ffmpeg, VideoInfo, decode};
use super::{ClipSource, LabelSet, Timeline};
use crate::image::Image;
use crate::prefetch::Cancel;
use crate::source::Statistics;
use crate::source::layout::Kind;
use crate::source::listed::Listed;
use crate::source::listing::{has_extension, shown};

/// The kind of video files, and the layout of a folder of them.
pub(super) const VIDEOS: Kind = Kind {
    wanted: is_video,
    called: "videos",
    missing: "videos (.mp4, .mkv, .webm, .mov, .avi and the like)",
    layout: "a data set is train/CLASS/*.mp4 and val/CLASS/*.mp4, or CLASS/*.mp4 with a part \
             held out (holdout), or *.mp4 without classes (docs/your-own-videos.md)",
    folders: false,
};

/// Extensions of video files.
const EXTENSIONS: [&str; 20] = [
    "3g2", "3gp", "asf", "avi", "flv", "gif", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg",
    "mts", "mxf", "ogv", "ts", "vob", "webm", "wmv",
];

/// Clips more than this many frames apart are decoded by one program each: starting one and
/// decoding from a key frame takes less time than decoding the frames between them.
const APART: u64 = 300;

fn is_video(path: &Path) -> bool {
    has_extension(path, &EXTENSIONS)
}

/// The label set of a folder with classes.
pub(super) fn class_set(classes: &[String]) -> Vec<LabelSet> {
    match classes {
        [] => Vec::new(),
        classes => vec![LabelSet::new("class", classes.iter().cloned())],
    }
}

/// Videos in files, in the order of their paths.
///
/// A file is probed when it is first read, and only the wanted frames are transferred, decoded from
/// as close before them as the file allows. The file's own rotation is applied; its pixels are
/// taken as square.
#[derive(Debug)]
pub struct VideoFiles {
    listed: Listed,
    sets: Vec<LabelSet>,
    infos: Vec<OnceLock<VideoInfo>>,
    ffmpeg: Ffmpeg,
    options: VideoOptions,
}

impl VideoFiles {
    /// Wraps these files, without classes.
    ///
    /// # Errors
    /// [`DataError::Setting`] when an option is out of its range.
    pub fn files(
        paths: Vec<PathBuf>,
        ffmpeg: Ffmpeg,
        options: &VideoOptions,
    ) -> Result<Self, DataError> {
        Self::of(Listed::unlabelled(Path::new(""), paths), ffmpeg, options)
    }

    /// Lists both splits of a folder, the second if there is one.
    pub(super) fn splits(
        root: &Path,
        ffmpeg: &Ffmpeg,
        options: &VideoOptions,
        notes: &mut Vec<String>,
    ) -> Result<(Self, Option<Self>), DataError> {
        let (train, test) = Listed::splits(root, VIDEOS, notes)?;
        let of = |listed| Self::of(listed, ffmpeg.clone(), options);
        Ok((of(train)?, test.map(of).transpose()?))
    }

    pub(super) fn of(
        listed: Listed,
        ffmpeg: Ffmpeg,
        options: &VideoOptions,
    ) -> Result<Self, DataError> {
        options.check()?;
        let infos = listed.paths().iter().map(|_| OnceLock::new()).collect();
        let sets = class_set(listed.classes());
        Ok(Self { listed, sets, infos, ffmpeg, options: options.clone() })
    }

    pub(super) fn listed(&self) -> &Listed {
        &self.listed
    }

    /// Properties of a video, known before it is decoded.
    ///
    /// # Errors
    /// [`DataError::Video`] when it is not a video, has no frames, or is truncated.
    pub fn info(&self, index: usize) -> Result<&VideoInfo, DataError> {
        self.info_until(index, &Cancel::default())
    }

    fn info_until(&self, index: usize, cancel: &Cancel) -> Result<&VideoInfo, DataError> {
        if let Some(info) = self.infos[index].get() {
            return Ok(info);
        }
        let info = self.ffmpeg.probe_until(&self.listed.paths()[index], cancel)?;
        Ok(self.infos[index].get_or_init(|| info))
    }

    /// Decodes the frames with these numbers, which are strictly ascending, and passes each to
    /// `take` as it arrives.
    pub(super) fn each_frame(
        &self,
        index: usize,
        wanted: &[u64],
        cancel: &Cancel,
        take: impl FnMut(Image<'static>) -> Result<(), String>,
    ) -> Result<(), DataError> {
        let how = self.how(index, self.info_until(index, cancel)?, false);
        decode(&self.ffmpeg, how, wanted, cancel, take)
            .map(|_| ())
            .map_err(|problem| self.refuse(index, problem))
    }

    fn how<'a>(&'a self, index: usize, info: &'a VideoInfo, seek: bool) -> Decode<'a> {
        let VideoOptions { short_side, max_pixels, .. } = self.options;
        Decode { path: &self.listed.paths()[index], info, short_side, max_pixels, seek }
    }

    fn refuse(&self, index: usize, problem: String) -> DataError {
        DataError::Video { video: self.describe(index), problem }
    }
}

impl ClipSource for VideoFiles {
    fn len(&self) -> usize {
        self.listed.paths().len()
    }

    fn channels(&self) -> usize {
        3
    }

    fn label_sets(&self) -> &[LabelSet] {
        &self.sets
    }

    fn label(&self, index: usize, _: usize) -> u32 {
        self.listed.label(index).expect("there is a set of classes")
    }

    fn timeline(&self, index: usize) -> Result<Timeline, DataError> {
        Ok(self.info(index)?.timeline)
    }

    fn frames(
        &self,
        index: usize,
        wanted: &[u64],
        cancel: &Cancel,
    ) -> Result<Vec<Image<'_>>, DataError> {
        let info = self.info_until(index, cancel)?;
        let numbers: Vec<u64> = wanted.iter().map(|&place| info.frame(place)).collect();
        let mut decoded = numbers.clone();
        decoded.dedup();
        let mut frames = Vec::with_capacity(decoded.len());
        // A file without such an index is decoded from its beginning each time.
        let apart = if info.seekable() { APART } else { u64::MAX };
        for part in decoded.chunk_by(|before, after| after - before <= apart) {
            let before = frames.len();
            for seek in [true, false] {
                frames.truncate(before);
                let how = self.how(index, info, seek);
                let right = decode(&self.ffmpeg, how, part, cancel, |frame| {
                    frames.push(frame);
                    Ok(())
                });
                if right.map_err(|problem| self.refuse(index, problem))? {
                    break;
                }
            }
        }
        if decoded.len() == numbers.len() {
            return Ok(frames);
        }
        // A frame of a video of variable rate can be at several positions.
        let of = |number| decoded.binary_search(number).expect("every number was decoded");
        Ok(numbers.iter().map(|number| frames[of(number)].clone()).collect())
    }

    fn describe(&self, index: usize) -> String {
        shown(self.listed.paths()[index].as_os_str())
    }

    fn statistics(&self) -> Statistics {
        Statistics::VIDEO
    }
}
