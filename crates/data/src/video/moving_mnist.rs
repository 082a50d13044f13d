//! Moving MNIST: digits that fly over a black frame, drawn when they are read.
//!
//! The idea is that of Srivastava et al. (arXiv 1502.04681, section 4.1): digits of 28 × 28 pixels
//! move in frames of 64 × 64 with constant velocity and bounce off the walls; where they overlap,
//! the brighter sample is shown. Here a video is a pure function of (seed, split, index), and its
//! contents are known: the digits, and the direction and speed of each.

use std::path::Path;
use std::sync::Arc;

use bauta_datasets::video::{MovingMnistOptions, Walls};
use bauta_datasets::{DataError, Split};
use bauta_streams::{Purpose, RandomStream, StreamKey};

use super::stills::Stills;
use super::{ClipSource, LabelSet, Timeline};
use crate::augment::region::Region;
use crate::augment::resize::Resizer;
use crate::image::Image;
use crate::prefetch::Cancel;
use crate::source::{Source, Statistics, mnist};

/// Frames per second; by default, the rate to which a sampling's stride refers.
const RATE: f64 = 30.0;

/// Directions of flight, as the names of their classes: 45 degrees apart, clockwise on the
/// screen.
const DIRECTIONS: [&str; 8] =
    ["right", "right-down", "down", "left-down", "left", "left-up", "up", "right-up"];

/// Videos of moving digits, or of the images of any other grey source.
///
/// With one digit the label sets are `digit`, `direction` and `speed`. With two they are
/// `digits` (the pair, the lower class first), `direction` (of the lower one),
/// `direction2` (of the other) and `speed` (of both).
pub struct MovingMnist {
    digits: Arc<dyn Source>,
    split: Split,
    options: MovingMnistOptions,
    sets: Vec<LabelSet>,
    statistics: Statistics,
}

impl MovingMnist {
    /// Opens the digits of MNIST in `root`, from its training split or its test split.
    ///
    /// # Errors
    /// When the folder does not hold MNIST, and as [`Self::new`].
    pub fn open(
        split: Split,
        root: &Path,
        options: &MovingMnistOptions,
    ) -> Result<Self, DataError> {
        Self::new(Arc::new(mnist::open(split, root)?), split, options)
    }

    /// Moves the images of a source. Videos of the two splits differ, even with the same images.
    ///
    /// The statistics are measured on some of the videos.
    ///
    /// # Errors
    /// [`DataError::Setting`] when a setting is out of its range, or when the images are not
    /// grey or have no labels.
    pub fn new(
        digits: Arc<dyn Source>,
        split: Split,
        options: &MovingMnistOptions,
    ) -> Result<Self, DataError> {
        options.check()?;
        if digits.is_empty() || digits.classes().is_empty() || digits.channels() != 1 {
            let found = format!(
                "{} images of {} channels in {} classes",
                digits.len(),
                digits.channels(),
                digits.classes().len()
            );
            return Err(DataError::setting("digits", found, "must be labelled grey images"));
        }
        let classes = digits.classes();
        let speeds = options.speeds.iter().map(|speed| format!("{speed} pixels per frame"));
        let mut sets = Vec::new();
        if options.digits == 1 {
            sets.push(LabelSet::new("digit", classes.iter().cloned()));
            sets.push(LabelSet::new("direction", DIRECTIONS));
        } else {
            let pairs = (0..classes.len()).flat_map(|low| {
                classes[low..].iter().map(move |high| format!("{} {high}", classes[low]))
            });
            sets.push(LabelSet::new("digits", pairs));
            sets.push(LabelSet::new("direction", DIRECTIONS));
            sets.push(LabelSet::new("direction2", DIRECTIONS));
        }
        sets.push(LabelSet::new("speed", speeds));
        let statistics = Statistics::MNIST;
        let source = Self { digits, split, options: options.clone(), sets, statistics };
        let statistics = Statistics::measure(&Stills(&source), 256)?;
        Ok(Self { statistics, ..source })
    }

    /// Uses these statistics for normalisation: those of the training videos.
    pub fn with_statistics(self, statistics: Statistics) -> Self {
        Self { statistics, ..self }
    }

    fn scene(&self, index: usize) -> Scene {
        assert!(index < self.len(), "video {index} of {}", self.len());
        let purpose = match self.split {
            Split::Train => Purpose::named("moving digits to train on"),
            Split::Test => Purpose::named("moving digits to evaluate on"),
        };
        let key = StreamKey { seed: self.options.seed, purpose, epoch: 0, sample: index as u64 };
        Scene::draw(&*self.digits, &self.options, &mut key.stream())
    }

