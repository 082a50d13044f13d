//! Grid-wise masking (MAE §4.1, figure 6, right): one token of each square cell stays visible, at
//! the same position in every cell, and in every time step of a clip.

use super::MaskStrategy;
use crate::{Grid, MaskError};
use bauta_streams::RandomStream;

/// How far a ratio may be from 1 − 1 / s², so that 0.889 means cells of 3 × 3.
const TOLERANCE: f64 = 5e-4;

/// Masks all but one token of each s × s cell, so the ratio is 1 − 1 / s².
///
/// Cells of 2 × 2 give the paper's 0.75. The position within the cell is drawn for each sample, so
/// that every token is visible in some samples.
///
/// ```
/// use bauta_masking::{Grid, GridMask};
/// let grid = Grid::image(14, 14)?;
/// assert!(GridMask::new(grid, 0.75).is_ok());
/// assert_eq!(
///     GridMask::new(grid, 0.6).unwrap_err().to_string(),
///     "ratio 0.6 fits no regular grid on 14 × 14 tokens; \
///      possible ratios are 0.75, 0.9796, 0.9949",
/// );
/// # Ok::<(), bauta_masking::MaskError>(())
/// ```
#[derive(Clone, Debug)]
pub struct GridMask {
    grid: Grid,
    cell: usize,
}

impl GridMask {
    /// Finds the cells that meet `ratio` within 0.0005.
    ///
    /// # Errors
    /// [`MaskError::Ratio`] unless 0 < `ratio` < 1; [`MaskError::GridRatio`] when
    /// no cell that tiles the grid meets it, with the ratios that can be met.
    pub fn new(grid: Grid, ratio: f64) -> Result<Self, MaskError> {
        if !(ratio > 0.0 && ratio < 1.0) {
            return Err(MaskError::Ratio(ratio));
        }
        let (height, width) = (grid.height(), grid.width());
        // Only cells that tile the grid give every sample the same count.
        let tiles = |cell: &usize| height.is_multiple_of(*cell) && width.is_multiple_of(*cell);
        let cells = || (2..=height.min(width)).filter(tiles);
        cells()
            .find(|&cell| (ratio_of(cell) - ratio).abs() < TOLERANCE)
            .map(|cell| Self { grid, cell })
            .ok_or_else(|| MaskError::GridRatio {
                ratio,
                height,
                width,
                possible: cells().map(ratio_of).collect(),
            })
    }
}

impl MaskStrategy for GridMask {
    fn grid(&self) -> Grid {
        self.grid
    }

    fn draw(&self, stream: &mut RandomStream, mask: &mut [bool]) {
        let mut offset = || stream.below(self.cell as u64) as usize;
        let (row, column) = (offset(), offset());
        mask.fill(true);
        // Cells tile the rows of a step, so the rows of all steps can be treated as one sequence.
        for tokens in mask.chunks_exact_mut(self.grid.width()).skip(row).step_by(self.cell) {
            tokens.iter_mut().skip(column).step_by(self.cell).for_each(|masked| *masked = false);
        }
    }
}

/// The ratio with one visible token per cell.
fn ratio_of(cell: usize) -> f64 {
    1.0 - 1.0 / (cell * cell) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use bauta_streams::{Purpose, StreamKey};

    fn draw(strategy: &GridMask, sample: u64) -> Vec<bool> {
        let mut mask = vec![false; strategy.grid.tokens()];
        let key = StreamKey { seed: 0, purpose: Purpose::MASK, epoch: 0, sample };
        strategy.draw(&mut key.stream(), &mut mask);
        mask
    }

    #[test]
    fn each_cell_keeps_the_same_token() {
        let strategy = GridMask::new(Grid::image(4, 6).unwrap(), 0.75).unwrap();
        let mut layouts = std::collections::BTreeSet::new();
        for sample in 0..64 {
            let mask = draw(&strategy, sample);
            let first = (0..24).find(|&i| !mask[i]).unwrap();
            let (row, column) = (first / 6, first % 6);
            for (i, masked) in mask.into_iter().enumerate() {
                assert_eq!(!masked, i / 6 % 2 == row && i % 6 % 2 == column, "token {i}");
            }
            layouts.insert(first);
        }
        assert_eq!(layouts.len(), 4, "each place of the cell comes up");
    }

    #[test]
    fn rounded_ratios_are_understood() {
        let grid = Grid::image(9, 9).unwrap();
        for ratio in [8.0 / 9.0, 0.889, 0.8889] {
            assert_eq!(GridMask::new(grid, ratio).unwrap().cell, 3);
        }
    }

    #[test]
    fn what_cannot_be_met_is_refused() {
        let grid = Grid::image(3, 5).unwrap();
        let refused = GridMask::new(grid, 0.75).unwrap_err().to_string();
        assert!(
            refused.ends_with("no ratio fits, because its sides have no common divisor"),
            "{refused}"
        );
        assert_eq!(GridMask::new(grid, 1.0).unwrap_err(), MaskError::Ratio(1.0));
    }
}
