//! Mean and standard deviation of a data set's channels, known or measured.

mod sums;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};

use bauta_datasets::{Channels, DataError};
use rayon::prelude::*;

use self::sums::Sums;
use crate::source::Source;

/// Per-channel moments of the training images: of bytes scaled to [0, 1], of other samples in
/// their own units.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Mean of each channel.
    pub mean: Cow<'static, [f32]>,
    /// Standard deviation of each channel.
    pub std: Cow<'static, [f32]>,
    /// Least and greatest value that a sample can have; for floats, those that occurred.
    pub range: [f32; 2],
}

impl Statistics {
    /// The range of bytes.
    pub const BYTES: [f32; 2] = [0.0, 255.0];
    /// CIFAR-10's training images.
    pub const CIFAR10: Self = Self::of(&[0.4914, 0.4822, 0.4465], &[0.2470, 0.2435, 0.2616]);
    /// MNIST's training images.
    pub const MNIST: Self = Self::of(&[0.1307], &[0.3081]);
    /// Fashion-MNIST's training images.
    pub const FASHION_MNIST: Self = Self::of(&[0.2860], &[0.3530]);
    /// ImageNet's training images; customary for photos of any origin.
    pub const IMAGENET: Self = Self::of(&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]);
    /// ImageNet's statistics, converted to grey.
    pub const IMAGENET_GREY: Self = Self::of(&[0.459], &[0.226]);

    /// MAE-ST's values for videos.
    pub const VIDEO: Self = Self::of(&[0.45; 3], &[0.225; 3]);

    const fn of(mean: &'static [f32], std: &'static [f32]) -> Self {
        Self { mean: Cow::Borrowed(mean), std: Cow::Borrowed(std), range: Self::BYTES }
    }

    /// The usual values for photos with this number of channels.
    pub fn of_photos(channels: Channels) -> Self {
        match channels {
            Channels::Rgb => Self::IMAGENET,
            Channels::Grey => Self::IMAGENET_GREY,
        }
    }

    /// Mean and standard deviation 0.5, for channels of which nothing is known.
    pub(crate) fn neutral(channels: usize) -> Self {
        let half = || Cow::Owned(vec![0.5; channels]);
        Self { mean: half(), std: half(), range: Self::BYTES }
    }

    /// Measures up to `limit` images, evenly spread over the source, on all cores.
    ///
    /// Every pixel counts equally, so a large image counts more than a small one. Images that
    /// cannot be decoded are left out. The result is the same for any number of threads. A channel
    /// that never varies gets the standard deviation 1.
    ///
    /// # Errors
    /// The first image's error, when none can be decoded.
    ///
    /// # Panics
    /// When `limit` is 0 or the source is empty.
    pub fn measure(source: &dyn Source, limit: usize) -> Result<Self, DataError> {
        Self::measure_until(source, limit, &AtomicBool::new(false))
    }

    /// Like [`Self::measure`], but stops soon after `stop` is set.
    ///
    /// # Errors
    /// As [`Self::measure`], and [`DataError::Stopped`].
    pub fn measure_until(
        source: &dyn Source,
        limit: usize,
        stop: &AtomicBool,
    ) -> Result<Self, DataError> {
        let count = source.len().min(limit);
        assert!(count > 0, "statistics of no images");
        let place = |at: usize| (at as u128 * source.len() as u128 / count as u128) as usize;
        // In the order of the images, whichever thread is first: sums of floats depend on it.
        let measured: Vec<Result<Sums, DataError>> = (0..count)
            .into_par_iter()
            .map(|at| match stop.load(Ordering::Relaxed) {
                true => Err(DataError::Stopped),
                false => Sums::of(source, place(at)),
            })
            .collect();
        if stop.load(Ordering::Relaxed) {
            return Err(DataError::Stopped);
        }
        let mut failed = None;
        let mut all: Option<Sums> = None;
        for sums in measured {
            match sums {
                Ok(sums) => {
                    all = Some(match all {
                        Some(all) => all.with(sums),
                        None => sums,
                    });
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match (all, failed) {
            (Some(all), _) => Ok(all.statistics(source.sample_type())),
            (None, Some(error)) => Err(error),
            (None, None) => unreachable!("at least one image was measured"),
        }
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

    /// One value per file, of a type of more than eight bits.
    fn values(descr: &str, files: &[Vec<u8>]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (number, file) in files.iter().enumerate() {
            let shape = format!("({}, 1, 1)", file.len() / if descr == "<f4" { 4 } else { 2 });
            let file = crate::source::npy::tests::encode(descr, &shape, file);
            std::fs::write(root.path().join(format!("{number:04}.npy")), file).unwrap();
        }
        root
    }

    #[test]
    fn values_are_measured_in_their_own_units_on_any_number_of_threads() {
        // Far from 0 with little variation, and of both signs.
        let numbers: Vec<[f32; 2]> =
            (0..300).map(|i| [1.0e6 + (i % 7) as f32, (i as f32 * 0.37).sin() * 1e-4]).collect();
        let files: Vec<Vec<u8>> =
            numbers.iter().map(|two| two.map(f32::to_le_bytes).as_flattened().to_vec()).collect();
        let root = values("<f4", &files);
        let source = crate::Folder::all(root.path(), crate::Decoding::default()).unwrap();
        let found = Statistics::measure(&source, usize::MAX).unwrap();
        for channel in 0..2 {
            let of: Vec<f64> = numbers.iter().map(|two| f64::from(two[channel])).collect();
            let mean = of.iter().sum::<f64>() / 300.0;
            let deviation = (of.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 300.0).sqrt();
            let [off, wide] = [found.mean[channel], found.std[channel]].map(f64::from);
            assert!((off - mean).abs() < 1e-7 * mean.abs().max(1e-2), "{off} {mean}");
            assert!((wide / deviation - 1.0).abs() < 1e-5, "{wide} {deviation}");
        }
        assert_eq!(found.range[1], 1.0e6 + 6.0);
        assert!(found.range[0] < -0.9e-4, "{:?}", found.range);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| Statistics::measure(&source, 999)).unwrap(), found);
        }
        let two = [[0_u16, 500], [65_535, 500]].map(|two| two.map(u16::to_le_bytes));
        let root = values("<u2", &two.map(|two| two.as_flattened().to_vec()));
        let source = crate::Folder::all(root.path(), crate::Decoding::default()).unwrap();
        let found = Statistics::measure(&source, 2).unwrap();
        assert_eq!(
            (&found.mean[..], &found.std[..]),
            (&[32_767.5, 500.0][..], &[32_767.5, 1.0][..])
        );
        assert_eq!(found.range, [0.0, 65_535.0]);
    }

    #[test]
    fn measuring_ends_where_it_is_stopped() {
        let images = source(1, vec![1, 2, 3]);
        let stopped = Statistics::measure_until(&images, 9, &AtomicBool::new(true));
        assert!(matches!(stopped, Err(DataError::Stopped)));
    }
}
