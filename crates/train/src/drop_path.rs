//! The host's part of stochastic depth: which samples skip which branches.

use bauta_backbones::DropPath;
use bauta_streams::{Purpose, StreamKey};

/// The stream purpose of an encoder's stochastic depth.
pub const DROP_PATH: Purpose = Purpose::named("drop path");

/// Draws the factors [depth, 2, B] of [`DropPath`] for the samples with these indices.
///
/// Each sample has its own random stream for each `purpose`, so that its draws do not
/// depend on its batch. `rate` is that of the last block.
pub fn draw_drop_path(
    purpose: Purpose,
    depth: usize,
    rate: f64,
    seed: u64,
    epoch: u64,
    indices: &[u64],
) -> Vec<f32> {
    let rates = DropPath::rates(depth, rate);
    let batch = indices.len();
    let mut factors = vec![1.0; depth * 2 * batch];
    for (place, &sample) in indices.iter().enumerate() {
        let mut stream = StreamKey { seed, purpose, epoch, sample }.stream();
        for (block, &rate) in rates.iter().enumerate() {
            for branch in 0..2 {
                // Drawn for every block, so that a rate of 0 does not shift other draws.
                let kept = stream.uniform_in(0.0, 1.0) >= rate;
                factors[(2 * block + branch) * batch + place] =
                    if kept { (1.0 / (1.0 - rate)) as f32 } else { 0.0 };
            }
        }
    }
    factors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_skipped_at_their_rates_and_keep_their_mean() {
        let indices: Vec<u64> = (0..4000).collect();
        let factors = draw_drop_path(DROP_PATH, 3, 0.4, 1, 0, &indices);
        for (block, rate) in [0.0, 0.2, 0.4].into_iter().enumerate() {
            for branch in 0..2 {
                let of_branch = &factors[(2 * block + branch) * 4000..][..4000];
                let skipped = of_branch.iter().filter(|&&f| f == 0.0).count() as f64 / 4000.0;
                assert!((skipped - rate).abs() < 0.04, "{block}: {skipped}");
                let mean = of_branch.iter().sum::<f32>() / 4000.0;
                assert!((mean - 1.0).abs() < 0.06, "{block}: {mean}");
            }
        }
    }

    #[test]
    fn a_sample_does_not_depend_on_its_batch() {
        let of_second = |indices: &[u64]| -> Vec<f32> {
            let place = indices.iter().position(|&i| i == 7).unwrap();
            let factors = draw_drop_path(DROP_PATH, 4, 0.5, 3, 2, indices);
            factors.iter().skip(place).step_by(indices.len()).copied().collect()
        };
        assert_eq!(of_second(&[1, 7, 9]), of_second(&[7]));
        assert_ne!(
            draw_drop_path(DROP_PATH, 4, 0.5, 3, 2, &[7]),
            draw_drop_path(DROP_PATH, 4, 0.5, 3, 3, &[7])
        );
    }
}
