//! From an image of any size to the planes that a model sees.
//!
//! An augmentation crops, resizes with Pillow's antialiased bicubic, flips, changes
//! colours, applies RandAugment and erases, in that order, driven by one random stream.
//! The defaults are the pre-training of MAE (arXiv 2111.06377, A.1): a random
//! resized crop of 20 to 100 % of the area and a horizontal flip, nothing else.

mod blur;
mod colours;
mod erasing;
mod framing;
mod operations;
mod rand_augment;
pub(crate) mod region;
pub(crate) mod resize;
mod warp;

use bauta_streams::RandomStream;
use serde::{Deserialize, Serialize};

pub use self::colours::Colours;
use self::erasing::erase;
pub use self::framing::{Filter, Framing, Resize};
use self::operations::Planes;
use self::rand_augment::rand_augment;
use self::region::Region;
use self::resize::Resizer;
use crate::error::DataError;
use crate::image::Image;
use crate::sample::{Sample, SampleType};
use crate::source::Statistics;

/// A centre crop resizes an image of which one side is more than so many times
/// the other only in its middle, so that no hostile ratio asks for gigabytes.
const LONGEST: usize = 8;

/// How an image is brought to the model's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crop {
    /// A rectangle of random area, ratio and place; drawn again, up to ten
    /// times, while it does not fit (torchvision's `RandomResizedCrop`).
    #[default]
    RandomResized,
    /// The same drawn once, its sides cut to the image's (MAE's linear probe).
    RandomResizedClamped,
    /// A random shift by at most `shift` pixels, the border reflected. An image
    /// of another size is resized first, without regard to its ratio.
    Shift,
    /// The middle 7/8 of the shorter side (224 of 256), for evaluation; an image
    /// that already has the size is taken whole.
    Center,
    /// The whole image, resized without regard to its ratio.
    None,
}

/// How images are varied: a recipe's `data.augment`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// The kind of crop.
    pub crop: Crop,
    /// Least and greatest fraction of the image's area in a random resized crop.
    pub scale: [f64; 2],
    /// Least and greatest width over height of a random resized crop.
    pub ratio: [f64; 2],
    /// Greatest shift in pixels, of `crop = "shift"`.
    pub shift: usize,
    /// Whether to mirror every second image, at random, left to right.
    pub flip: bool,
    /// Changes of colour and sharpness, as views of contrastive learning have; none if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colours: Option<Colours>,
    /// Magnitude M of RandAugment, timm's `rand-mM-mstd0.5-inc1`, in 0 to 10; 0 leaves it out.
    pub randaugment: f64,
    /// Probability of erasing a rectangle, each pixel by noise of its own.
    pub erasing: f64,
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            crop: Crop::RandomResized,
            scale: [0.2, 1.0],
            ratio: [0.75, 1.333_333_333_333_333_3],
            shift: 4,
            flip: true,
            colours: None,
            randaugment: 0.0,
            erasing: 0.0,
        }
    }
}

impl Augment {
    /// The centre crop without chance, for evaluation.
    pub fn evaluation() -> Self {
        Self { crop: Crop::Center, flip: false, ..Self::default() }
    }

    /// Refuses what changes the colours of bytes, of images that hold other samples; crops,
    /// resizing and mirroring suit all.
    ///
    /// # Errors
    /// [`DataError::Setting`], which names the setting.
    pub fn suits(&self, samples: SampleType) -> Result<(), DataError> {
        if samples == SampleType::Uint8 {
            return Ok(());
        }
        if self.colours.is_some() {
            let rule =
                format!("they are of bytes, and these images hold {samples}; leave them out");
            return Err(DataError::setting("colours", "{ … }", rule));
        }
        for (key, value) in [("randaugment", self.randaugment), ("erasing", self.erasing)] {
            if value > 0.0 {
                let rule = format!("works on bytes, and these images hold {samples}; set it to 0");
                return Err(DataError::setting(key, value, rule));
            }
        }
        Ok(())
    }

