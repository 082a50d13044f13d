//! Block-wise masking (BEiT §2.3, algorithm 1; ablated in MAE §4.1): rectangles of random size and
//! shape, laid over one another until enough tokens are masked.
//!
//! In a clip they are boxes that span several time steps (MAE-ST, table 2a); an image has one step.

use super::MaskStrategy;
use crate::{Grid, MaskError, visible_count};
use bauta_streams::RandomStream;

/// Default smallest area of a block in tokens.
const MIN_AREA: usize = 16;
/// Height over width of a block lies in [1 / `MAX_ASPECT`, `MAX_ASPECT`].
const MAX_ASPECT: f64 = 1.0 / 0.3;
/// Consecutive blocks that do not fit before [`BlockMask::at_most`] gives up, and draws of a
/// block's sides before they are clipped.
const PATIENCE: usize = 10;
/// Consecutive boxes that do not fit into a clip before the smallest boxes mask the rest.
const BOXES: usize = 100;

/// Masks rectangles of tokens.
///
/// A block's area is uniform between 16, or [another number](Self::with_min_area), and the number
/// of tokens still to be masked, its aspect ratio is log-uniform between 0.3 and 1 / 0.3, and its
/// position is uniform. It is used if it masks something new and not too much. Its sides are
/// shorter than the grid's: longer ones are drawn again, as in BEiT's code, and clipped after ten
/// draws.
///
/// In a clip, a box has at most the area of a whole step and spans a uniform number of steps. Once
/// a hundred boxes in a row did not fit, boxes of one or two tokens complete the count; the code of
/// MAE-ST's authors falls short of it by these.
#[derive(Clone, Debug)]
pub struct BlockMask {
    grid: Grid,
    masked: usize,
    min_area: usize,
    patience: Option<usize>,
}

impl BlockMask {
    /// Masks exactly L − ⌊L · (1 − `ratio`)⌋ tokens. In a clip the smallest area is a fifth of a
    /// step's tokens, as in the code of MAE-ST's authors.
    ///
    /// # Errors
    /// As [`visible_count`].
    pub fn new(grid: Grid, ratio: f64) -> Result<Self, MaskError> {
        let masked = grid.tokens() - visible_count(grid.tokens(), ratio)?;
        let fifth = (grid.height() * grid.width() / 5).max(1);
        let min_area = if grid.time() == 1 { MIN_AREA } else { fifth };
        Ok(Self { grid, masked, min_area, patience: None })
    }

    /// The same strategy with blocks of at least `tokens` tokens per time step; the last ones can
    /// be smaller, to reach an exact count.
    ///
    /// BEiT's 16 is a twelfth of its 196 tokens and a quarter of an 8 × 8 grid's.
    pub fn with_min_area(self, tokens: usize) -> Self {
        Self { min_area: tokens.max(1), ..self }
    }

    /// Masks at most as many tokens as [`Self::new`], like the paper's code, which stops once ten
    /// consecutive blocks did not fit.
    ///
    /// The smallest area stays the same even if fewer tokens are missing.
    ///
    /// Counts differ between samples, so [`crate::MaskPlan::draw`] refuses it
    /// for most batches; it is for models that see every position.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn at_most(grid: Grid, ratio: f64) -> Result<Self, MaskError> {
        Ok(Self { patience: Some(PATIENCE), ..Self::new(grid, ratio)? })
    }

    fn sample_block(&self, stream: &mut RandomStream, missing: usize) -> Block {
        let largest = missing.min(self.grid.height() * self.grid.width());
        let smallest =
            if self.patience.is_some() { self.min_area } else { self.min_area.min(largest) };
        let longest = [self.grid.height(), self.grid.width()].map(|side| (side - 1).max(1));
        let mut draw = || {
            let area = stream.uniform_in(smallest as f64, largest as f64);
            let aspect = stream.uniform_in(-MAX_ASPECT.ln(), MAX_ASPECT.ln()).exp();
            [(area * aspect).sqrt(), (area / aspect).sqrt()].map(|side| side.round() as usize)
        };
        let mut sides = draw();
        for _ in 1..PATIENCE {
            if sides[0] <= longest[0] && sides[1] <= longest[1] {
                break;
            }
            sides = draw();
        }
        let [height, width] = [0, 1].map(|side| sides[side].clamp(1, longest[side]));
        let top = stream.below((self.grid.height() - height + 1) as u64) as usize;
        let left = stream.below((self.grid.width() - width + 1) as u64) as usize;
        // An image's single step is not drawn, so that its masks stay those of recorded runs.
        let (start, steps) = match self.grid.time() {
            1 => (0, 1),
            time => {
                let steps = 1 + stream.below(time.min(missing) as u64) as usize;
                (stream.below((time - steps + 1) as u64) as usize, steps)
            }
        };
        Block { start, steps, top, left, height, width }
    }
}

impl MaskStrategy for BlockMask {
    fn grid(&self) -> Grid {
        self.grid
    }

    fn draw(&self, stream: &mut RandomStream, mask: &mut [bool]) {
        mask.fill(false);
        let mut missing = self.masked;
        let mut misses = 0;
        // Without a limit on misses this still ends: a block need not be larger than the number of
        // missing tokens, and every visible token can be covered by one.
        while missing > 0 && self.patience.is_none_or(|patience| misses < patience) {
            let given_up = self.grid.time() > 1 && misses >= BOXES;
            let block = self.sample_block(stream, if given_up { 1 } else { missing });
            let new = block.rows(mask, self.grid).flatten().filter(|&&mut masked| !masked).count();
            if new == 0 || new > missing {
                misses += 1;
                continue;
            }
            block.rows(mask, self.grid).for_each(|row| row.fill(true));
            missing -= new;
            misses = if given_up { misses } else { 0 };
        }
    }
}

