//! Clips of videos, from files or generators to batches of bytes \[N, C, T, H, W\].
//!
//! A [`ClipSource`] has videos with labels and reads any frames of any of them. A [`ClipSampling`]
//! says which frames a clip has (MAE-ST, arXiv 2205.09113, A.1), a [`ClipAugment`] which part of
//! them is shown. A [`ClipLoader`] cuts several clips from each video that it reads, so that a
//! video is decoded once for all of them (repeated sampling, section 3.2), and yields
//! [`ClipBatch`]es that are a pure function of seed and step.

mod augment;
mod ffmpeg;
mod files;
mod flow;
mod frame_folders;
mod frame_order;
mod frame_shards;
mod loader;
mod moving_mnist;
mod moving_stamps;
mod open;
mod pans;
mod sounding;
mod sounding_videos;
mod stills;
mod subset;

pub use bauta_datasets::video::{
    ClipAugment, ClipCrop, ClipDataset, ClipOptions, ClipSampling, MovingMnistOptions,
    MovingStampsOptions, PanOptions, ShortVideo, SoundingVideoOptions, Timeline, VideoOptions,
    Walls,
};

pub use self::ffmpeg::{Ffmpeg, VideoInfo};
pub use self::files::VideoFiles;
pub use self::flow::{ClipFlow, TvL1, TvL1Config};
pub use self::frame_folders::FrameFolders;
pub use self::frame_order::FrameOrder;
pub use self::frame_shards::{FrameShards, PrepareOptions, PrepareReport, prepare};
pub use self::loader::{ClipBatch, ClipLoader, Views};
pub use self::moving_mnist::MovingMnist;
pub use self::moving_stamps::MovingStamps;
pub use self::open::{ClipSplits, open_clips};
pub use self::pans::CameraPans;
pub use self::sounding::{SoundingClip, SoundingSource, SoundingSplit};
pub use self::sounding_videos::SoundingVideos;
pub use self::subset::ClipSubset;

use bauta_datasets::DataError;

use crate::image::Image;
use crate::prefetch::Cancel;
use crate::source::Statistics;

/// One label set of a source's videos, such as content or motion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSet {
    /// Its name, `class`, `direction` or the like; no two sets of a source share one.
    pub name: String,
    /// Names of its classes, in the order of the labels.
    pub classes: Vec<String>,
}

impl LabelSet {
    /// Names a set and its classes.
    pub fn new<N: Into<String>>(
        name: impl Into<String>,
        classes: impl IntoIterator<Item = N>,
    ) -> Self {
        Self { name: name.into(), classes: classes.into_iter().map(Into::into).collect() }
    }
}

/// A finite collection of videos with random access.
///
/// Indices run from 0 to `len() - 1`; the methods that take one panic beyond. A source is shared
/// between threads, keeps no position, and always returns the same for an index.
pub trait ClipSource: Send + Sync {
    /// Number of videos.
    fn len(&self) -> usize;

    /// Whether there are no videos.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Channels of every frame, at least 1.
    fn channels(&self) -> usize;

    /// The label sets of the videos; empty if there are no labels.
    fn label_sets(&self) -> &[LabelSet];

    /// The label of a video in one of the [sets](Self::label_sets), an index into its classes.
    fn label(&self, index: usize, set: usize) -> u32;

    /// Number of frames of a video, and its frame rate.
    ///
    /// # Errors
    /// When the video cannot be read.
    fn timeline(&self, index: usize) -> Result<Timeline, DataError>;

    /// Reads the frames at the positions `wanted` of the timeline, which are strictly ascending:
    /// one image each, all of one size.
    ///
    /// Gives up with any error soon after `cancel` is set.
    ///
    /// # Errors
    /// When the video cannot be read or decoded, or has no such frame.
    fn frames(
        &self,
        index: usize,
        wanted: &[u64],
        cancel: &Cancel,
    ) -> Result<Vec<Image<'_>>, DataError>;

    /// Describes a video for messages: a path, or `moving-mnist train #17`.
    fn describe(&self, index: usize) -> String;

    /// Mean and standard deviation of the channels, for normalisation.
    fn statistics(&self) -> Statistics;
}
