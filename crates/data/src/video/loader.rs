//! Batches of clips, several cut from each video that is read.
//!
//! The position of a clip is a function of (seed, epoch, index · R + its number), so batches are
//! the same for any number of threads, any length of the queue, and when a run starts in the
//! middle.

use std::ops::Range;
use std::sync::Arc;

use bauta_datasets::DataError;
use bauta_streams::{Purpose, StreamKey};
use ndarray::Array5;
use rayon::prelude::*;

use super::augment::{Cut, Part, cut_frame, draw};
use super::{ClipAugment, ClipSampling, ClipSource, Timeline};
use crate::loader::{Itinerary, LoaderConfig, Order, Share, Unreadable};
use crate::prefetch::{Cancel, Inputs, Prefetcher, Prepared};

/// Purpose of the stream that chooses a clip's frames.
const WINDOW: Purpose = Purpose::named("clip window");

/// The clips that an evaluation takes of each video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Views {
    /// Clips spread evenly over the video, K, at least 1.
    pub clips: usize,
    /// Crops spread evenly along the longer side of its frames, S, at least 1.
    pub crops: usize,
}

impl Views {
    /// One clip of the middle frames, and of these the centre crop.
    pub const ONE: Self = Self { clips: 1, crops: 1 };
    /// Three crops of seven clips, the paper's protocol for Kinetics.
    pub const KINETICS: Self = Self { clips: 7, crops: 3 };

    /// Clips of each video, K · S.
    pub fn count(self) -> usize {
        self.clips * self.crops
    }
}

/// Clips of one step, on the host.
///
/// With B videos and V clips of each (repeats or views) there are N = B · V clips; the clips of a
/// video are adjacent. View k · S + s is crop s of clip k.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipBatch {
    /// The clips, \[N, C, T, H, W\].
    pub pixels: Array5<u8>,
    /// Indices of the videos in the source, B.
    pub indices: Vec<u64>,
    /// Numbers of the clips, N: `index · V + number within the video`. They are the keys of the
    /// streams for anything drawn per clip, such as its mask.
    pub samples: Vec<u64>,
    /// Labels of the videos, B in each of the source's label sets.
    pub labels: Vec<Vec<i64>>,
    /// Clips of each video, V.
    pub per_video: usize,
    /// The epoch, from 0.
    pub epoch: u64,
    /// The global step, from 0, counted across epochs.
    pub step: u64,
}

/// A source, a way to cut clips, and the threads that build batches from them.
///
/// ```
/// use std::sync::Arc;
/// use bauta_data::video::{
///     ClipAugment, ClipLoader, ClipSampling, MovingMnist, MovingMnistOptions,
/// };
/// use bauta_data::{InMemory, LoaderConfig, Split, Statistics};
///
/// // Two digits of 4 × 4 pixels, moving over frames of 16 × 16.
/// let pixels = vec![255; 2 * 4 * 4];
/// let classes = vec!["0".to_owned(), "1".to_owned()];
/// let digits =
///     InMemory::new("toy", [4, 4, 1], pixels, vec![0, 1], classes, Statistics::MNIST)?;
/// let options = MovingMnistOptions { videos: 8, digits: 1, size: 16, ..Default::default() };
/// let source = MovingMnist::new(Arc::new(digits), Split::Train, &options)?;
///
/// let sampling = ClipSampling { frames: 8, stride: 1, ..ClipSampling::default() };
/// let config = LoaderConfig::new(4, 16, 16);
/// let loader =
///     ClipLoader::new(Arc::new(source), sampling, ClipAugment::none(), 2, config)?;
/// for batch in loader.batches(0..loader.steps_per_epoch(), |batch| batch) {
///     // Four videos, two clips of each.
///     assert_eq!(batch?.pixels.dim(), (8, 1, 8, 16, 16));
/// }
/// # Ok::<(), bauta_data::DataError>(())
/// ```
pub struct ClipLoader {
    itinerary: Arc<Itinerary>,
    assembler: Arc<Assembler>,
    prefetcher: Prefetcher,
}

impl ClipLoader {
    /// Prepares to load `repeats` random clips of each video, and starts the threads.
    ///
    /// `config.batch_size` counts videos: a batch has `batch_size · repeats` clips.
    ///
    /// # Errors
    /// [`DataError::Setting`] when a setting is out of its range, or the source has fewer
    /// videos than one batch of a shuffled epoch.
    pub fn new(
        source: Arc<dyn ClipSource>,
        sampling: ClipSampling,
        augment: ClipAugment,
        repeats: usize,
        config: LoaderConfig,
    ) -> Result<Self, DataError> {
        augment.check()?;
        if repeats == 0 {
            return Err(DataError::setting("repeats", 0, "must be at least 1"));
        }
        Self::cutting(source, sampling, Cutting::Random { augment, repeats }, config)
    }

