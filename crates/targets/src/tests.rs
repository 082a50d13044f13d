//! Helpers that the tests of this crate share: random inputs by name.

use bauta_streams::{Purpose, StreamKey};
use tch::Tensor;

/// A tensor of standard normal numbers; equal names start with equal numbers.
pub(crate) fn normal(name: &str, shape: &[i64]) -> Tensor {
    numbered(name, 0, shape)
}

/// Like [`normal`], from draw number `draw`.
pub(crate) fn numbered(name: &str, draw: u64, shape: &[i64]) -> Tensor {
    let key = StreamKey { seed: 0, purpose: Purpose::named(name), epoch: 0, sample: draw };
    bauta_libtorch::normal(shape, 1.0, &mut key.stream())
}
