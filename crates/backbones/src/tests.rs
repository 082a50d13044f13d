//! Helpers of this crate's tests: random inputs by name.

use bauta_streams::{Purpose, RandomStream, StreamKey};
use tch::Tensor;

/// The random stream of the inputs with this name.
pub(crate) fn stream(name: &str) -> RandomStream {
    StreamKey { seed: 0, purpose: Purpose::named(name), epoch: 0, sample: 0 }.stream()
}

/// Standard normal numbers of this shape; equal names start with equal numbers.
pub(crate) fn normal(name: &str, shape: &[i64]) -> Tensor {
    bauta_libtorch::normal(shape, 1.0, &mut stream(name))
}
