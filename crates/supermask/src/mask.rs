//! Exact masks from scores, and the gradient through them.

use tch::{Kind, Tensor};

use crate::Density;

/// The mask of a layer's scores: 1 at the largest |score|, 0 elsewhere; f32 of their shape.
///
/// Exactly [`Density::kept`] entries are 1. Among equal |score|, the first ones in row-major order
/// are dropped first, as in a stable ascending sort; so the mask depends only on the scores, on any
/// device, and is the same for c · S with c > 0 and for −S.
///
/// ```
/// use bauta_supermask::{Density, top_mask};
/// use tch::Tensor;
/// let scores = Tensor::from_slice(&[0.1_f32, -0.7, 0.3, 0.3]);
/// let mask = top_mask(&scores, Density::new(0.5)?);
/// assert_eq!(Vec::<f32>::try_from(&mask)?, [0.0, 1.0, 0.0, 1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn top_mask(scores: &Tensor, density: Density) -> Tensor {
    let sizes = scores.detach().abs().flatten(0, -1);
    let n = sizes.numel();
    let dropped = (n - density.kept(n)) as i64;
    if dropped == 0 {
        return scores.detach().ones_like();
    }
    // The largest value to drop: everything below it goes, and as many of its equals as needed.
    // Selecting takes linear time, while sorting would take longer than the layer itself.
    let (border, _) = sizes.kthvalue(dropped, 0, false);
    let equal = sizes.eq_tensor(&border);
    let missing = -sizes.lt_tensor(&border).sum(Kind::Int64) + dropped;
    let late = equal.cumsum(0, Kind::Int64).gt_tensor(&missing);
    let kept = sizes.gt_tensor(&border).logical_or(&equal.logical_and(&late));
    kept.to_kind(scores.kind()).view_as(scores)
}

/// The same mask with the gradient of |S|: dL/dS = sign(S) ⊙ dL/dmask, for kept and dropped entries
/// alike.
///
/// The value is exactly 0 or 1: the term added to the mask is exactly zero.
pub fn straight_through(scores: &Tensor, density: Density) -> Tensor {
    let sizes = scores.abs();
    let pass = &sizes - sizes.detach();
    top_mask(scores, density) + pass
}

/// The exclusive part: 1 where `mask` is 1 and `earlier`, the union of the masks of earlier tasks,
/// is 0.
pub fn exclusive(mask: &Tensor, earlier: Option<&Tensor>) -> Tensor {
    earlier.map_or_else(|| mask.copy(), |earlier| mask * (-earlier + 1.0))
}
