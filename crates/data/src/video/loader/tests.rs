//! Batches of clips are a pure function of seed and step, and videos are read once for all.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bauta_datasets::OnError;
use proptest::prelude::*;

use super::*;
use crate::image::Image;
use crate::source::Statistics;
use crate::video::{ClipCrop, LabelSet, ShortVideo};

/// Videos of 6 × 8 pixels with three channels, whose samples tell video, frame and position.
struct Counted {
    videos: usize,
    frames: u64,
    corrupt: Vec<usize>,
    sets: Vec<LabelSet>,
    reads: AtomicUsize,
}

impl Counted {
    fn new(videos: usize, frames: u64, corrupt: &[usize]) -> Self {
        let sets = vec![LabelSet::new("third", ["0", "1", "2"]), LabelSet::new("half", ["0", "1"])];
        Self { videos, frames, corrupt: corrupt.to_vec(), sets, reads: AtomicUsize::new(0) }
    }

    fn sample(video: usize, frame: u64, at: usize) -> u8 {
        (video * 31 + frame as usize * 7 + at * 3) as u8
    }
}

impl ClipSource for Counted {
    fn len(&self) -> usize {
        self.videos
    }
    fn channels(&self) -> usize {
        3
    }
    fn label_sets(&self) -> &[LabelSet] {
        &self.sets
    }
    fn label(&self, index: usize, set: usize) -> u32 {
        index as u32 % [3, 2][set]
    }
    fn timeline(&self, _: usize) -> Result<Timeline, DataError> {
        Ok(Timeline { frames: self.frames, rate: 30.0 })
    }
    fn frames(
        &self,
        index: usize,
        wanted: &[u64],
        _: &Cancel,
    ) -> Result<Vec<Image<'_>>, DataError> {
        assert!(wanted.is_sorted_by(|a, b| a < b) && wanted.last() < Some(&self.frames));
        self.reads.fetch_add(1, Relaxed);
        if self.corrupt.contains(&index) {
            let (video, problem) = (self.describe(index), "damaged".to_owned());
            return Err(DataError::Video { video, problem });
        }
        let frame = |&frame: &u64| {
            let pixels = (0..6 * 8 * 3).map(|at| Self::sample(index, frame, at));
            Image::new(6, 8, 3, pixels.collect::<Vec<u8>>())
        };
        Ok(wanted.iter().map(frame).collect())
    }
    fn describe(&self, index: usize) -> String {
        format!("video-{index}")
    }
    fn statistics(&self) -> Statistics {
        Statistics::VIDEO
    }
}

fn sampling() -> ClipSampling {
    ClipSampling { frames: 4, stride: 2, ..ClipSampling::default() }
}

fn loader(source: Counted, augment: ClipAugment, repeats: usize, batch: usize) -> ClipLoader {
    let config = LoaderConfig { threads: 2, ..LoaderConfig::new(batch, 6, 8) };
    ClipLoader::new(Arc::new(source), sampling(), augment, repeats, config).unwrap()
}

fn collect(loader: &ClipLoader, steps: Range<u64>) -> Vec<ClipBatch> {
    loader.batches(steps, |batch| batch).map(Result::unwrap).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn threads_queue_and_start_do_not_matter(
        videos in 3_usize..30, batch in 1_usize..4, repeats in 1_usize..4, seed: u64,
        threads in 1_usize..5, queue in 1_usize..6, start in 0_u64..12,
    ) {
        let load = |threads, queue, steps| {
            let config = LoaderConfig { seed, threads, queue, ..LoaderConfig::new(batch, 4, 5) };
            let source = Arc::new(Counted::new(videos, 20, &[1]));
            let augment = ClipAugment::default();
            let loader = ClipLoader::new(source, sampling(), augment, repeats, config).unwrap();
            collect(&loader, steps)
        };
        let whole = load(1, 1, 0..16);
        prop_assert_eq!(&whole[start as usize..], &load(threads, queue, start..16)[..]);
    }
}

