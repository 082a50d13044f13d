//! Random erasing (Zhong et al., arXiv 1708.04896), with separate noise for each pixel.
//!
//! timm erases normalised images with standard normal numbers. Here pixels are bytes, so the noise
//! has the data set's mean and standard deviation and is clipped to a byte's range: about two
//! standard deviations for photos.

use bauta_streams::RandomStream;

use super::operations::Planes;
use crate::source::Statistics;

/// Least and greatest fraction of the image's area.
const AREA: [f64; 2] = [0.02, 1.0 / 3.0];
/// Least and greatest height over width.
const RATIO: [f64; 2] = [0.3, 1.0 / 0.3];

/// Erases one rectangle with the given probability.
pub(super) fn erase(
    image: &mut Planes<'_>,
    probability: f64,
    statistics: &Statistics,
    stream: &mut RandomStream,
) {
    if stream.uniform_in(0.0, 1.0) >= probability {
        return;
    }
    let (height, width) = (image.height, image.width);
    for _ in 0..10 {
        let area = (height * width) as f64 * stream.uniform_in(AREA[0], AREA[1]);
        let ratio = stream.uniform_in(RATIO[0].ln(), RATIO[1].ln()).exp();
        let tall = (area * ratio).sqrt().round_ties_even() as usize;
        let wide = (area / ratio).sqrt().round_ties_even() as usize;
        if tall >= height || wide >= width {
            continue;
        }
        let top = stream.below((height - tall + 1) as u64) as usize;
        let left = stream.below((width - wide + 1) as u64) as usize;
        for (channel, plane) in image.pixels.chunks_exact_mut(height * width).enumerate() {
            let [mean, std] = [&statistics.mean, &statistics.std].map(|m| f64::from(m[channel]));
            for row in plane.chunks_exact_mut(width).skip(top).take(tall) {
                for sample in &mut row[left..left + wide] {
                    // The cast clips values that are out of range.
                    *sample = (255.0 * (mean + std * stream.normal())).round() as u8;
                }
            }
        }
        return;
    }
}

#[cfg(test)]
mod tests {
    use bauta_streams::{Purpose, StreamKey};

    use super::*;

    fn erased(probability: f64, sample: u64) -> Vec<u8> {
        let mut pixels = vec![1; 3 * 32 * 32];
        let mut image = Planes { pixels: &mut pixels, channels: 3, height: 32, width: 32 };
        let key = StreamKey { seed: 0, purpose: Purpose::named("test"), epoch: 0, sample };
        erase(&mut image, probability, &Statistics::CIFAR10, &mut key.stream());
        pixels
    }

    #[test]
    fn one_rectangle_is_erased_at_its_rate_and_size() {
        let mut count = 0;
        for sample in 0..400 {
            let pixels = erased(0.25, sample);
            // The byte 1 occurs in the noise now and then, but not along a whole border.
            let changed = |y: usize, x: usize| pixels[y * 32 + x] != 1;
            let rows: Vec<usize> = (0..32).filter(|&y| (0..32).any(|x| changed(y, x))).collect();
            let columns: Vec<usize> = (0..32).filter(|&x| (0..32).any(|y| changed(y, x))).collect();
            let (Some(top), Some(left)) = (rows.first(), columns.first()) else { continue };
            count += 1;
            let (tall, wide) =
                (rows[rows.len() - 1] - top + 1, columns[columns.len() - 1] - left + 1);
            let part = (tall * wide) as f64 / 1024.0;
            assert!((0.012..0.37).contains(&part), "{tall} × {wide}");
            let inside = (0..tall * wide)
                .filter(|place| changed(top + place / wide, left + place % wide))
                .count();
            assert!(inside as f64 > 0.9 * (tall * wide) as f64, "{inside} of {tall} × {wide}");
        }
        assert!((70..130).contains(&count), "{count} of 400");
    }

    #[test]
    fn noise_has_the_mean_of_the_data() {
        let noise: Vec<f64> = (0..60)
            .flat_map(|sample| erased(1.0, sample)[..1024].to_vec())
            .filter(|&sample| sample != 1)
            .map(f64::from)
            .collect();
        let mean = noise.iter().sum::<f64>() / noise.len() as f64;
        assert!((mean - 255.0 * 0.4914).abs() < 4.0, "{mean}");
    }
}
