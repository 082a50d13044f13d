//! Composed scenes: real digits pasted on real photos, with exact masks and boxes.
//!
//! The scenes are synthetic. Digits (MNIST's) in random colours and sizes stand on backgrounds
//! (CIFAR-10's, enlarged), so every pixel's class and every box is known exactly. Results on them
//! compare models of this project with each other, not with published numbers.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bauta_datasets::DataError;
use bauta_streams::{Purpose, RandomStream, StreamKey};

use super::{DenseSample, DenseSource, LabelMap, Object, ObjectMask};
use crate::augment::region::Region;
use crate::augment::resize::Resizer;
use crate::image::Image;
use crate::source::{Source, Statistics};

/// Minimum opacity of a digit's ink: half of the maximum.
const INK: u8 = 128;
/// Attempts to find a position where a digit hides no other.
const ATTEMPTS: usize = 20;
/// Maximum overlap of two digits' squares, as a fraction of the smaller one.
const OVERLAP: f64 = 0.2;

/// Settings of composed scenes.
#[derive(Clone, Debug, PartialEq)]
pub struct ComposedConfig {
    /// Seed of the run; another seed gives other scenes.
    pub seed: u64,
    /// Number of scenes.
    pub len: usize,
    /// Height and width in pixels.
    pub size: usize,
    /// Digits in a scene; fewer if no free place is found.
    pub objects: RangeInclusive<usize>,
    /// Side of a digit's square (its ink is smaller) in pixels, at most `size`.
    pub digit: RangeInclusive<usize>,
}

impl ComposedConfig {
    /// One to four digits, with sides of a quarter to half of the image's.
    pub fn new(seed: u64, len: usize, size: usize) -> Self {
        Self { seed, len, size, objects: 1..=4, digit: (size / 4).max(1)..=(size / 2).max(1) }
    }
}

/// Scenes composed of digits and backgrounds; scene i is a pure function of (seed, i).
///
/// Pixels have the class 0, `background`, or one more than their digit's; objects
/// have their digit's class. Boxes and areas are those of the visible ink.
pub struct ComposedDigits {
    digits: Arc<dyn Source>,
    backgrounds: Arc<dyn Source>,
    config: ComposedConfig,
    object_classes: Vec<String>,
    pixel_classes: Vec<String>,
}

impl ComposedDigits {
    /// Creates scenes from labelled grey `digits` and RGB `backgrounds`.
    ///
    /// # Errors
    /// When one of them is empty or has other channels, digits have no labels, or a range of the
    /// configuration is empty or larger than the image.
    pub fn new(
        digits: Arc<dyn Source>,
        backgrounds: Arc<dyn Source>,
        config: ComposedConfig,
    ) -> Result<Self, DataError> {
        let refuse = |key, value: String, rule: &str| {
            Err(DataError::Setting { key, value, rule: rule.to_owned() })
        };
        let fits = [("digits", &digits, 1), ("backgrounds", &backgrounds, 3)];
        for (key, source, channels) in fits {
            if source.is_empty() || source.channels() != channels {
                let value = format!("{} images, {} channels", source.len(), source.channels());
                let rule = format!("must be images with a channel count of {channels}");
                return refuse(key, value, &rule);
            }
        }
        let object_classes = digits.classes().to_vec();
        if object_classes.is_empty() || object_classes.len() > 254 {
            return refuse(
                "digits",
                object_classes.len().to_string(),
                "must have 1 to 254 classes",
            );
        }
        let ComposedConfig { len, size, objects, digit, .. } = &config;
        if *len == 0 || !(8..=4096).contains(size) {
            let rule = "must be at least one scene, with sides of 8 to 4096 pixels";
            return refuse("composed", format!("{len} × {size}²"), rule);
        }
        if objects.is_empty() || *objects.end() > 64 {
            return refuse("objects", format!("{objects:?}"), "must be a range up to 64");
        }
        if digit.is_empty() || *digit.start() == 0 || digit.end() > size {
            let rule = "must be a range between 1 and the image's side";
            return refuse("digit", format!("{digit:?}"), rule);
        }
        let background = std::iter::once("background".to_owned());
        let pixel_classes = background.chain(object_classes.iter().cloned()).collect();
        Ok(Self { digits, backgrounds, config, object_classes, pixel_classes })
    }
}

impl DenseSource for ComposedDigits {
    fn len(&self) -> usize {
        self.config.len
    }