#[test]
fn a_video_is_read_once_for_all_its_clips_and_each_is_another() {
    let source = Arc::new(Counted::new(6, 40, &[]));
    let config = LoaderConfig::new(2, 6, 8);
    let counted = Arc::clone(&source);
    let loader = ClipLoader::new(counted, sampling(), ClipAugment::default(), 4, config).unwrap();
    assert_eq!((loader.steps_per_epoch(), loader.per_video()), (3, 4));
    let batches = collect(&loader, 0..3);
    assert_eq!(source.reads.load(Relaxed), 6);
    for batch in &batches {
        assert_eq!(batch.pixels.dim(), (8, 3, 4, 6, 8));
        for (video, &index) in batch.indices.iter().enumerate() {
            let expected: Vec<u64> = (0..4).map(|clip| index * 4 + clip).collect();
            assert_eq!(batch.samples[video * 4..][..4], expected);
            assert_eq!(
                [batch.labels[0][video], batch.labels[1][video]],
                [index as i64 % 3, index as i64 % 2]
            );
            let clips: Vec<_> = (0..4)
                .map(|clip| batch.pixels.index_axis(ndarray::Axis(0), video * 4 + clip))
                .collect();
            for (a, one) in clips.iter().enumerate() {
                assert!(clips[..a].iter().all(|other| one != other), "clips of {index} repeat");
            }
        }
    }
}

#[test]
fn clips_hold_the_frames_of_their_window_in_the_order_channel_time_row_column() {
    let loader = loader(Counted::new(3, 8, &[]), ClipAugment::none(), 1, 1);
    // The clip spans all 8 frames: 0, 2, 4, 7.
    for batch in collect(&loader, 0..3) {
        let video = batch.indices[0] as usize;
        for ((_, channel, time, y, x), &sample) in batch.pixels.indexed_iter() {
            let at = (y * 8 + x) * 3 + channel;
            assert_eq!(sample, Counted::sample(video, [0, 2, 4, 7][time], at));
        }
    }
}

#[test]
fn epochs_cut_other_clips_and_a_clip_shows_one_place_throughout() {
    let still = |augment| loader(Counted::new(1, 40, &[]), augment, 2, 1);
    let random = still(ClipAugment::default());
    let batches = collect(&random, 0..2);
    assert_ne!(batches[0].pixels, batches[1].pixels);
    assert_eq!((batches[0].epoch, batches[1].epoch), (0, 1));
    // Mirroring alone: neighbours along a row differ by +9 or by -9 in every frame.
    let flips = ClipAugment { flip: true, ..ClipAugment::none() };
    for batch in collect(&still(flips), 0..6) {
        for clip in batch.pixels.outer_iter() {
            let step = clip[[0, 0, 0, 1]].wrapping_sub(clip[[0, 0, 0, 0]]);
            assert!(step == 9 || step == 247);
            for time in 0..4 {
                let here = clip[[0, time, 2, 3]].wrapping_sub(clip[[0, time, 2, 2]]);
                assert_eq!(here, step);
            }
        }
    }
}

#[test]
fn views_go_through_clips_and_crops_in_order() {
    let source: Arc<dyn ClipSource> = Arc::new(Counted::new(5, 40, &[]));
    let config = LoaderConfig::new(2, 6, 6);
    let load = |views| {
        let source = Arc::clone(&source);
        ClipLoader::for_evaluation(source, sampling(), views, config.clone()).unwrap()
    };
    let views = load(Views { clips: 3, crops: 2 });
    let batches = collect(&views, 0..views.steps_per_epoch());
    assert_eq!(batches.iter().map(|b| b.indices.len()).collect::<Vec<_>>(), [2, 2, 1]);
    let first = |clip, crop| {
        let place = [0_u64, 16, 32][clip];
        Counted::sample(0, place, [0_usize, 2][crop] * 3)
    };
    for clip in 0..3 {
        for crop in 0..2 {
            let view = batches[0].pixels.index_axis(ndarray::Axis(0), clip * 2 + crop);
            assert_eq!(view[[0, 0, 0, 0]], first(clip, crop), "{clip} {crop}");
        }
    }
    // One view of each is the middle, and has the video's number as its own.
    let one = collect(&load(Views::ONE), 0..3);
    assert_eq!(one[2].samples, [4]);
    assert_eq!(one[0].pixels[[1, 0, 0, 0, 0]], Counted::sample(1, 16, 3));
}

