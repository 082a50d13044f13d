//! Clips of a user's own videos, with sound.
//!
//! A clip starts at a random moment of a video, with the sound of that moment. If the sound ends
//! before the clip does, the rest is silence. Clips with sound for less than half of their length,
//! or with silent sound, are not used: networks would learn to recognise them by their silence
//! (ELo, arXiv 2002.12177, trains on pictures and sound together).

use std::path::Path;

use bauta_datasets::DataError;
use bauta_datasets::video::{ClipSampling, ShortVideo, SoundingVideoOptions, VideoOptions};
use bauta_streams::{Purpose, StreamKey};

use super::augment::{Cut, Part, cut_frame};
use super::files::VideoFiles;
use super::sounding::{RATE, SILENT, SoundingClip, SoundingSource, SoundingSplit, loudness};
use super::{ClipSource, Ffmpeg};
use crate::prefetch::Cancel;
use crate::source::holdout::divide;

/// Clips of videos in files.
#[derive(Debug)]
pub struct SoundingVideos {
    train: VideoFiles,
    /// The folder's own test split.
    test: Option<VideoFiles>,
    /// Indices of the videos of each split, in the order of [`SoundingSplit`]; the last are in
    /// `test` if there is one.
    places: [Vec<usize>; 3],
    ffmpeg: Ffmpeg,
    sampling: ClipSampling,
    options: SoundingVideoOptions,
    heard: bool,
}

impl SoundingVideos {
    /// Lists the videos of a folder in any layout of `docs/your-own-videos.md`.
    ///
    /// With `heard`, the sound is decoded too. Notes on how the folder was interpreted are added to
    /// `notes`, one sentence each.
    ///
    /// # Errors
    /// When it holds no videos, too few to hold some out, or an option is out of its range.
    pub fn open(
        root: &Path,
        ffmpeg: &Ffmpeg,
        options: &SoundingVideoOptions,
        heard: bool,
        notes: &mut Vec<String>,
    ) -> Result<Self, DataError> {
        options.check()?;
        let SoundingVideoOptions { size, frames, seconds, holdout, .. } = *options;
        let reading = VideoOptions { short_side: size, ..VideoOptions::default() };
        let (train, test) = VideoFiles::splits(root, ffmpeg, &reading, notes)?;
        let classes = train.listed().classes();
        // Videos are held out by their path alone, separately for each purpose.
        let hold_out = |of: &[usize], purpose: &str| -> Result<[Vec<usize>; 2], DataError> {
            let label = |at: usize| train.listed().label(of[at]);
            let key = |at: usize| {
                let path = train.listed().relative(of[at]);
                [purpose.as_bytes(), path.as_encoded_bytes()].concat()
            };
            let parts = divide(of.len(), classes, label, key, holdout)?;
            Ok(parts.map(|part| part.into_iter().map(|at| of[at]).collect()))
        };
        let all: Vec<usize> = (0..train.len()).collect();
        let [rest, held_out] = hold_out(&all, "")?;
        let [kept, measured] = match &test {
            Some(test) => [rest, (0..test.len()).collect()],
            None => hold_out(&rest, "test ")?,
        };
        let sampling = ClipSampling {
            frames,
            stride: 1,
            rate: frames as f64 / seconds,
            short: ShortVideo::Refuse,
        };
        Ok(Self {
            train,
            test,
            places: [kept, held_out, measured],
            ffmpeg: ffmpeg.clone(),
            sampling,
            options: options.clone(),
            heard,
        })
    }

    /// The source of a split's videos, and their indices in it.
    fn videos(&self, split: SoundingSplit) -> (&VideoFiles, &[usize]) {
        let places: &[usize] = &self.places[split as usize];
        match (&self.test, split) {
            (Some(test), SoundingSplit::Test) => (test, places),
            _ => (&self.train, places),
        }
    }

    /// The sound of a clip that starts at a second of a video; `None` if there is too little.
    fn sound(
        &self,
        path: &Path,
        start: f64,
        cancel: &Cancel,
    ) -> Result<Option<[Vec<f32>; 2]>, DataError> {
        let samples = self.samples();
        let mut ears =
            self.ffmpeg.sound_between(path, RATE, [start, self.options.seconds], cancel)?;
        let silent = ears.iter().all(|ear| loudness(ear) < SILENT);
        if silent || 2 * ears[0].len() < samples {
            return Ok(None);
        }
        ears.iter_mut().for_each(|ear| ear.resize(samples, 0.0));
        Ok(Some(ears))
    }
}

impl SoundingSource for SoundingVideos {
    fn classes(&self) -> &[String] {
        self.train.listed().classes()
    }

    fn frames(&self) -> usize {
        self.options.frames
    }

    fn size(&self) -> usize {
        self.options.size
    }

    fn samples(&self) -> usize {
        (f64::from(RATE) * self.options.seconds).round() as usize
    }

    fn clip(
        &self,
        split: SoundingSplit,
        index: u64,
        cancel: &Cancel,
    ) -> Result<Option<SoundingClip>, DataError> {
        let (videos, places) = self.videos(split);
        let video = places[(index % places.len() as u64) as usize];
        let unusable =
            |problem: String| DataError::Video { video: videos.describe(video), problem };
        let info = videos.info(video)?;
        if self.heard && !info.sound {
            return Err(unusable("it has no sound, but clips need it".to_owned()));
        }
        let purpose = match split {
            SoundingSplit::Train => "clips of videos to train on",
            SoundingSplit::HeldOut => "clips of videos held out",
            SoundingSplit::Test => "clips of videos to test on",
        };
        let purpose = Purpose::named(purpose);
        let key = StreamKey { seed: self.options.seed, purpose, epoch: 0, sample: index };
        let wanted = self.sampling.random(info.timeline, &mut key.stream()).map_err(unusable)?;
        let sound = match self.heard {
            true => self.sound(&videos.listed().paths()[video], info.time(wanted[0]), cancel)?,
            false => Some(Default::default()),
        };
        let Some(sound) = sound else { return Ok(None) };
        let (frames, size) = (wanted.len(), self.options.size);
        // A video with a low frame rate shows some frames for longer.
        let mut decoded = wanted.clone();
        decoded.dedup();
        let images = videos.frames(video, &decoded, cancel)?;
        let cut = Cut { part: Part::Covering { place: 0, places: 1 }, mirrored: false };
        let mut planes = vec![0; 3 * frames * size * size];
        for (at, place) in wanted.iter().enumerate() {
            let image = decoded.binary_search(place).expect("every place was decoded");
            cut_frame(&images[image], cut, [size, size], &mut planes, at, frames);
        }
        let pixels = frames * size * size;
        let pixels =
            (0..pixels).flat_map(|at| [0, 1, 2].map(|colour| planes[colour * pixels + at]));
        let class = videos.listed().label(video).unwrap_or(0);
        Ok(Some(SoundingClip { frames: pixels.collect(), sound, class }))
    }
}
