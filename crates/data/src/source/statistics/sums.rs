//! Sums over the pixels of one image, and of many.

use bauta_datasets::{DataError, SampleType};

use super::Statistics;
use crate::image::Image;
use crate::source::Source;

/// Sums over the images that have been read.
pub(super) enum Sums {
    /// Of bytes: exact integers, which can be added in any order.
    Bytes {
        pixels: u64,
        /// For each channel, the sums of the samples and of their squares.
        channels: Vec<[u64; 2]>,
    },
    /// Of other samples: added in the order of the images, as sums of floats depend on it.
    Values { pixels: f64, channels: Vec<Moments>, range: [f32; 2] },
}

/// Mean of a channel, and the sum of the squared distances from it.
#[derive(Clone, Copy, Default)]
pub(super) struct Moments {
    mean: f64,
    squares: f64,
}

impl Sums {
    /// Reads an image.
    pub(super) fn of(source: &dyn Source, index: usize) -> Result<Self, DataError> {
        Ok(match source.sample_type() {
            SampleType::Uint8 => Self::of_bytes(&source.image(index)?),
            SampleType::Uint16 | SampleType::Float32 => Self::of_values(&source.values(index)?),
        })
    }

    fn of_bytes(image: &Image<'_>) -> Self {
        let mut channels = vec![[0, 0]; image.channels()];
        for pixel in image.pixels().chunks_exact(image.channels()) {
            for ([sum, squares], &sample) in channels.iter_mut().zip(pixel) {
                *sum += u64::from(sample);
                *squares += u64::from(sample) * u64::from(sample);
            }
        }
        Self::Bytes { pixels: (image.height() * image.width()) as u64, channels }
    }

    fn of_values(image: &Image<'_, f32>) -> Self {
        let pixels = (image.height() * image.width()) as f64;
        let mut channels = vec![Moments::default(); image.channels()];
        let each = || image.pixels().chunks_exact(image.channels());
        for pixel in each() {
            for (moments, &sample) in channels.iter_mut().zip(pixel) {
                moments.mean += f64::from(sample) / pixels;
            }
        }
        // Around the mean: values far from 0 that vary little would lose all digits otherwise.
        for pixel in each() {
            for (moments, &sample) in channels.iter_mut().zip(pixel) {
                moments.squares += (f64::from(sample) - moments.mean).powi(2);
            }
        }
        let range = image.pixels().iter().fold([f32::INFINITY, f32::NEG_INFINITY], wider);
        Self::Values { pixels, channels, range }
    }

    /// Adds the sums of later images.
    pub(super) fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Bytes { pixels, mut channels }, Self::Bytes { pixels: more, channels: add }) => {
                for ([sum, squares], [more, more_squares]) in channels.iter_mut().zip(add) {
                    *sum += more;
                    *squares += more_squares;
                }
                Self::Bytes { pixels: pixels + more, channels }
            }
            (
                Self::Values { pixels, mut channels, range },
                Self::Values { pixels: more, channels: add, range: seen },
            ) => {
                let all = pixels + more;
                for (moments, other) in channels.iter_mut().zip(add) {
                    let apart = other.mean - moments.mean;
                    moments.mean += apart * more / all;
                    moments.squares += other.squares + apart * apart * pixels * more / all;
                }
                Self::Values { pixels: all, channels, range: seen.iter().fold(range, wider) }
            }
            _ => unreachable!("a source's images are of one type"),
        }
    }

    /// Means and standard deviations of the channels, with 1 in place of a standard deviation that
    /// is too small to divide by.
    pub(super) fn statistics(self, samples: SampleType) -> Statistics {
        let (mut mean, mut std) = (Vec::new(), Vec::new());
        let range = match self {
            Self::Bytes { pixels, channels } => {
                let pixels = pixels as f64;
                for [sum, squares] in channels {
                    let average = sum as f64 / pixels;
                    let variance = (squares as f64 / pixels - average * average).max(0.0);
                    let deviation = variance.sqrt() / 255.0;
                    mean.push((average / 255.0) as f32);
                    std.push(if deviation < 1e-6 { 1.0 } else { deviation as f32 });
                }
                Statistics::BYTES
            }
            Self::Values { pixels, channels, range } => {
                for Moments { mean: average, squares } in channels {
                    let deviation = (squares / pixels).sqrt();
                    let flat = deviation <= 1e-6 * average.abs() || (deviation as f32) == 0.0;
                    mean.push(average as f32);
                    std.push(if flat { 1.0 } else { deviation as f32 });
                }
                samples.range().unwrap_or(range)
            }
        };
        Statistics { mean: mean.into(), std: std.into(), range }
    }
}

fn wider([least, most]: [f32; 2], &value: &f32) -> [f32; 2] {
    [least.min(value), most.max(value)]
}
