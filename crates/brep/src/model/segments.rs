//! Sums, extremes and softmax over the rows of each destination, for all destinations at once,
//! without a loop over the varying incidences of parts.

use tch::{Kind, Tensor};

/// Rows of `x` [N, …] at `index` `[n]`.
///
/// The backward pass of an embedding adds rows faster than that of `index_select`.
pub fn take_rows(x: &Tensor, index: &Tensor) -> Tensor {
    Tensor::embedding(x, index, -1, false, false)
}

/// Sums rows of `x` [n, D] by their destination `to` `[n]`, giving [count, D].
pub fn segment_sum(x: &Tensor, to: &Tensor, count: i64) -> Tensor {
    let index = to.unsqueeze(1).expand_as(x);
    Tensor::zeros([count, x.size()[1]], (x.kind(), x.device())).scatter_add(0, &index, x)
}

/// The maximum of each column of `x` [n, D] by destination; 0 for a destination without rows.
pub fn segment_max(x: &Tensor, to: &Tensor, count: i64) -> Tensor {
    extreme(x, to, count, "amax")
}

/// The minimum of each column of `x` [n, D] by destination; 0 for a destination without rows.
pub fn segment_min(x: &Tensor, to: &Tensor, count: i64) -> Tensor {
    extreme(x, to, count, "amin")
}

fn extreme(x: &Tensor, to: &Tensor, count: i64, which: &str) -> Tensor {
    let index = to.unsqueeze(1).expand_as(x);
    let zeros = Tensor::zeros([count, x.size()[1]], (x.kind(), x.device()));
    zeros.internal_scatter_reduce(0, &index, x, which, false)
}

/// Softmax of each column of `logits` [n, H] over the rows of each destination.
pub fn segment_softmax(logits: &Tensor, to: &Tensor, count: i64) -> Tensor {
    let greatest = segment_max(&logits.detach(), to, count);
    let powers = (logits - take_rows(&greatest, to)).exp();
    let sums = segment_sum(&powers, to, count);
    powers / take_rows(&sums, to)
}

/// 1 for each destination that has rows, else 0, as [count, 1].
pub(super) fn occupied(to: &Tensor, count: i64) -> Tensor {
    let ones = Tensor::ones([to.size()[0], 1], (Kind::Float, to.device()));
    segment_sum(&ones, to, count).clamp_max(1.0)
}
