//! Bipartite convolution with additive attention, PyTorch Geometric's `GeneralConv` as used by the
//! authors: an element receives messages from those that bound it, weighted by a softmax over them.

use bauta_backbones::{Init, Scope};
use tch::{Kind, Tensor};

use super::Incidence;
use super::linear::{Affine, leaky};
use super::segments::{segment_softmax, segment_sum, take_rows};

/// Slope of the logits' LeakyReLU.
const SLOPE: f64 = 0.2;

/// Messages of width D from sources to destinations, with H heads.
#[derive(Debug)]
pub struct BipartiteAttention {
    message: Affine,
    edge: Affine,
    own: Affine,
    /// [1, H, D].
    attention: Tensor,
    heads: i64,
    dim: i64,
}

impl BipartiteAttention {
    /// Adds a layer for sources and destinations of these widths: `lin_msg`, `lin_edge`, `lin_self`
    /// and `att_msg`, as in PyTorch Geometric.
    pub fn new(mut scope: Scope<'_>, [from, to]: [i64; 2], dim: i64, heads: i64) -> Self {
        Self {
            message: Affine::new(scope.sub("lin_msg"), from, heads * dim),
            edge: Affine::new(scope.sub("lin_edge"), 1, heads * dim),
            own: Affine::new(scope.sub("lin_self"), to, dim),
            attention: {
                // Glorot's bound for the last two dimensions.
                let bound = (6.0 / (heads + dim) as f64).sqrt();
                scope.add("att_msg", &[1, heads, dim], Init::Uniform(bound))
            },
            heads,
            dim,
        }
    }

    /// New codes [N, D] of destinations [N, …] from sources [M, …].
    ///
    /// m = W x_from + b + W_e flag + b_e; for each head, a softmax of LeakyReLU(⟨m, att⟩) over each
    /// destination's messages; the mean over heads of the weighted sums, plus W_self x_to + b_s.
    pub fn forward(&self, from: &Tensor, to: &Tensor, incidence: &Incidence) -> Tensor {
        let (messages, weights) = self.weigh(from, to.size()[0], incidence);
        let mean = (messages * weights.unsqueeze(2)).mean_dim([1].as_slice(), false, Kind::Float);
        segment_sum(&mean, &incidence.to, to.size()[0]) + self.own.forward(to)
    }

    /// The weight of each message [n, H]; the weights of one destination and head sum to 1.
    pub fn weights(&self, from: &Tensor, to: &Tensor, incidence: &Incidence) -> Tensor {
        self.weigh(from, to.size()[0], incidence).1
    }

    /// Messages [n, H, D] and weights [n, H].
    fn weigh(&self, from: &Tensor, count: i64, incidence: &Incidence) -> (Tensor, Tensor) {
        let sent = take_rows(&self.message.forward(from), &incidence.from);
        let messages = sent + self.edge.forward(&incidence.flag);
        let messages = messages.view([-1, self.heads, self.dim]);
        let logits =
            (&messages * &self.attention).sum_dim_intlist([2].as_slice(), false, Kind::Float);
        let weights = segment_softmax(&leaky(&logits, SLOPE), &incidence.to, count);
        (messages, weights)
    }
}
