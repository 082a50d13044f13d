//! A mixture-separating model's reconstruction of each image (i-MAE figure 1).

use bauta_masking::Grid;
use bauta_targets::{by_weight, mix};
use tch::Tensor;

use crate::picture::unit_values;
use crate::{EvalError, Picture, PictureLayout, Reconstructions};

/// Paints a group for each mixture: its visible patches, the whole mixture, then each branch's
/// true image and its reconstruction, whose visible patches are the true image's.
///
/// `sources` are u8 pixels [N, C, H, W] of the two images of each mixture, the first with
/// `share`. `predicted` holds the branches' predictions in [0, 1], subordinate before dominant;
/// a single branch predicts the subordinate image. Masks are [N, L] (1 is masked) over `grid`.
///
/// # Errors
/// As [`Reconstructions::new`], and [`EvalError::Target`] when the sources differ in shape.
pub fn mixture_sheet(
    sources: [&Tensor; 2],
    share: f64,
    predicted: &[Tensor],
    mask: &Tensor,
    grid: Grid,
    layout: &PictureLayout,
) -> Result<Picture, EvalError> {
    let first = unit_values("first images", sources[0])?;
    let second = unit_values("second images", sources[1])?;
    let mixtures = mix(&first, &second, share)?;
    let seen = Reconstructions::of_values(&mixtures, &mixtures, mask, grid)?.masked();
    let mut panels = vec![seen, mixtures];
    for (truth, predicted) in by_weight(first, second, share).into_iter().zip(predicted) {
        let pasted = Reconstructions::of_values(&truth, predicted, mask, grid)?.pasted();
        panels.extend([truth, pasted]);
    }
    Ok(layout.paint(&Tensor::stack(&panels, 1)))
}