/// A box of tokens.
struct Block {
    start: usize,
    steps: usize,
    top: usize,
    left: usize,
    height: usize,
    width: usize,
}

impl Block {
    /// The block's part of each token row that it crosses.
    fn rows<'a>(
        &self,
        mask: &'a mut [bool],
        grid: Grid,
    ) -> impl Iterator<Item = &'a mut [bool]> + use<'a> {
        let columns = self.left..self.left + self.width;
        let (top, height) = (self.top, self.height);
        let steps = mask.chunks_exact_mut(grid.height() * grid.width());
        let rows = steps
            .skip(self.start)
            .take(self.steps)
            .flat_map(move |step| step.chunks_exact_mut(grid.width()).skip(top).take(height));
        rows.map(move |row| &mut row[columns.clone()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bauta_streams::{Purpose, StreamKey};

    fn draw(strategy: &BlockMask, sample: u64) -> Vec<bool> {
        let mut mask = vec![true; strategy.grid.tokens()];
        let key = StreamKey { seed: 0, purpose: Purpose::MASK, epoch: 0, sample };
        strategy.draw(&mut key.stream(), &mut mask);
        mask
    }

    /// Share of horizontally adjacent pairs that are both masked or both visible.
    fn agreement(mask: &[bool], width: usize) -> f64 {
        let pairs = || mask.chunks(width).flat_map(|row| row.windows(2));
        pairs().filter(|pair| pair[0] == pair[1]).count() as f64 / pairs().count() as f64
    }

    #[test]
    fn neighbours_share_their_fate() {
        // Random masks agree in 0.75² + 0.25² = 0.625 of the pairs.
        let strategy = BlockMask::new(Grid::image(14, 14).unwrap(), 0.75).unwrap();
        let mean = (0..200).map(|i| agreement(&draw(&strategy, i), 14)).sum::<f64>() / 200.0;
        assert!(mean > 0.8, "{mean}");
    }

    #[test]
    fn at_most_comes_close_and_never_over() {
        let strategy = BlockMask::at_most(Grid::image(14, 14).unwrap(), 0.4).unwrap();
        let counts: Vec<_> =
            (0..500).map(|i| draw(&strategy, i).iter().filter(|&&masked| masked).count()).collect();
        assert!(counts.iter().all(|&count| count <= strategy.masked), "{counts:?}");
        let mean = counts.iter().sum::<usize>() as f64 / 500.0;
        assert!(mean > 0.95 * strategy.masked as f64, "{mean} of {}", strategy.masked);
    }

    #[test]
    fn every_token_is_masked_and_seen_at_times() {
        let strategy = BlockMask::new(Grid::image(8, 8).unwrap(), 0.75).unwrap();
        let mut masked = [0; 64];
        for sample in 0..500 {
            let mask = draw(&strategy, sample);
            masked.iter_mut().zip(mask).for_each(|(n, m)| *n += u32::from(m));
        }
        assert!(masked.iter().all(|n| (100..500).contains(n)), "{masked:?}");
    }

    #[test]
    fn smaller_blocks_come_apart() {
        let grid = Grid::image(8, 8).unwrap();
        let mean = |least| {
            let strategy = BlockMask::new(grid, 0.4).unwrap().with_min_area(least);
            let masks = (0..200).map(|sample| draw(&strategy, sample));
            masks.map(|mask| agreement(&mask, 8)).sum::<f64>() / 200.0
        };
        let (usual, small, single) = (mean(16), mean(4), mean(1));
        assert!(usual > small && small > single, "{usual}, {small}, {single}");
    }

    #[test]
    fn no_block_spans_a_side() {
        for (height, width) in [(14, 14), (8, 8), (3, 20)] {
            let strategy = BlockMask::new(Grid::image(height, width).unwrap(), 0.4).unwrap();
            let key = StreamKey { seed: 0, purpose: Purpose::MASK, epoch: 0, sample: 0 };
            let mut stream = key.stream();
            for _ in 0..2000 {
                let block = strategy.sample_block(&mut stream, strategy.masked);
                assert!(block.height < height && block.width < width);
            }
        }
    }

    #[test]
    fn the_middle_is_masked_more_often_than_corners() {
        let strategy = BlockMask::new(Grid::image(14, 14).unwrap(), 0.4).unwrap();
        let mut masked = [0_u32; 196];
        for sample in 0..500 {
            let mask = draw(&strategy, sample);
            assert_eq!(mask.iter().filter(|&&masked| masked).count(), 79);
            masked.iter_mut().zip(mask).for_each(|(n, m)| *n += u32::from(m));
        }
        let corners = [0, 13, 182, 195].map(|cell| masked[cell]).iter().sum::<u32>();
        let middle = [90, 91, 104, 105].map(|cell| masked[cell]).iter().sum::<u32>();
        assert!(middle > 2 * corners && corners > 0, "{middle} and {corners}");
    }

    #[test]
    fn boxes_last_for_some_steps() {
        // Random masks agree in 0.75² + 0.25² = 0.625 of the pairs of successive steps.
        let strategy = BlockMask::new(Grid::new(8, 14, 14).unwrap(), 0.75).unwrap();
        let agree = |mask: &[bool]| {
            let pairs = mask.iter().zip(&mask[196..]);
            pairs.filter(|(now, next)| now == next).count() as f64 / (7.0 * 196.0)
        };
        let mean = (0..50).map(|i| agree(&draw(&strategy, i))).sum::<f64>() / 50.0;
        assert!(mean > 0.75 && mean < 0.99, "{mean}");
    }
}
