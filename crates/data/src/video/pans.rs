//! A camera that moves over real pictures, drawn when it is read.
//!
//! A video shows a part of one picture: the camera pans in one of eight directions, zooms, or
//! turns. Its motion is the label, which no single frame reveals.

use std::sync::{Arc, OnceLock};

use bauta_datasets::video::PanOptions;
use bauta_datasets::{DataError, Split};
use bauta_streams::{Purpose, StreamKey};

use super::augment::shrunk;
use super::stills::Stills;
use super::{ClipSource, LabelSet, Timeline};
use crate::augment::region::Region;
use crate::augment::resize::Resizer;
use crate::image::Image;
use crate::prefetch::Cancel;
use crate::source::{Source, Statistics};

/// Frames per second; by default, the rate to which a sampling's stride refers.
const RATE: f64 = 30.0;

/// Side of the area that the camera moves over, in sides of a frame.
const TABLE: usize = 2;

/// The camera's motions, as the names of their classes: eight pans, each 45 degrees on from
/// the one before, clockwise on the screen, then zooms and turns.
const MOTIONS: [&str; 12] = [
    "right",
    "right-down",
    "down",
    "left-down",
    "left",
    "left-up",
    "up",
    "right-up",
    "zoom-in",
    "zoom-out",
    "turn-clockwise",
    "turn-anticlockwise",
];

/// The pictures of a source with at most this many are kept in memory, shrunk.
const KEPT: usize = 64;

/// Videos of a camera that moves over the pictures of a source.
///
/// The label sets are `motion`, and `class` if the pictures have classes.
pub struct CameraPans {
    pictures: Arc<dyn Source>,
    /// The pictures that have been read, if there are few.
    kept: Vec<OnceLock<Image<'static>>>,
    split: Split,
    options: PanOptions,
    sets: Vec<LabelSet>,
    statistics: Statistics,
}

impl CameraPans {
    /// Moves over the pictures of a source. Videos of the two splits differ, even with the same
    /// pictures.
    ///
    /// The statistics are measured on some of the videos.
    ///
    /// # Errors
    /// [`DataError::Setting`] when a setting is out of its range or there are no pictures;
    /// the first picture's error when none can be decoded.
    pub fn new(
        pictures: Arc<dyn Source>,
        split: Split,
        options: &PanOptions,
    ) -> Result<Self, DataError> {
        options.check()?;
        if pictures.is_empty() {
            return Err(DataError::setting("pictures", 0, "must be at least 1"));
        }
        let mut sets = vec![LabelSet::new("motion", MOTIONS)];
        if !pictures.classes().is_empty() {
            sets.push(LabelSet::new("class", pictures.classes().iter().cloned()));
        }
        let few = if pictures.len() <= KEPT { pictures.len() } else { 0 };
        let kept = (0..few).map(|_| OnceLock::new()).collect();
        let (options, statistics) = (options.clone(), pictures.statistics());
        let source = Self { pictures, kept, split, options, sets, statistics };
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
            Split::Train => Purpose::named("camera motions to train on"),
            Split::Test => Purpose::named("camera motions to evaluate on"),
        };
        let key = StreamKey { seed: self.options.seed, purpose, epoch: 0, sample: index as u64 };
        let stream = &mut key.stream();
        Scene {
            picture: stream.below(self.pictures.len() as u64) as usize,
            motion: stream.below(MOTIONS.len() as u64) as usize,
            side: stream.uniform_in(0.5, 1.0),
            place: [(); 2].map(|()| stream.uniform_in(0.0, 1.0)),
            strength: stream.uniform_in(0.5, 1.0),
            start: stream.uniform_in(0.0, 1.0),
        }
    }

    /// Cuts a square out of a picture and resizes it to the area that the camera moves over.
    fn table(&self, scene: &Scene) -> Result<Image<'static>, DataError> {
        let side = TABLE * self.options.size;
        let cut = |picture: &Image<'_>| {
            let (height, width) = (picture.height(), picture.width());
            let length = ((height.min(width) as f64 * scene.side).round() as usize).max(1);
            let at = |whole: usize, part: f64| ((whole - length) as f64 * part) as usize;
            let [top, left] = [at(height, scene.place[0]), at(width, scene.place[1])];
            let region = Region { top, left, height: length, width: length };
            let mut resizer = Resizer::default();
            let pixels = resizer.resize(picture, region, side, side).to_vec();
            Image::new(side, side, picture.channels(), pixels)
        };
        let Some(place) = self.kept.get(scene.picture) else {
            return Ok(cut(&self.pictures.image(scene.picture)?));
        };
        if let Some(picture) = place.get() {
            return Ok(cut(picture));
        }
        // Twice the resolution that the smallest square needs.
        let picture = shrunk(self.pictures.image(scene.picture)?, 4 * side);
        let (height, width, channels) = (picture.height(), picture.width(), picture.channels());
        let picture = Image::new(height, width, channels, picture.pixels().to_vec());
        Ok(cut(place.get_or_init(|| picture)))
    }

    /// The camera's view of the table at one moment.
    fn render(&self, table: &Image<'_>, scene: &Scene, frame: u64) -> Image<'static> {
        let (size, channels) = (self.options.size, table.channels());
        let progress = frame as f64 / (self.options.frames - 1) as f64;
        let View { centre, scale, angle } = scene.view(progress);
        let [sine, cosine] = [angle.sin(), angle.cos()].map(|part| (part * scale) as f32);
        let middle = (size as f32 - 1.0) / 2.0;
        let side = table.height();
        let last = (side - 1) as f32;
        let [left, top] = centre.map(|part| (part * size as f64 + side as f64 / 2.0 - 0.5) as f32);
        let mut pixels = Vec::with_capacity(size * size * channels);
        for row in 0..size {
            let y = row as f32 - middle;
            for column in 0..size {
                let x = column as f32 - middle;
                let x_at = (left + cosine * x - sine * y).clamp(0.0, last);
                let y_at = (top + sine * x + cosine * y).clamp(0.0, last);
                let (column, row) = (x_at as usize, y_at as usize);
                let (along, down) = (x_at - column as f32, y_at - row as f32);
                // Neighbours beyond the border have no weight.
                let right = usize::from(column + 1 < side) * channels;
                let below = usize::from(row + 1 < side) * side * channels;
                let here = (row * side + column) * channels;
                let corners = [here, here + right, here + below, here + right + below]
                    .map(|at| &table.pixels()[at..at + channels]);
                let weights = [
                    (1.0 - along) * (1.0 - down),
                    along * (1.0 - down),
                    (1.0 - along) * down,
                    along * down,
                ];
                pixels.extend((0..channels).map(|channel| {
                    let parts = corners.iter().zip(weights);
                    let sum: f32 = parts.map(|(of, weight)| f32::from(of[channel]) * weight).sum();
                    (sum + 0.5) as u8
                }));
            }
        }
        Image::new(size, size, channels, pixels)
    }
}