    /// Prepares to load a source in order and without randomness; the last batch can be shorter.
    ///
    /// # Errors
    /// As [`ClipLoader::new`].
    pub fn for_evaluation(
        source: Arc<dyn ClipSource>,
        sampling: ClipSampling,
        views: Views,
        config: LoaderConfig,
    ) -> Result<Self, DataError> {
        for (key, count) in [("clips", views.clips), ("crops", views.crops)] {
            if count == 0 {
                return Err(DataError::setting(key, 0, "must be at least 1"));
            }
        }
        let (order, share) = (Order::Sequential, Share::WHOLE);
        let config = LoaderConfig { order, share, ..config };
        Self::cutting(source, sampling, Cutting::Views(views), config)
    }

    fn cutting(
        source: Arc<dyn ClipSource>,
        sampling: ClipSampling,
        cutting: Cutting,
        config: LoaderConfig,
    ) -> Result<Self, DataError> {
        sampling.check()?;
        config.check(source.len(), "videos")?;
        let LoaderConfig { height, width, seed, on_error, threads, queue, .. } = config;
        for (key, side) in [("height", height), ("width", width)] {
            if !(1..=usize::from(u16::MAX)).contains(&side) {
                return Err(DataError::setting(key, side, "must be 1 to 65535 pixels"));
            }
        }
        let itinerary = Arc::new(Itinerary::new(&config, source.len()));
        let unreadable = Unreadable::new(on_error);
        let size = [height, width];
        let assembler = Arc::new(Assembler { source, sampling, cutting, size, seed, unreadable });
        Ok(Self { itinerary, assembler, prefetcher: Prefetcher::new(threads, queue)? })
    }

    /// Number of batches in an epoch: one pass over the videos, whatever the repeats.
    ///
    /// A shuffled epoch drops the videos that do not fill a batch; a
    /// sequential one keeps them as a shorter batch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.itinerary.steps_per_epoch()
    }

    /// Clips of each video: the repeats, or the number of views.
    pub fn per_video(&self) -> usize {
        self.assembler.cutting.per_video()
    }

    /// Builds the batches of the given global steps, in order, across epochs.
    ///
    /// A step none of whose videos can be read is handled as in
    /// [`Loader::batches`](crate::Loader::batches).
    ///
    /// `prepare` turns each batch into what the consumer wants; it runs on the loader's
    /// threads, for several batches at once.
    pub fn batches<T, F>(&self, steps: Range<u64>, prepare: F) -> Inputs<T>
    where
        T: Send + 'static,
        F: Fn(ClipBatch) -> T + Send + Sync + 'static,
    {
        let (itinerary, assembler) = (Arc::clone(&self.itinerary), Arc::clone(&self.assembler));
        self.prefetcher.inputs(steps, move |step, cancel| {
            let mut skipped = None;
            // A cancelled step has no clips either, and need not be tried again.
            for visited in itinerary.substitutes(step).take_while(|_| !cancel.is_set()) {
                let (epoch, indices) = itinerary.visit(visited);
                let Prepared { input, skipped: missing } =
                    assembler.assemble(step, epoch, indices, cancel)?;
                // Those missing from another step's batch are counted there.
                let skipped = *skipped.get_or_insert(missing);
                if let Some(batch) = input {
                    return Ok(Prepared { input: Some(prepare(batch)), skipped });
                }
            }
            itinerary.gone_without(step, skipped.unwrap_or(0))
        })
    }
}

/// How clips are cut from a video.
#[derive(Clone, Debug)]
enum Cutting {
    Random { augment: ClipAugment, repeats: usize },
    Views(Views),
}

impl Cutting {
    fn per_video(&self) -> usize {
        match self {
            Self::Random { repeats, .. } => *repeats,
            Self::Views(views) => views.count(),
        }
    }
}

/// Everything that is needed to build a batch, shared by the threads.
struct Assembler {
    source: Arc<dyn ClipSource>,
    sampling: ClipSampling,
    cutting: Cutting,
    /// Height and width of a clip.
    size: [usize; 2],
    seed: u64,
    unreadable: Unreadable,
}

