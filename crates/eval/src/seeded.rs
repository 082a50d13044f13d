//! Random inputs of tests, from streams of their own names.

use bauta_streams::{Purpose, RandomStream, StreamKey};
use tch::Tensor;

/// The stream of a test.
pub(crate) fn stream(name: &str) -> RandomStream {
    StreamKey { seed: 0, purpose: Purpose::named(name), epoch: 0, sample: 0 }.stream()
}

/// Standard normal numbers, f32.
pub(crate) fn normal(shape: &[i64], stream: &mut RandomStream) -> Tensor {
    let count: i64 = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| stream.normal() as f32).collect();
    Tensor::from_slice(&values).view(shape)
}