    /// Makes the augmentation for images of `channels` and outputs of `height × width`.
    ///
    /// # Errors
    /// When a setting is out of its range; the message names it.
    pub fn build(
        &self,
        channels: usize,
        height: usize,
        width: usize,
    ) -> Result<Augmenter, DataError> {
        let check = |holds: bool, key, value: String, rule: &str| {
            holds.then_some(()).ok_or(DataError::Setting { key, value, rule: rule.to_owned() })
        };
        let ([least, most], [narrow, wide]) = (self.scale, self.ratio);
        check(
            0.0 < least && least <= most && most <= 1.0,
            "scale",
            format!("{:?}", self.scale),
            "wants [least, greatest] fraction of the area, in (0, 1]",
        )?;
        check(
            0.0 < narrow && narrow <= wide && wide.is_finite(),
            "ratio",
            format!("{:?}", self.ratio),
            "wants [least, greatest] width over height, above 0",
        )?;
        for (key, side) in [("height", height), ("width", width)] {
            let holds = (1..=usize::from(u16::MAX)).contains(&side);
            check(holds, key, side.to_string(), "wants 1 to 65535 pixels")?;
        }
        check(
            self.crop != Crop::Shift || self.shift < height.min(width),
            "shift",
            self.shift.to_string(),
            "must be less than the image's sides",
        )?;
        check(
            (0.0..=10.0).contains(&self.randaugment),
            "randaugment",
            self.randaugment.to_string(),
            "wants a magnitude of 0 to 10",
        )?;
        check(
            (0.0..=1.0).contains(&self.erasing),
            "erasing",
            self.erasing.to_string(),
            "wants a probability",
        )?;
        check(channels > 0, "channels", channels.to_string(), "must be at least 1")?;
        check(
            self.randaugment == 0.0 || [1, 3].contains(&channels),
            "randaugment",
            self.randaugment.to_string(),
            &format!("changes colours, and these images have {channels} channels; set it to 0"),
        )?;
        self.colours.as_ref().map_or(Ok(()), |colours| colours.check(channels))?;
        let statistics = match channels {
            1 => Statistics::MNIST,
            3 => Statistics::IMAGENET,
            _ => Statistics::neutral(channels),
        };
        Ok(Augmenter { augment: self.clone(), framing: None, channels, height, width, statistics })
    }
}

/// An [`Augment`] whose settings have been checked, for one size of output.
#[derive(Clone, Debug)]
pub struct Augmenter {
    augment: Augment,
    /// How images are brought to the output's size, in the crop's place.
    framing: Option<Framing>,
    channels: usize,
    height: usize,
    width: usize,
    statistics: Statistics,
}

impl Augmenter {
    /// Fills with the mean and the noise of these data what is moved in from outside or
    /// erased.
    ///
    /// # Panics
    /// When they are of other channels.
    pub fn for_data(self, statistics: Statistics) -> Self {
        assert_eq!(statistics.mean.len(), self.channels, "statistics of other channels");
        Self { statistics, ..self }
    }

    /// Brings images to the output's size this way, without chance, in the crop's place.
    pub fn framed(self, framing: Framing) -> Self {
        Self { framing: Some(framing), ..self }
    }

    /// Refuses an image of which the framing does not make the output's size.
    ///
    /// # Errors
    /// What is wrong, with all sizes.
    pub fn check<S: Sample>(&self, image: &Image<'_, S>) -> Result<(), String> {
        let Some(framing) = self.framing else { return Ok(()) };
        let [height, width] = framing.place(Region::whole(image.height(), image.width())).1;
        let fits = match framing.crop {
            true => height >= self.height && width >= self.width,
            false => [height, width] == [self.height, self.width],
        };
        if fits {
            return Ok(());
        }
        let (own_height, own_width) = (image.height(), image.width());
        let remedy = match framing.crop {
            true => "that is too small to cut them out of its middle",
            false => "nothing is to be cut out of it",
        };
        Err(format!(
            "the image has {own_height} × {own_width} pixels and is resized to {height} × {width}, \
             but {} × {} are wanted, and {remedy}",
            self.height, self.width
        ))
    }

    /// Augments an image of any size into `out`, \[channels, height, width\].
    ///
    /// # Panics
    /// When the image has other channels or `out` another length, or [`Self::check`] refuses it.
    pub fn apply<S: Sample>(&self, image: &Image<'_, S>, stream: &mut RandomStream, out: &mut [S]) {
        let Self { channels, height, width, .. } = *self;
        assert_eq!(image.channels(), channels, "the source's images differ in channels");
        assert_eq!(out.len(), channels * height * width, "an output of the wrong length");
        S::with_scratch(|Scratch { resizer, rows, columns, plane }| {
            let resized = self.resize(image, stream, resizer);
            let [down, right] = self.shift(stream);
            fill(rows, height, |y| reflect(y as isize + down, height));
            fill(columns, width, |x| reflect(x as isize + right, width));
            if self.augment.flip && stream.uniform() < 0.5 {
                columns.reverse();
            }
            // Every pixel is read once and all its samples are written.
            let mut planes = out.chunks_exact_mut(height * width);
            match [planes.next(), planes.next(), planes.next(), planes.next()] {
                [Some(red), Some(green), Some(blue), None] => {
                    let (pixels, _) = resized.as_chunks::<3>();
                    let planes = red.chunks_exact_mut(width).zip(green.chunks_exact_mut(width));
                    let planes = planes.zip(blue.chunks_exact_mut(width));
                    for (((red, green), blue), &y) in planes.zip(rows.iter()) {
                        let pixels = &pixels[y * width..][..width];
                        let samples = red.iter_mut().zip(green).zip(blue);
                        for (((red, green), blue), &x) in samples.zip(columns.iter()) {
                            [*red, *green, *blue] = pixels[x];
                        }
                    }
                }
                _ => {
                    for (channel, plane) in out.chunks_exact_mut(height * width).enumerate() {
                        for (row, &y) in plane.chunks_exact_mut(width).zip(rows.iter()) {
                            let pixels = &resized[y * width * channels..][..width * channels];
                            for (sample, &x) in row.iter_mut().zip(columns.iter()) {
                                *sample = pixels[x * channels + channel];
                            }
                        }
                    }
                }
            }
            if let Some(pixels) = S::colours(out) {
                self.alter(&mut Planes { pixels, channels, height, width }, stream, plane);
            }
        });
    }

