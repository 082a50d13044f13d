//! Tux Paint's stamps crossing a frame, with their sounds.
//!
//! Each of the stamps that have a sound (an animal's call, an instrument) moves in one of four
//! directions. Its motion is heard: the sound is loudest when the stamp is in the middle of the
//! frame, and moves from one ear to the other as the stamp moves from side to side. A clip's class
//! is its stamp and its direction, and the sizes of the classes follow Zipf's law, like those of
//! activities in videos (ELo, arXiv 2002.12177). A clip is a pure function of the seed, the split
//! and the index.

mod scene;
mod stamp;

use std::path::Path;

use bauta_datasets::DataError;
use bauta_datasets::video::MovingStampsOptions;
use bauta_streams::{Purpose, StreamKey};

use self::scene::Scene;
use self::stamp::Stamp;
use super::Ffmpeg;
use super::sounding::{RATE, SILENT, SoundingClip, SoundingSource, SoundingSplit, loudness};
use crate::prefetch::Cancel;

/// Directions of flight, as parts of the names of classes.
const DIRECTIONS: [(&str, [f64; 2]); 4] =
    [("right", [1.0, 0.0]), ("down", [0.0, 1.0]), ("left", [-1.0, 0.0]), ("up", [0.0, -1.0])];

/// Clips of stamps that move and sound.
pub struct MovingStamps {
    stamps: Vec<Stamp>,
    options: MovingStampsOptions,
    classes: Vec<String>,
    /// The fraction of clips of each class.
    shares: Vec<f64>,
}

impl MovingStamps {
    /// Finds the stamps below `root` that are a PNG file next to a sound of the same name, and
    /// reads as many of them as are wanted, drawn by the seed.
    ///
    /// Those whose sound is silent or shorter than a tenth of a second are skipped.
    ///
    /// # Errors
    /// When there are too few, one cannot be decoded, or an option is out of its range.
    pub fn open(
        root: &Path,
        ffmpeg: &Ffmpeg,
        options: &MovingStampsOptions,
    ) -> Result<Self, DataError> {
        options.check()?;
        let MovingStampsOptions { stamps, exponent, seed, .. } = *options;
        let stamps = stamp::choose(root, ffmpeg, stamps, RATE, seed)?;
        let classes: Vec<String> = stamps
            .iter()
            .flat_map(|stamp| DIRECTIONS.map(|(way, _)| format!("{} {way}", stamp.name)))
            .collect();
        let law: Vec<f64> = (1..=classes.len()).map(|rank| (rank as f64).powf(-exponent)).collect();
        let total: f64 = law.iter().sum();
        // The frequency of a class is independent of its stamp and direction.
        let mut order: Vec<usize> = (0..classes.len()).collect();
        key(seed, "sizes of classes of stamps", 0).stream().shuffle(&mut order);
        let mut shares = vec![0.0; classes.len()];
        order.iter().zip(&law).for_each(|(&class, share)| shares[class] = share / total);
        Ok(Self { stamps, options: options.clone(), classes, shares })
    }

    /// The fraction of clips of each class; the fractions sum to 1.
    pub fn shares(&self) -> &[f64] {
        &self.shares
    }

    /// The settings of the clips.
    pub fn options(&self) -> &MovingStampsOptions {
        &self.options
    }

    /// Draws a clip, which is silent if it falls into a pause of its stamp's sound.
    fn draw(&self, split: SoundingSplit, index: u64) -> SoundingClip {
        let purpose = match split {
            SoundingSplit::Train => "moving stamps to train on",
            SoundingSplit::HeldOut => "moving stamps held out",
            SoundingSplit::Test => "moving stamps to test on",
        };
        let mut stream = key(self.options.seed, purpose, index).stream();
        let mut left = stream.uniform_in(0.0, 1.0);
        let class = self.shares.iter().position(|share| {
            left -= share;
            left < 0.0
        });
        let class = class.unwrap_or(self.classes.len() - 1);
        let (_, way) = DIRECTIONS[class % DIRECTIONS.len()];
        let stamp = &self.stamps[class / DIRECTIONS.len()];
        let scene = Scene::draw(way, &mut stream);
        let MovingStampsOptions { size, frames, .. } = self.options;
        SoundingClip {
            frames: scene.frames(stamp, size, frames),
            sound: scene.sound(stamp, RATE),
            class: class as u32,
        }
    }
}

impl SoundingSource for MovingStamps {
    /// Each class is a stamp and a direction.
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn frames(&self) -> usize {
        self.options.frames
    }

    fn size(&self) -> usize {
        self.options.size
    }

    /// The samples of one second.
    fn samples(&self) -> usize {
        RATE as usize
    }

    fn clip(
        &self,
        split: SoundingSplit,
        index: u64,
        _: &Cancel,
    ) -> Result<Option<SoundingClip>, DataError> {
        let clip = self.draw(split, index);
        let silent = clip.sound.iter().all(|ear| loudness(ear) < SILENT);
        Ok((!silent).then_some(clip))
    }
}

fn key(seed: u64, purpose: &str, sample: u64) -> StreamKey {
    StreamKey { seed, purpose: Purpose::named(purpose), epoch: 0, sample }
}

#[cfg(test)]
mod tests;
