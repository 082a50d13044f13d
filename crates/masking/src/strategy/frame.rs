//! Frame masking (MAE-ST, table 2a, "time-only"): whole time steps are masked.

use super::{MaskStrategy, RandomMask};
use crate::{Grid, MaskError, visible_count};
use bauta_streams::RandomStream;

/// Masks whole time steps, every set of them being equally likely.
///
/// ```
/// use bauta_masking::{FrameMask, Grid, MaskPlan};
/// let clip = FrameMask::new(Grid::new(8, 14, 14)?, 0.75)?;
/// let plan = MaskPlan::draw(&clip, 0, 0, &[0])?;
/// assert_eq!(plan.visible_count(), 2 * 196);
/// assert_eq!(
///     FrameMask::new(Grid::image(14, 14)?, 0.75).unwrap_err().to_string(),
///     "ratio 0.75 leaves 0 of 1 steps of time visible; the frame strategy masks whole steps \
///      of a clip and needs at least one visible and one masked",
/// );
/// # Ok::<(), bauta_masking::MaskError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FrameMask {
    grid: Grid,
    steps: RandomMask,
}

impl FrameMask {
    /// Masks all but ⌊T · (1 − `ratio`)⌋ of the T steps.
    ///
    /// # Errors
    /// [`MaskError::Ratio`] unless 0 < `ratio` < 1; [`MaskError::Steps`] when no step would be
    /// visible or none masked, which is always the case for an image.
    pub fn new(grid: Grid, ratio: f64) -> Result<Self, MaskError> {
        let steps = grid.time();
        visible_count(steps, ratio).map_err(|error| match error {
            MaskError::Degenerate { visible, .. } => MaskError::Steps { ratio, steps, visible },
            other => other,
        })?;
        Ok(Self { grid, steps: RandomMask::new(Grid::new(steps, 1, 1)?, ratio)? })
    }
}

impl MaskStrategy for FrameMask {
    fn grid(&self) -> Grid {
        self.grid
    }

    fn draw(&self, stream: &mut RandomStream, mask: &mut [bool]) {
        let mut masked = vec![false; self.grid.time()];
        self.steps.draw(stream, &mut masked);
        let steps = mask.chunks_exact_mut(self.grid.step().tokens());
        steps.zip(masked).for_each(|(step, masked)| step.fill(masked));
    }
}