    fn pixel_classes(&self) -> &[String] {
        &self.pixel_classes
    }

    fn object_classes(&self) -> &[String] {
        &self.object_classes
    }

    fn sample(&self, index: usize) -> Result<DenseSample, DataError> {
        assert!(index < self.config.len, "scene {index} of {}", self.config.len);
        let purpose = Purpose::named("composed-digits");
        let key = StreamKey { seed: self.config.seed, purpose, epoch: 0, sample: index as u64 };
        let stream = &mut key.stream();
        let mut resizer = Resizer::default();
        let size = self.config.size;

        let background = self.backgrounds.image(draw(stream, self.backgrounds.len()))?;
        let whole = Region::whole(background.height(), background.width());
        let mut pixels = resizer.resize(&background, whole, size, size).to_vec();

        // For each pixel: 0, or one more than the index of the digit on top.
        let mut owners = vec![0_usize; size * size];
        let mut classes = Vec::new();
        let mut taken: Vec<[usize; 3]> = Vec::new();
        for _ in 0..between(stream, &self.config.objects) {
            let digit = draw(stream, self.digits.len());
            let side = between(stream, &self.config.digit);
            let colour: [f64; 3] = std::array::from_fn(|_| stream.uniform_in(0.0, 255.0));
            // A free position, if one of the attempts finds any.
            let place = (0..ATTEMPTS)
                .map(|_| [draw(stream, size - side + 1), draw(stream, size - side + 1), side])
                .find(|place| taken.iter().all(|other| covered(place, other) <= OVERLAP));
            let Some(place) = place else { continue };
            taken.push(place);
            let image = self.digits.image(digit)?;
            let whole = Region::whole(image.height(), image.width());
            let ink = resizer.resize(&image, whole, side, side);
            classes.push(self.digits.label(digit).unwrap_or_default());
            paste(ink, place, colour, size, &mut pixels, &mut owners, classes.len());
        }

        let label = |owner: &usize| match owner {
            0 => 0,
            owner => 1 + classes[owner - 1] as u8,
        };
        let labels = owners.iter().map(label).collect();
        let visible = |(at, &class): (usize, &u32)| {
            let inside: Vec<bool> = owners.iter().map(|&owner| owner == at + 1).collect();
            let mask = ObjectMask::new(size, size, &inside);
            let bbox = mask.bounds()?;
            Some(Object { class, bbox, area: mask.area() as f64, crowd: false, mask: Some(mask) })
        };
        Ok(DenseSample {
            image: Image::new(size, size, 3, pixels),
            labels: Some(LabelMap { height: size, width: size, labels }),
            objects: classes.iter().enumerate().filter_map(visible).collect(),
        })
    }

    fn describe(&self, index: usize) -> String {
        format!("composed scene #{index} of seed {}", self.config.seed)
    }

    fn statistics(&self) -> Statistics {
        self.backgrounds.statistics()
    }
}

fn draw(stream: &mut RandomStream, bound: usize) -> usize {
    stream.below(bound as u64) as usize
}

fn between(stream: &mut RandomStream, range: &RangeInclusive<usize>) -> usize {
    range.start() + draw(stream, range.end() - range.start() + 1)
}

/// Overlap of two squares (top, left, side), as a fraction of the smaller one.
fn covered(a: &[usize; 3], b: &[usize; 3]) -> f64 {
    let common =
        |axis: usize| (a[axis] + a[2]).min(b[axis] + b[2]).saturating_sub(a[axis].max(b[axis]));
    (common(0) * common(1)) as f64 / (a[2].min(b[2]).pow(2)) as f64
}

