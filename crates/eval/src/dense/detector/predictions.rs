//! The output of a detection head.

use tch::Tensor;

/// The head's output for N locations in B images.
#[derive(Debug)]
pub struct Predictions {
    /// Scores of the classes before the sigmoid, [B, N, K].
    pub classes: Tensor,
    /// Distances to the left, top, right and bottom side in pixels, [B, N, 4], positive.
    pub distances: Tensor,
    /// How central the location is, before the sigmoid, [B, N].
    pub centreness: Tensor,
}