    /// Changes colours and moves pixels of the cropped image, where that is asked for.
    fn alter(&self, image: &mut Planes<'_>, stream: &mut RandomStream, scratch: &mut Vec<u8>) {
        let Self { augment: Augment { colours, randaugment, erasing, .. }, statistics, .. } = self;
        if let Some(colours) = colours {
            colours.apply(image, stream, scratch);
        }
        if *randaugment > 0.0 {
            let mut fill = [0; 3];
            for (fill, mean) in fill.iter_mut().zip(&*statistics.mean) {
                *fill = (255.0 * mean).round() as u8;
            }
            rand_augment(image, *randaugment, &fill, stream, scratch);
        }
        if *erasing > 0.0 {
            erase(image, *erasing, statistics, stream);
        }
    }

    /// Brings the crop's part of the image to the size of the output.
    fn resize<'a, S: Sample>(
        &self,
        image: &Image<'_, S>,
        stream: &mut RandomStream,
        resizer: &'a mut Resizer<S>,
    ) -> &'a [S] {
        let Self { augment: Augment { crop, scale, ratio, .. }, height, width, .. } = *self;
        let whole = Region::whole(image.height(), image.width());
        resizer.set_filter(self.framing.map_or(Filter::Bicubic, |framing| framing.filter));
        if let Some(framing) = self.framing {
            let (part, full) = framing.place(whole);
            // Hugging Face's and Pillow's users cut at half the difference, rounded down.
            let corner = [(full[0] - height) / 2, (full[1] - width) / 2];
            return resizer.resize_window(image, part, full, corner, [height, width]);
        }
        let region = match crop {
            Crop::RandomResized => Region::random(whole, scale, ratio, stream),
            Crop::RandomResizedClamped => Region::random_clamped(whole, scale, ratio, stream),
            Crop::Center if whole != Region::whole(height, width) => {
                let part = whole.no_longer_than(LONGEST);
                return resizer.resize_middle(image, part, self.covering(part), height, width);
            }
            Crop::Shift | Crop::Center | Crop::None => whole,
        };
        resizer.resize(image, region, height, width)
    }

    /// The size whose middle the centre crop takes: it keeps the image's ratio
    /// and covers 8/7 of the output (256 for 224), rounded like torchvision's.
    fn covering(&self, image: Region) -> [usize; 2] {
        let (height, width) = (self.height * 8 / 7, self.width * 8 / 7);
        if height * image.width >= width * image.height {
            [height, height * image.width / image.height]
        } else {
            [width * image.height / image.width, width]
        }
    }

    /// How far the output is moved against the resized image, down and right.
    fn shift(&self, stream: &mut RandomStream) -> [isize; 2] {
        if self.augment.crop != Crop::Shift {
            return [0, 0];
        }
        let most = self.augment.shift as u64;
        [(); 2].map(|()| stream.below(2 * most + 1) as isize - most as isize)
    }
}

/// Buffers that a thread keeps from one image to the next.
#[derive(Default)]
pub struct Scratch<S> {
    resizer: Resizer<S>,
    rows: Vec<usize>,
    columns: Vec<usize>,
    plane: Vec<u8>,
}

fn fill(places: &mut Vec<usize>, count: usize, place: impl Fn(usize) -> usize) {
    places.clear();
    places.extend((0..count).map(place));
}

/// Mirrors a place beyond the border back into 0..`size`, the border not repeated.
fn reflect(place: isize, size: usize) -> usize {
    let place = place.unsigned_abs();
    if place < size { place } else { 2 * (size - 1) - place }
}

#[cfg(test)]
mod tests;
