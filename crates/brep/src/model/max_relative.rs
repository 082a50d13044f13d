//! Max-relative convolution with a residual connection: message passing of the heads and of the
//! authors' first encoder.

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
    /// Adds a layer for sources and destinations of the same width.
    pub fn new(mut scope: Scope<'_>, dim: i64) -> Self {
        Self { affine: Affine::new(scope.sub("linear"), 2 * dim, dim) }
    }

    /// New codes [N, D] of destinations `to` [N, D] from sources `from` [M, D]; source `sent[k]` is
    /// a neighbour of destination `received[k]`. Without neighbours, the maximum is 0.
    pub fn forward(&self, from: &Tensor, to: &Tensor, sent: &Tensor, received: &Tensor) -> Tensor {
        let count = to.size()[0];
        // The largest difference is that to the smallest neighbour.
        let least = segment_min(&take_rows(from, sent), received, count);
        let most = (to - least) * occupied(received, count);
        to + leaky(&self.affine.forward(&Tensor::cat(&[to, &most], 1)), 0.01)
    }
}