    /// Draws a scene at one moment.
    fn render(&self, flyers: &[(Flyer, Vec<u8>)], frame: u64, speed: f64) -> Vec<u8> {
        let (size, side) = (self.options.size, self.options.digit_side());
        let mut pixels = vec![0_u8; size * size];
        for (flyer, digit) in flyers {
            let [x, y] = flyer.place(frame, speed, &self.options);
            // The part beyond the border appears on the other side.
            let inside = side.min(size - x);
            for (row, samples) in digit.chunks_exact(side).enumerate() {
                let line = &mut pixels[(y + row) % size * size..][..size];
                let (here, beyond) = samples.split_at(inside);
                for (place, part) in [(x, here), (0, beyond)] {
                    let under = line[place..].iter_mut().zip(part);
                    under.for_each(|(pixel, &sample)| *pixel = (*pixel).max(sample));
                }
            }
        }
        pixels
    }
}

/// The contents of a video.
struct Scene {
    /// The digits, the lower class first.
    flyers: Vec<Flyer>,
    /// The class of the speed.
    speed: usize,
}

impl Scene {
    fn draw(digits: &dyn Source, options: &MovingMnistOptions, stream: &mut RandomStream) -> Self {
        let speed = stream.below(options.speeds.len() as u64) as usize;
        let room = match options.walls {
            Walls::Bounce => options.size - options.digit_side(),
            Walls::Wrap => options.size,
        };
        let mut flyers: Vec<Flyer> = (0..options.digits)
            .map(|_| {
                let image = stream.below(digits.len() as u64) as usize;
                let direction = stream.below(DIRECTIONS.len() as u64) as usize;
                let start = [(); 2].map(|()| stream.uniform_in(0.0, room as f64));
                let class = digits.label(image).unwrap_or_default();
                Flyer { image, class, direction, start }
            })
            .collect();
        // Two of the same class stay in the order of drawing.
        flyers.sort_by_key(|flyer| flyer.class);
        Self { flyers, speed }
    }
}

/// A digit and its path.
struct Flyer {
    image: usize,
    class: u32,
    direction: usize,
    /// Its upper left corner in the first frame, x and y.
    start: [f64; 2],
}

impl Flyer {
    /// Its upper left corner in a frame, x and y, in whole pixels.
    fn place(&self, frame: u64, speed: f64, options: &MovingMnistOptions) -> [usize; 2] {
        let angle = self.direction as f64 * std::f64::consts::FRAC_PI_4;
        let way = [angle.cos(), angle.sin()].map(|part| part * speed * frame as f64);
        let (size, side) = (options.size as f64, options.digit_side());
        [0, 1].map(|axis| {
            let free = self.start[axis] + way[axis];
            match options.walls {
                Walls::Bounce => bounced(free, size - side as f64).round() as usize,
                Walls::Wrap => free.rem_euclid(size).round() as usize % options.size,
            }
        })
    }
}

/// Folds a position on a line into 0 to `room`, like a ball between two walls.
fn bounced(place: f64, room: f64) -> f64 {
    if room <= 0.0 {
        return 0.0;
    }
    let folded = place.rem_euclid(2.0 * room);
    folded.min(2.0 * room - folded)
}

impl ClipSource for MovingMnist {
    fn len(&self) -> usize {
        match self.split {
            Split::Train => self.options.videos,
            Split::Test => self.options.test_videos,
        }
    }

    fn channels(&self) -> usize {
        1
    }

    fn label_sets(&self) -> &[LabelSet] {
        &self.sets
    }

    fn label(&self, index: usize, set: usize) -> u32 {
        let Scene { flyers, speed } = self.scene(index);
        let label = match (&*self.sets[set].name, &flyers[..]) {
            ("digit", [one]) => one.class as usize,
            ("digits", [low, high]) => {
                // Pairs are numbered row by row: those that start with a lower class come first.
                let (low, high) = (low.class as usize, high.class as usize);
                let classes = self.digits.classes().len();
                (0..low).map(|lower| classes - lower).sum::<usize>() + high - low
            }
            ("direction", [first, ..]) => first.direction,
            ("direction2", [_, second]) => second.direction,
            _ => speed,
        };
        label as u32
    }

    fn timeline(&self, _: usize) -> Result<Timeline, DataError> {
        Ok(Timeline { frames: self.options.frames, rate: RATE })
    }

    fn frames(
        &self,
        index: usize,
        wanted: &[u64],
        _: &Cancel,
    ) -> Result<Vec<Image<'_>>, DataError> {
        let Scene { flyers, speed } = self.scene(index);
        let (size, side) = (self.options.size, self.options.digit_side());
        let mut resizer = Resizer::default();
        let mut drawn = Vec::with_capacity(flyers.len());
        for flyer in flyers {
            let digit = self.digits.image(flyer.image)?;
            let whole = Region::whole(digit.height(), digit.width());
            let digit = if whole == Region::whole(side, side) {
                digit.pixels().to_vec()
            } else {
                resizer.resize(&digit, whole, side, side).to_vec()
            };
            drawn.push((flyer, digit));
        }
        let speed = self.options.speeds[speed];
        let frame = |&frame: &u64| Image::new(size, size, 1, self.render(&drawn, frame, speed));
        Ok(wanted.iter().map(frame).collect())
    }

    fn describe(&self, index: usize) -> String {
        format!("moving-mnist {} #{index}", self.split)
    }

    fn statistics(&self) -> Statistics {
        self.statistics.clone()
    }
}

#[cfg(test)]
mod tests;
