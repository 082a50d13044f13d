//! What the tests of this crate share: random inputs by name.

use bauta_streams::{Purpose, RandomStream, StreamKey};
use tch::Tensor;

/// The stream of the inputs of this name.
pub(crate) fn stream(name: &str) -> RandomStream {
    StreamKey { seed: 0, purpose: Purpose::named(name), epoch: 0, sample: 0 }.stream()
}

/// Standard normal numbers of this shape; equal names begin with equal numbers.
pub(crate) fn normal(name: &str, shape: &[i64]) -> Tensor {
    bauta_libtorch::normal(shape, 1.0, &mut stream(name))
}
