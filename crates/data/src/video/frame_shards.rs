//! Videos as JPEGs in tar files, so that training never decodes a video.
//!
//! ```text
//! train/00000.tar   000000/000000.jpg … 000000/000249.jpg, 000000/video.json, 000001/…
//! val/00000.tar     the same, where the data set has a test split
//! ```
//!
//! `video.json` ends a video. It holds the video's path below its original folder, its class if
//! there are classes, its number of frames, and its frame rate.

mod index;
mod prepare;

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bauta_datasets::video::VideoOptions;
use bauta_datasets::{DataError, Decoding};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::index::{Video, index};
pub use self::prepare::{PrepareOptions, PrepareReport, prepare};
use super::augment::shrunk;
use super::files::class_set;
use super::{ClipSource, LabelSet, Timeline};
use crate::image::Image;
use crate::prefetch::Cancel;
use crate::regular;
use crate::source::Statistics;
use crate::source::layout::{Kind, Layout, layout};
use crate::source::listing::files_below;
use crate::source::shards::is_shard;

const FRAME_SHARDS: Kind = Kind {
    wanted: is_shard,
    called: "frame shards",
    missing: "tar files of frames",
    layout: "write them with `cargo xtask prepare-video DIR --out SHARDS` \
             (docs/your-own-videos.md)",
    folders: false,
};

/// Maximum number of files kept open; a process can commonly have 1024.
const OPEN: usize = 512;

/// The description that ends a video in a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct About {
    path: String,
    class: Option<String>,
    frames: u64,
    rate: f64,
}

/// Videos as JPEGs in tar files, in the order of the files' names and of their entries.
#[derive(Debug)]
pub struct FrameShards {
    shards: Vec<Shard>,
    /// Each with the number of its shard.
    videos: Vec<(usize, Video)>,
    sets: Vec<LabelSet>,
    options: VideoOptions,
}

/// A tar file, opened when it is first read.
#[derive(Debug)]
struct Shard {
    path: PathBuf,
    file: OnceLock<File>,
}

impl FrameShards {
    /// Indexes both splits, the second if there is one.
    pub(super) fn splits(
        root: &Path,
        options: &VideoOptions,
        notes: &mut Vec<String>,
    ) -> Result<(Self, Option<Self>), DataError> {
        options.check()?;
        let (folder, test) = match layout(root, FRAME_SHARDS, notes)? {
            Layout::Whole => (root.to_path_buf(), None),
            Layout::Splits { train: Some(train), test } => (train, test),
            Layout::Splits { train: None, test } => {
                return Err(FRAME_SHARDS.no_train(root, test.as_ref()));
            }
        };
        let train = Self::read(&folder, None, options)?;
        let classes = train.sets.first().map_or(&[][..], |set| &set.classes);
        let test = test.map(|folder| Self::read(&folder, Some(classes), options)).transpose()?;
        Ok((train, test))
    }

    fn read(
        folder: &Path,
        classes: Option<&[String]>,
        options: &VideoOptions,
    ) -> Result<Self, DataError> {
        let files = files_below(folder, is_shard)?.paths;
        let indexed: Vec<Vec<Video>> = files
            .par_iter()
            .map(|path| {
                index(regular::open(path)?).map_err(|problem| DataError::malformed(path, problem))
            })
            .collect::<Result<_, _>>()?;
        let number = |(shard, videos): (usize, Vec<Video>)| {
            videos.into_iter().map(move |video| (shard, video))
        };
        let videos: Vec<(usize, Video)> =
            indexed.into_iter().enumerate().flat_map(number).collect();
        if videos.is_empty() {
            return Err(FRAME_SHARDS.nothing(folder));
        }
        let refuse = |problem: String| Err(DataError::malformed(folder, problem));
        let found: BTreeSet<&String> =
            videos.iter().filter_map(|(_, video)| video.about.class.as_ref()).collect();
        let labelled = videos.iter().filter(|(_, video)| video.about.class.is_some()).count();
        if labelled != 0 && labelled != videos.len() {
            return refuse(format!("only {labelled} of {} videos have a class", videos.len()));
        }
        let classes = match classes {
            None => found.into_iter().cloned().collect(),
            Some(known) => {
                if (labelled == 0) != known.is_empty() {
                    return refuse(
                        "its videos and the training videos must both have classes, or neither"
                            .to_owned(),
                    );
                }
                if let Some(strange) = found.into_iter().find(|class| !known.contains(class)) {
                    return refuse(format!("no training video has its class {strange}"));
                }
                known.to_vec()
            }
        };
        let shard = |path| Shard { path, file: OnceLock::new() };
        let shards = files.into_iter().map(shard).collect();
        Ok(Self { shards, videos, sets: class_set(&classes), options: options.clone() })
    }

    /// A video's path below its original folder.
    pub(super) fn relative(&self, index: usize) -> Vec<u8> {
        self.videos[index].1.about.path.clone().into_bytes()
    }

    /// Reads `size` bytes of a shard from `offset` on.
    fn bytes(&self, shard: usize, offset: u64, size: u64) -> Result<Vec<u8>, DataError> {
        let Shard { path, file } = &self.shards[shard];
        let mut bytes = vec![0; size as usize];
        let read = |file: &File, bytes: &mut [u8]| file.read_exact_at(bytes, offset);
        if shard >= OPEN {
            read(&regular::open(path)?, &mut bytes).map_err(DataError::io(path))?;
            return Ok(bytes);
        }
        let file = match file.get() {
            Some(file) => file,
            None => {
                let opened = regular::open(path)?;
                file.get_or_init(|| opened)
            }
        };
        read(file, &mut bytes).map_err(DataError::io(path))?;
        Ok(bytes)
    }
}

impl ClipSource for FrameShards {
    fn len(&self) -> usize {
        self.videos.len()
    }

    fn channels(&self) -> usize {
        3
    }

    fn label_sets(&self) -> &[LabelSet] {
        &self.sets
    }

    fn label(&self, index: usize, set: usize) -> u32 {
        let class = self.videos[index].1.about.class.as_ref().expect("there is a set of classes");
        let classes = &self.sets[set].classes;
        classes.binary_search(class).expect("its classes were collected") as u32
    }

    fn timeline(&self, index: usize) -> Result<Timeline, DataError> {
        let About { frames, rate, .. } = self.videos[index].1.about;
        Ok(Timeline { frames, rate })
    }

    fn frames(
        &self,
        index: usize,
        wanted: &[u64],
        cancel: &Cancel,
    ) -> Result<Vec<Image<'_>>, DataError> {
        let VideoOptions { max_pixels, short_side, .. } = self.options;
        let decoding = Decoding { max_pixels, ..Decoding::default() };
        let (shard, video) = &self.videos[index];
        let read = |&place: &u64| {
            let refuse = |problem: String| DataError::Video {
                video: self.describe(index),
                problem: format!("frame {place}: {problem}"),
            };
            if cancel.is_set() {
                return Err(refuse("it is no longer needed".to_owned()));
            }
            let (offset, size) = video.frames[place as usize];
            let file = self.bytes(*shard, offset, size)?;
            Ok(shrunk(Image::decode_with(&file, decoding).map_err(refuse)?, short_side))
        };
        wanted.iter().map(read).collect()
    }

    fn describe(&self, index: usize) -> String {
        let (shard, video) = &self.videos[index];
        format!("{} in {}", video.about.path, self.shards[*shard].path.display())
    }

    fn statistics(&self) -> Statistics {
        Statistics::VIDEO
    }
}

#[cfg(test)]
mod tests;