impl Assembler {
    fn assemble(
        &self,
        step: u64,
        epoch: u64,
        mut indices: Vec<u64>,
        cancel: &Cancel,
    ) -> Result<Prepared<ClipBatch>, DataError> {
        let per_video = self.cutting.per_video();
        let video_size = per_video * self.clip_size();
        let mut pixels = vec![0; indices.len() * video_size];
        let failures: Vec<Option<DataError>> = pixels
            .par_chunks_exact_mut(video_size)
            .zip(&indices)
            .map(|(out, &index)| {
                if cancel.is_set() {
                    return None;
                }
                self.read(index, epoch, cancel, out).err()
            })
            .collect();
        if cancel.is_set() {
            // Nobody receives what is returned, and nothing is wrong with the videos.
            return Ok(Prepared { input: None, skipped: 0 });
        }
        let failed =
            self.unreadable.judge(failures, &indices, |index| self.source.describe(index))?;
        let mut kept = 0;
        for video in (0..indices.len()).filter(|&video| !failed[video]) {
            pixels.copy_within(video * video_size..(video + 1) * video_size, kept * video_size);
            indices[kept] = indices[video];
            kept += 1;
        }
        let skipped = (indices.len() - kept) as u64;
        indices.truncate(kept);
        pixels.truncate(kept * video_size);
        if kept == 0 {
            return Ok(Prepared { input: None, skipped });
        }
        let [height, width] = self.size;
        let shape = (kept * per_video, self.source.channels(), self.sampling.frames, height, width);
        let pixels = Array5::from_shape_vec(shape, pixels).expect("one chunk of pixels a video");
        let clips = per_video as u64;
        let samples = indices.iter().flat_map(|&i| i * clips..(i + 1) * clips).collect();
        let of_set =
            |set| indices.iter().map(|&i| self.source.label(i as usize, set).into()).collect();
        let labels = (0..self.source.label_sets().len()).map(of_set).collect();
        let batch = ClipBatch { pixels, indices, samples, labels, per_video, epoch, step };
        Ok(Prepared { input: Some(batch), skipped })
    }

    /// Reads a video once and cuts its clips into `out`, \[V, C, T, H, W\].
    fn read(
        &self,
        index: u64,
        epoch: u64,
        cancel: &Cancel,
        out: &mut [u8],
    ) -> Result<(), DataError> {
        let video = index as usize;
        let timeline = self.source.timeline(video)?;
        let clips: Vec<Vec<u64>> = (0..self.cutting.per_video())
            .map(|clip| self.places(timeline, index, epoch, clip))
            .collect::<Result<_, _>>()
            .map_err(|problem| self.unusable(video, problem))?;
        let mut wanted = clips.concat();
        wanted.sort_unstable();
        wanted.dedup();
        let frames = self.source.frames(video, &wanted, cancel)?;
        let first = frames.first().filter(|_| frames.len() == wanted.len());
        let first = first.ok_or_else(|| {
            let (found, wanted) = (frames.len(), wanted.len());
            self.unusable(video, format!("only {found} of {wanted} frames were read"))
        })?;
        let shape = [first.height(), first.width(), first.channels()];
        for frame in &frames {
            let found = [frame.height(), frame.width(), frame.channels()];
            if found != shape || found[2] != self.source.channels() {
                let problem = format!(
                    "its frames have the shapes {found:?} and {shape:?} (height, width, channels); \
                     they must have one shape, with the source's {} channels",
                    self.source.channels()
                );
                return Err(self.unusable(video, problem));
            }
        }
        for (number, (places, clip)) in
            clips.iter().zip(out.chunks_exact_mut(self.clip_size())).enumerate()
        {
            let cut = self.cut(index, epoch, number, [shape[0], shape[1]]);
            for (at, place) in places.iter().enumerate() {
                let frame = wanted.binary_search(place).expect("every clip's frames are wanted");
                cut_frame(&frames[frame], cut, self.size, clip, at, places.len());
            }
        }
        Ok(())
    }

    fn unusable(&self, video: usize, problem: String) -> DataError {
        DataError::Video { video: self.source.describe(video), problem }
    }

    /// The frame positions of one of a video's clips.
    fn places(
        &self,
        timeline: Timeline,
        index: u64,
        epoch: u64,
        clip: usize,
    ) -> Result<Vec<u64>, String> {
        match &self.cutting {
            Cutting::Random { repeats, .. } => {
                let sample = index * *repeats as u64 + clip as u64;
                let key = StreamKey { seed: self.seed, purpose: WINDOW, epoch, sample };
                self.sampling.random(timeline, &mut key.stream())
            }
            Cutting::Views(views) => {
                self.sampling.spread(timeline, clip / views.crops, views.clips)
            }
        }
    }

    /// The part of its frames that one of a video's clips shows.
    fn cut(&self, index: u64, epoch: u64, clip: usize, [height, width]: [usize; 2]) -> Cut {
        match &self.cutting {
            Cutting::Random { augment, repeats } => {
                let sample = index * *repeats as u64 + clip as u64;
                let purpose = Purpose::AUGMENT;
                let key = StreamKey { seed: self.seed, purpose, epoch, sample };
                draw(augment, height, width, &mut key.stream())
            }
            Cutting::Views(views) => {
                let place = clip % views.crops;
                Cut { part: Part::Covering { place, places: views.crops }, mirrored: false }
            }
        }
    }

    /// Samples of one clip, C · T · H · W.
    fn clip_size(&self) -> usize {
        self.source.channels() * self.sampling.frames * self.size[0] * self.size[1]
    }
}

#[cfg(test)]
mod tests;
