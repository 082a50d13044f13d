//! Helpers that the tests of this crate share: random inputs by name.

use bauta_streams::{Purpose, RandomStream, StreamKey};
use tch::Tensor;

/// The random stream of the inputs called `name`.
pub(crate) fn stream(name: &str) -> RandomStream {
    StreamKey { seed: 0, purpose: Purpose::named(name), epoch: 0, sample: 0 }.stream()
}

/// A tensor of standard normal numbers; equal names start with equal numbers.
pub(crate) fn normal(name: &str, shape: &[i64]) -> Tensor {
    crate::normal(shape, 1.0, &mut stream(name))
}
