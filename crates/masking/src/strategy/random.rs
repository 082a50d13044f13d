//! Random masking (MAE §3): uniform without replacement.

use super::MaskStrategy;
use crate::{Grid, MaskError, visible_count};
use bauta_streams::RandomStream;

/// Masks a fixed number of tokens, every subset of that size equally likely.
///
/// ```
/// use bauta_masking::{Grid, MaskStrategy, RandomMask};
/// use bauta_streams::{Purpose, StreamKey};
/// let strategy = RandomMask::new(Grid::image(14, 14)?, 0.75)?;
/// let mut stream = StreamKey { seed: 0, purpose: Purpose::MASK, epoch: 0, sample: 0 }.stream();
/// let mut mask = [false; 196];
/// strategy.draw(&mut stream, &mut mask);
/// assert_eq!(mask.iter().filter(|&&masked| masked).count(), 147);
/// # Ok::<(), bauta_masking::MaskError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RandomMask {
    grid: Grid,
    visible: usize,
}

impl RandomMask {
    /// Masks all but ⌊L · (1 − `ratio`)⌋ tokens.
    ///
    /// # Errors
    /// As [`visible_count`].
    pub fn new(grid: Grid, ratio: f64) -> Result<Self, MaskError> {
        Ok(Self { grid, visible: visible_count(grid.tokens(), ratio)? })
    }
}

impl MaskStrategy for RandomMask {
    fn grid(&self) -> Grid {
        self.grid
    }

    fn draw(&self, stream: &mut RandomStream, mask: &mut [bool]) {
        // Floyd's sampling: one random number per token of the smaller set, with the mask itself as
        // the only memory.
        let masked = mask.len() - self.visible;
        let picks_are_masked = masked < self.visible;
        mask.fill(!picks_are_masked);
        for last in mask.len() - masked.min(self.visible)..mask.len() {
            let pick = stream.below(last as u64 + 1) as usize;
            let taken = mask[pick] == picks_are_masked;
            mask[if taken { last } else { pick }] = picks_are_masked;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bauta_streams::{Purpose, StreamKey};

    #[test]
    fn every_subset_is_equally_likely() {
        // 5 tokens keep 2 (or, at 0.4, 3): 10 subsets each, 20,000 draws.
        for ratio in [0.6, 0.4] {
            let strategy = RandomMask::new(Grid::image(1, 5).unwrap(), ratio).unwrap();
            let mut stream =
                StreamKey { seed: 1, purpose: Purpose::MASK, epoch: 0, sample: 0 }.stream();
            let mut seen = std::collections::BTreeMap::<[bool; 5], f64>::new();
            for _ in 0..20_000 {
                let mut mask = [false; 5];
                strategy.draw(&mut stream, &mut mask);
                *seen.entry(mask).or_default() += 1.0;
            }
            assert_eq!(seen.len(), 10);
            let chi_square: f64 = seen.values().map(|n| (n - 2000.0).powi(2) / 2000.0).sum();
            // Nine degrees of freedom: 33.7 is exceeded once in ten thousand.
            assert!(chi_square < 33.7, "{chi_square} at ratio {ratio}: {seen:?}");
        }
    }
}