#[test]
fn corrupt_videos_are_left_out_with_all_their_clips_or_stop() {
    let load = |on_error, corrupt: &[usize]| {
        let source = Arc::new(Counted::new(6, 40, corrupt));
        let config = LoaderConfig { on_error, ..LoaderConfig::new(3, 4, 4) };
        ClipLoader::new(source, sampling(), ClipAugment::default(), 2, config).unwrap()
    };
    let skipping = load(OnError::Skip, &[0, 4]);
    let mut inputs = skipping.batches(0..2, |batch| batch);
    let batches: Vec<ClipBatch> = inputs.by_ref().map(Result::unwrap).collect();
    let clips: usize = batches.iter().map(|batch| batch.pixels.dim().0).sum();
    assert_eq!((clips, inputs.skipped()), (8, 2));
    for batch in &batches {
        assert_eq!(batch.samples.len(), batch.indices.len() * 2);
        assert_eq!(batch.labels[0].len(), batch.indices.len());
        assert!(!batch.indices.contains(&0) && !batch.indices.contains(&4));
    }
    // The remaining clips are the same as without the corrupt videos.
    let whole = collect(&load(OnError::Skip, &[]), 0..2);
    let (kept, all) = (&batches[0], &whole[0]);
    for (video, index) in kept.indices.iter().enumerate() {
        let place = all.indices.iter().position(|other| other == index).unwrap();
        for clip in 0..2 {
            let of = |batch: &ClipBatch, video| {
                batch.pixels.index_axis(ndarray::Axis(0), video * 2 + clip).to_owned()
            };
            assert_eq!(of(kept, video), of(all, place));
        }
    }
    let error = load(OnError::Stop, &[0, 4]).batches(0..2, |batch| batch).find_map(Result::err);
    let error = error.unwrap().to_string();
    assert!(error.starts_with("video video-") && error.ends_with("cannot be read: damaged"));
    let none = load(OnError::Skip, &[0, 1, 2, 3, 4, 5]);
    let error = none.batches(0..2, |batch| batch).find_map(Result::err).unwrap();
    assert!(error.to_string().contains("none of the samples"));
}

#[test]
fn settings_and_videos_that_cannot_be_used_are_refused() {
    let source: Arc<dyn ClipSource> = Arc::new(Counted::new(6, 7, &[]));
    let make = |sampling, augment, repeats, config| {
        ClipLoader::new(Arc::clone(&source), sampling, augment, repeats, config)
    };
    let good = || LoaderConfig::new(2, 4, 4);
    let message = |result: Result<ClipLoader, DataError>| result.err().unwrap().to_string();
    let augment = ClipAugment::default;
    assert!(message(make(sampling(), augment(), 0, good())).starts_with("repeats = 0"));
    let config = LoaderConfig { height: 0, ..good() };
    assert!(message(make(sampling(), augment(), 1, config)).starts_with("height = 0"));
    let large = LoaderConfig { batch_size: 7, ..good() };
    let few = message(make(sampling(), augment(), 1, large));
    assert_eq!(few, "batch_size = 7: the source has only 6 videos");
    let scale = ClipAugment { scale: [0.0, 1.0], ..augment() };
    assert!(message(make(sampling(), scale, 1, good())).starts_with("scale = [0.0, 1.0]"));
    let views = Views { clips: 1, crops: 0 };
    let source = Arc::clone(&source);
    let views = ClipLoader::for_evaluation(source, sampling(), views, good());
    assert!(message(views).starts_with("crops = 0"));
    // A clip spans 8 frames, and the videos have 7.
    let refuse = ClipSampling { short: ShortVideo::Refuse, ..sampling() };
    let crop = ClipAugment { crop: ClipCrop::Center, ..augment() };
    let config = LoaderConfig { on_error: OnError::Stop, ..good() };
    let loader = make(refuse, crop, 1, config).unwrap();
    let error = loader.batches(0..1, |batch| batch).find_map(Result::err).unwrap().to_string();
    assert!(error.contains("video-") && error.contains("7 frames"), "{error}");
}

#[test]
fn an_evaluation_is_whole_for_any_number_of_processes() {
    let source: Arc<dyn ClipSource> = Arc::new(Counted::new(5, 20, &[]));
    let config = LoaderConfig { share: Share { rank: 1, of: 3 }, ..LoaderConfig::new(4, 4, 4) };
    let loader = ClipLoader::for_evaluation(source, sampling(), Views::ONE, config).unwrap();
    let found: Vec<_> = loader.batches(0..2, |batch| batch.indices.len()).flatten().collect();
    assert_eq!(found, [4, 1]);
}