/// The contents of a video.
struct Scene {
    picture: usize,
    motion: usize,
    /// Side of the square that is cut out, as a fraction of the picture's shorter side.
    side: f64,
    /// Its position, as fractions of the remaining height and width.
    place: [f64; 2],
    /// Extent of the motion, as a fraction of its maximum.
    strength: f64,
    /// Start of the motion, as a fraction of the room that it leaves.
    start: f64,
}

/// Position of the camera: its centre relative to the table's, in sides of a frame, x and y; the
/// side of the table that a pixel covers; and its rotation, in radians.
struct View {
    centre: [f64; 2],
    scale: f64,
    angle: f64,
}

impl Scene {
    /// The camera at a moment from 0 to 1.
    fn view(&self, progress: f64) -> View {
        let still = View { centre: [0.0; 2], scale: 1.0, angle: 0.0 };
        match self.motion {
            pan @ 0..8 => {
                let angle = pan as f64 * std::f64::consts::FRAC_PI_4;
                // The centre can move by one side of a frame along each axis.
                let way = (progress - 0.5) * self.strength;
                let aside = (self.start - 0.5) * (1.0 - self.strength);
                let along = way + aside;
                // A diagonal motion is as long along each axis as a straight one.
                let part = |part: f64| if part.abs() < 1e-9 { 0.0 } else { part.signum() };
                let [x, y] = [part(angle.cos()), part(angle.sin())];
                View { centre: [x * along, y * along], ..still }
            }
            zoom @ 8..10 => {
                let most = 1.0 + 0.8 * self.strength;
                let closer = if zoom == 8 { progress } else { 1.0 - progress };
                View { scale: most.powf(1.0 - closer), ..still }
            }
            turn => {
                // A turn of the camera appears as the opposite turn of the picture.
                let sense = if turn == 10 { -1.0 } else { 1.0 };
                let most = std::f64::consts::FRAC_PI_2 * self.strength;
                let first = self.start * std::f64::consts::TAU;
                View { angle: first + sense * most * progress, ..still }
            }
        }
    }
}

impl ClipSource for CameraPans {
    fn len(&self) -> usize {
        match self.split {
            Split::Train => self.options.videos,
            Split::Test => self.options.test_videos,
        }
    }

    fn channels(&self) -> usize {
        self.pictures.channels()
    }

    fn label_sets(&self) -> &[LabelSet] {
        &self.sets
    }

    fn label(&self, index: usize, set: usize) -> u32 {
        let scene = self.scene(index);
        match set {
            0 => scene.motion as u32,
            _ => self.pictures.label(scene.picture).expect("the pictures have classes"),
        }
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
        let scene = self.scene(index);
        let table = self.table(&scene)?;
        Ok(wanted.iter().map(|&frame| self.render(&table, &scene, frame)).collect())
    }

    fn describe(&self, index: usize) -> String {
        let picture = self.pictures.describe(self.scene(index).picture);
        format!("camera-pans {} #{index} over {picture}", self.split)
    }

    fn statistics(&self) -> Statistics {
        self.statistics.clone()
    }
}

#[cfg(test)]
mod tests;
