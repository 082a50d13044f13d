//! Mean and standard deviation of a data set's channels, known or measured.

use std::borrow::Cow;

use rayon::prelude::*;

use crate::error::DataError;
use crate::image::Channels;
use crate::source::Source;

/// Per-channel moments of the training images, with samples scaled to [0, 1].
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Mean of each channel.
    pub mean: Cow<'static, [f32]>,
    /// Standard deviation of each channel.
    pub std: Cow<'static, [f32]>,
}

impl Statistics {
    /// CIFAR-10's training images.
    pub const CIFAR10: Self = Self::of(&[0.4914, 0.4822, 0.4465], &[0.2470, 0.2435, 0.2616]);
    /// MNIST's training images.
    pub const MNIST: Self = Self::of(&[0.1307], &[0.3081]);
    /// Fashion-MNIST's training images.
    pub const FASHION_MNIST: Self = Self::of(&[0.2860], &[0.3530]);
    /// ImageNet's, the custom for photos of any origin.
    pub const IMAGENET: Self = Self::of(&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]);
    /// ImageNet's colours weighted to grey.
    pub const IMAGENET_GREY: Self = Self::of(&[0.459], &[0.226]);

    /// The custom of MAE-ST for videos.
    pub const VIDEO: Self = Self::of(&[0.45; 3], &[0.225; 3]);

    const fn of(mean: &'static [f32], std: &'static [f32]) -> Self {
        Self { mean: Cow::Borrowed(mean), std: Cow::Borrowed(std) }
    }

    /// The custom for photos of so many channels.
    pub fn of_photos(channels: Channels) -> Self {
        match channels {
            Channels::Rgb => Self::IMAGENET,
            Channels::Grey => Self::IMAGENET_GREY,
        }
    }

    /// Half of everything, for channels of which nothing is known: mean and deviation 0.5.
    pub(crate) fn neutral(channels: usize) -> Self {
        let half = || Cow::Owned(vec![0.5; channels]);
        Self { mean: half(), std: half() }
    }

    /// Measures up to `limit` images, evenly spread over the source, on all cores.
    ///
    /// Every pixel counts alike, so a large image counts more than a small one. Images
    /// that cannot be decoded are left out. Sums are of integers, so the result is the
    /// same for any number of threads. A channel that never varies gets the deviation 1.
    ///
    /// # Errors
    /// The first image's error, when none can be decoded.
    ///
    /// # Panics
    /// When `limit` is 0 or the source is empty.
    pub fn measure(source: &dyn Source, limit: usize) -> Result<Self, DataError> {
        let count = source.len().min(limit);
        assert!(count > 0, "statistics of no images");
        let place = |at: usize| (at as u128 * source.len() as u128 / count as u128) as usize;
        let measured = (0..count).into_par_iter().map(|at| Sums::of(source, place(at)));
        let sums = measured.reduce(
            || Ok(Sums::default()),
            |one, other| match (one, other) {
                (Ok(one), Ok(other)) => Ok(one.with(other)),
                // A sum of no image counts for less than an error, which is kept for last.
                (Ok(sums), Err(error)) | (Err(error), Ok(sums)) => {
                    if sums.pixels > 0 {
                        Ok(sums)
                    } else {
                        Err(error)
                    }
                }
                (Err(first), Err(_)) => Err(first),
            },
        )?;
        Ok(sums.moments())
    }
}

/// Sums over the pixels of some images.
#[derive(Default)]
struct Sums {
    pixels: u64,
    /// Of each channel, of the samples and of their squares.
    channels: Vec<[u64; 2]>,
}

impl Sums {
    fn of(source: &dyn Source, index: usize) -> Result<Self, DataError> {
        let image = source.image(index)?;
        let mut channels = vec![[0, 0]; image.channels()];
        for pixel in image.pixels().chunks_exact(image.channels()) {
            for ([sum, squares], &sample) in channels.iter_mut().zip(pixel) {
                *sum += u64::from(sample);
                *squares += u64::from(sample) * u64::from(sample);
            }
        }
        Ok(Self { pixels: (image.height() * image.width()) as u64, channels })
    }

    fn with(mut self, other: Self) -> Self {
        if self.channels.is_empty() {
            return other;
        }
        for ([sum, squares], [more, more_squares]) in self.channels.iter_mut().zip(other.channels) {
            *sum += more;
            *squares += more_squares;
        }
        Self { pixels: self.pixels + other.pixels, ..self }
    }

    fn moments(self) -> Statistics {
        let pixels = self.pixels as f64;
        let (mut mean, mut std) = (Vec::new(), Vec::new());
        for [sum, squares] in self.channels {
            let average = sum as f64 / pixels;
            let deviation = (squares as f64 / pixels - average * average).max(0.0).sqrt() / 255.0;
            mean.push((average / 255.0) as f32);
            // Nothing can be divided by the deviation of a channel that never varies.
            std.push(if deviation < 1e-6 { 1.0 } else { deviation as f32 });
        }
        Statistics { mean: mean.into(), std: std.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::InMemory;

    fn source(channels: usize, pixels: Vec<u8>) -> InMemory {
        let count = pixels.len() / channels;
        let statistics = Statistics::neutral(channels);
        let classes = vec!["any".to_owned()];
        InMemory::new("t", [1, 1, channels], pixels, vec![0; count], classes, statistics).unwrap()
    }

    #[test]
    fn moments_are_those_of_the_definition_on_any_number_of_threads() {
        let pixels: Vec<u8> = (0..5 * 997).map(|i| (i * i % 251) as u8).collect();
        let images = source(5, pixels.clone());
        let measured = Statistics::measure(&images, usize::MAX).unwrap();
        for channel in 0..5 {
            let samples: Vec<f64> =
                pixels[channel..].iter().step_by(5).map(|&s| f64::from(s) / 255.0).collect();
            let mean = samples.iter().sum::<f64>() / 997.0;
            let variance = samples.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / 997.0;
            assert!((f64::from(measured.mean[channel]) - mean).abs() < 1e-6);
            assert!((f64::from(measured.std[channel]) - variance.sqrt()).abs() < 1e-6);
        }
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let again = pool.install(|| Statistics::measure(&images, usize::MAX));
            assert_eq!(again.unwrap(), measured);
        }
    }

    #[test]
    fn a_limit_spreads_over_all_images_and_a_constant_channel_divides() {
        let images = source(1, vec![0, 9, 9, 100, 9, 9]);
        assert_eq!(Statistics::measure(&images, 2).unwrap().mean[0], 50.0 / 255.0);
        let flat = Statistics::measure(&source(2, vec![7, 255, 7, 255]), 9).unwrap();
        assert_eq!((&flat.mean[..], &flat.std[..]), (&[7.0 / 255.0, 1.0][..], &[1.0, 1.0][..]));
    }
}
