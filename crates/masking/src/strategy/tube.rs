//! Tube masking (MAE-ST, table 2a, "space-only"): a position is masked for the whole clip or not at
//! all.

use super::{MaskStrategy, RandomMask};
use crate::{Grid, MaskError};
use bauta_streams::RandomStream;

/// Masks the same tokens in every time step, every set of positions being equally likely.
///
/// ⌊S · (1 − r)⌋ of the S positions of a step stay visible, so that only whole tubes do: 19 of
/// 14 × 14 positions at ratio 0.9. The code of MAE-ST's authors instead orders tied noise over all
/// tokens, and cuts the last tube wherever the sort happens to place it. For an image this is
/// [`RandomMask`].
///
/// ```
/// use bauta_masking::{Grid, MaskPlan, TubeMask};
/// let clip = TubeMask::new(Grid::new(8, 14, 14)?, 0.9)?;
/// let plan = MaskPlan::draw(&clip, 0, 0, &[0])?;
/// assert_eq!(plan.visible_count(), 19 * 8);
/// # Ok::<(), bauta_masking::MaskError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TubeMask {
    grid: Grid,
    step: RandomMask,
}

impl TubeMask {
    /// Masks all but ⌊S · (1 − `ratio`)⌋ positions.
    ///
    /// # Errors
    /// As [`crate::visible_count`], for the tokens of one step.
    pub fn new(grid: Grid, ratio: f64) -> Result<Self, MaskError> {
        Ok(Self { grid, step: RandomMask::new(grid.step(), ratio)? })
    }
}

impl MaskStrategy for TubeMask {
    fn grid(&self) -> Grid {
        self.grid
    }

    fn draw(&self, stream: &mut RandomStream, mask: &mut [bool]) {
        let (first, others) = mask.split_at_mut(self.step.grid().tokens());
        self.step.draw(stream, first);
        others.chunks_exact_mut(first.len()).for_each(|step| step.copy_from_slice(first));
    }
}
