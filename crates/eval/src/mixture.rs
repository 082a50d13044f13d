//! What a model that takes mixtures apart made of each image (i-MAE figure 1).

use bauta_masking::Grid;
use tch::Tensor;

use crate::{EvalError, Picture, PictureLayout, Reconstructions};

/// Paints a group for each mixture: what the encoder saw of it, the mixture itself, then each
/// branch's true image and its reconstruction, whose visible patches are the true image's.
///
/// Mixtures, and `(truth, prediction)` of each branch, are [N, C, H, W] in [0, 1]; masks are
/// [N, L] (1 is masked) over `grid`.
///
/// # Errors
/// As [`Reconstructions::new`].
pub fn mixture_sheet(
    mixtures: &Tensor,
    branches: &[(Tensor, Tensor)],
    mask: &Tensor,
    grid: Grid,
    layout: &PictureLayout,
) -> Result<Picture, EvalError> {
    let seen = Reconstructions::new(mixtures, mixtures, mask, grid)?.masked();
    let mut panels = vec![seen, mixtures.shallow_clone()];
    for (truth, predicted) in branches {
        let pasted = Reconstructions::new(truth, predicted, mask, grid)?.pasted();
        panels.extend([truth.shallow_clone(), pasted]);
    }
    Ok(layout.paint(&Tensor::stack(&panels, 1)))
}
