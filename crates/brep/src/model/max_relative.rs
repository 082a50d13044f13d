//! Max-relative convolution, with a residual connection: the heads' message passing, and that
//! of the authors' first encoder.

use bauta_backbones::Scope;
use tch::Tensor;

use super::linear::{Affine, leaky};
use super::segments::{occupied, segment_min, take_rows};

/// x_i + LeakyReLU(W [x_i ; max over j of (x_i - x_j)] + b).
#[derive(Debug)]
pub struct MaxRelative {
    affine: Affine,
}

impl MaxRelative {
    /// Of sources and destinations of one width.
    pub fn new(mut scope: Scope<'_>, dim: i64) -> Self {
        Self { affine: Affine::new(scope.sub("linear"), 2 * dim, dim) }
    }

    /// New codes [N, D] of destinations `to` [N, D] from `from` [M, D]; row `sent[k]` of the
    /// sources is a neighbour of `received[k]`. Without a neighbour the maximum is 0.
    pub fn forward(&self, from: &Tensor, to: &Tensor, sent: &Tensor, received: &Tensor) -> Tensor {
        let count = to.size()[0];
        // The greatest difference is that to the least neighbour.
        let least = segment_min(&take_rows(from, sent), received, count);
        let most = (to - least) * occupied(received, count);
        to + leaky(&self.affine.forward(&Tensor::cat(&[to, &most], 1)), 0.01)
    }
}
