//! Augmentation: turns an image of any size into the planes that a model sees.
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

use bauta_datasets::{Augment, Crop, DataError};
use bauta_streams::RandomStream;

use self::erasing::erase;
pub use self::framing::{Filter, Framing, Middle, Resize};
use self::operations::Planes;
use self::rand_augment::rand_augment;
use self::region::Region;
use self::resize::Resizer;
use crate::image::Image;
use crate::sample::Sample;
use crate::source::Statistics;

/// Greatest ratio of an image's sides that a centre crop resizes as a whole. Of a longer image only
/// the middle is resized, so that an extreme ratio cannot demand gigabytes.
const LONGEST: usize = 8;

/// An [`Augment`] whose settings have been checked, for one size of output.
#[derive(Clone, Debug)]
pub struct Augmenter {
    augment: Augment,
    /// How images are brought to the output's size, instead of the crop.
    framing: Option<Framing>,
    channels: usize,
    height: usize,
    width: usize,
    statistics: Statistics,
}

impl Augmenter {
    /// Creates the augmentation for images with `channels` channels and outputs of `height × width`
    /// pixels.
    ///
    /// # Errors
    /// As [`Augment::check`].
    pub fn new(
        augment: &Augment,
        channels: usize,
        height: usize,
        width: usize,
    ) -> Result<Self, DataError> {
        augment.check(channels, height, width)?;
        let statistics = match channels {
            1 => Statistics::MNIST,
            3 => Statistics::IMAGENET,
            _ => Statistics::neutral(channels),
        };
        Ok(Self { augment: augment.clone(), framing: None, channels, height, width, statistics })
    }

    /// Uses these statistics to fill pixels: with the mean where they are moved in from outside,
    /// with noise where they are erased.
    ///
    /// # Panics
    /// When their number of channels differs.
    pub fn for_data(self, statistics: Statistics) -> Self {
        assert_eq!(statistics.mean.len(), self.channels, "statistics of other channels");
        Self { statistics, ..self }
    }

    /// Brings images to the output's size deterministically, instead of the crop.
    pub fn framed(self, framing: Framing) -> Self {
        Self { framing: Some(framing), ..self }
    }

    /// Checks that framing gives an image the output's size.
    ///
    /// # Errors
    /// When it does not; the message gives all sizes.
    pub fn check<S: Sample>(&self, image: &Image<'_, S>) -> Result<(), String> {
        let Some(framing) = self.framing else { return Ok(()) };
        let [height, width] = framing.place(Region::whole(image.height(), image.width())).1;
        let fits = match framing.crop {
            Some(_) => height >= self.height && width >= self.width,
            None => [height, width] == [self.height, self.width],
        };
        if fits {
            return Ok(());
        }
        let (own_height, own_width) = (image.height(), image.width());
        let remedy = match framing.crop {
            Some(_) => "that is too small for a centre crop",
            None => "no crop is set",
        };
        Err(format!(
            "the image has {own_height} × {own_width} pixels and is resized to {height} × {width}, \
             but {} × {} are needed, and {remedy}",
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

    /// Applies the colour changes, RandAugment and erasing that are switched on.
    fn alter(&self, image: &mut Planes<'_>, stream: &mut RandomStream, scratch: &mut Vec<u8>) {
        let Self { augment: Augment { colours, randaugment, erasing, .. }, statistics, .. } = self;
        if let Some(colours) = colours {
            colours::apply(colours, image, stream, scratch);
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

    /// Resizes the cropped part of the image to the size of the output.
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
            let middle = framing.crop.unwrap_or(Middle::Down);
            let corner = [middle.begin(full[0], height), middle.begin(full[1], width)];
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

    /// The shift of the output relative to the resized image, down and right.
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

/// Reflects a position beyond the border back into 0..`size`, without repeating the border.
fn reflect(place: isize, size: usize) -> usize {
    let place = place.unsigned_abs();
    if place < size { place } else { 2 * (size - 1) - place }
}

#[cfg(test)]
mod tests;