/// Blends a digit's ink into the scene, and marks the digit as owner of the pixels that are mostly
/// ink.
fn paste(
    ink: &[u8],
    [top, left, side]: [usize; 3],
    colour: [f64; 3],
    size: usize,
    pixels: &mut [u8],
    owners: &mut [usize],
    owner: usize,
) {
    for (y, row) in ink.chunks_exact(side).enumerate() {
        let start = (top + y) * size + left;
        for (at, &opacity) in (start..start + side).zip(row) {
            let alpha = f64::from(opacity) / 255.0;
            for (pixel, colour) in pixels[3 * at..3 * at + 3].iter_mut().zip(colour) {
                *pixel = (f64::from(*pixel) * (1.0 - alpha) + colour * alpha).round() as u8;
            }
            if opacity >= INK {
                owners[at] = owner;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::InMemory;

    /// Ten classes of digits, each a solid square of ink in the middle of its image.
    fn digits() -> Arc<dyn Source> {
        let square =
            |i: usize| if (2..6).contains(&(i / 8)) && (2..6).contains(&(i % 8)) { 255 } else { 0 };
        let pixels = (0..10 * 64).map(|i| square(i % 64)).collect();
        let classes = (0..10).map(|digit| digit.to_string()).collect();
        let labels = (0..10).collect();
        let statistics = Statistics::MNIST;
        Arc::new(InMemory::new("d", [8, 8, 1], pixels, labels, classes, statistics).unwrap())
    }

    fn backgrounds() -> Arc<dyn Source> {
        let pixels = (0..4 * 48).map(|i| (i % 50) as u8).collect();
        let statistics = Statistics::CIFAR10;
        let classes = vec!["x".to_owned()];
        Arc::new(InMemory::new("b", [4, 4, 3], pixels, vec![0; 4], classes, statistics).unwrap())
    }

    fn compose(config: ComposedConfig) -> Result<ComposedDigits, DataError> {
        ComposedDigits::new(digits(), backgrounds(), config)
    }

    #[test]
    fn a_scene_is_a_function_of_seed_and_index() {
        let [one, other] = [3, 4].map(|seed| compose(ComposedConfig::new(seed, 50, 32)).unwrap());
        let same = compose(ComposedConfig::new(3, 9, 32)).unwrap();
        let (a, b) = (one.sample(7).unwrap(), same.sample(7).unwrap());
        assert_eq!((a.image, a.objects, a.labels), (b.image, b.objects, b.labels));
        assert_ne!(one.sample(7).unwrap().image, one.sample(8).unwrap().image);
        assert_ne!(one.sample(7).unwrap().image, other.sample(7).unwrap().image);
    }

    #[test]
    fn masks_boxes_and_labels_agree() {
        let source = compose(ComposedConfig::new(0, 80, 48)).unwrap();
        let mut counts = [0; 5];
        for index in 0..source.len() {
            let sample = source.sample(index).unwrap();
            let labels = sample.labels.unwrap().labels;
            let mut painted = vec![0_u8; 48 * 48];
            for object in &sample.objects {
                let mask = object.mask.as_ref().unwrap();
                assert_eq!(mask.bounds(), Some(object.bbox));
                assert_eq!(mask.area() as f64, object.area);
                for (label, _) in
                    painted.iter_mut().zip(&mask.pixels()).filter(|(_, inside)| **inside)
                {
                    assert_eq!(*label, 0, "no pixel belongs to two");
                    *label = 1 + object.class as u8;
                }
            }
            assert_eq!(painted, labels, "scene {index}");
            counts[sample.objects.len()] += 1;
        }
        assert!(counts[0] == 0 && counts[1..].iter().all(|&count| count > 0), "{counts:?}");
    }

    #[test]
    fn ink_has_one_colour_and_the_rest_is_background() {
        let config =
            ComposedConfig { objects: 1..=1, digit: 16..=16, ..ComposedConfig::new(1, 1, 32) };
        let sample = compose(config).unwrap().sample(0).unwrap();
        let [object] = &sample.objects[..] else { panic!("{:?}", sample.objects) };
        assert_eq!(object.bbox[2..], [8.0, 8.0]);
        let [x, y] = [object.bbox[0] as usize, object.bbox[1] as usize];
        let at = |x: usize, y: usize| sample.image.pixels()[3 * (y * 32 + x)..][..3].to_vec();
        assert_eq!(at(x + 2, y + 2), at(x + 5, y + 4));
        assert!((0..32 * 32).filter(|at| sample.image.pixels()[3 * at] > 60).count() <= 14 * 14);
    }

    #[test]
    fn impossible_scenes_are_refused() {
        let good = || ComposedConfig::new(0, 1, 32);
        #[expect(clippy::reversed_empty_ranges, reason = "what is to be refused")]
        for config in [
            ComposedConfig { len: 0, ..good() },
            ComposedConfig { size: 4, ..good() },
            ComposedConfig { objects: 3..=1, ..good() },
            ComposedConfig { objects: 0..=100, ..good() },
            ComposedConfig { digit: 0..=3, ..good() },
            ComposedConfig { digit: 10..=33, ..good() },
        ] {
            assert!(compose(config.clone()).is_err(), "{config:?}");
        }
        assert!(ComposedDigits::new(backgrounds(), digits(), good()).is_err());
    }
}
