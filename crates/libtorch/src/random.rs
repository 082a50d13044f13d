//! Tensors of random numbers from a keyed stream, in place of libtorch's global generator.
//!
//! That generator is shared by all threads of a process, so its numbers depend on earlier draws
//! anywhere. A [`RandomStream`] gives the same numbers for the same key. Elements are drawn row
//! by row, each in the stream's double precision.

use bauta_streams::RandomStream;
use tch::Tensor;

/// Normal numbers with mean 0 and the given standard deviation: f32 of `shape`, on the CPU.
///
/// ```
/// use bauta_libtorch::normal;
/// use bauta_streams::{Purpose, StreamKey};
/// let key = StreamKey { seed: 0, purpose: Purpose::named("images"), epoch: 0, sample: 0 };
/// let images = normal(&[2, 3, 8, 8], 1.0, &mut key.stream());
/// assert_eq!(images.size(), [2, 3, 8, 8]);
/// assert_eq!(images, normal(&[2, 3, 8, 8], 1.0, &mut key.stream()));
/// ```
///
/// # Panics
/// When a side is negative.
pub fn normal(shape: &[i64], deviation: f64, stream: &mut RandomStream) -> Tensor {
    fill(shape, || (deviation * stream.normal()) as f32)
}

/// Numbers uniform in [`low`, `high`): f32 of `shape`, on the CPU. A number just below `high` can
/// round to it.
///
/// # Panics
/// When a side is negative.
pub fn uniform(shape: &[i64], low: f64, high: f64, stream: &mut RandomStream) -> Tensor {
    fill(shape, || stream.uniform_in(low, high) as f32)
}

/// Integers uniform in 0..`bound`: i64 of `shape`, on the CPU.
///
/// # Panics
/// When `bound` is 0 or beyond 2⁶³, or a side is negative.
pub fn integers(shape: &[i64], bound: u64, stream: &mut RandomStream) -> Tensor {
    fill(shape, || i64::try_from(stream.below(bound)).expect("bound is at most 2⁶³"))
}

fn fill<T: tch::kind::Element>(shape: &[i64], draw: impl FnMut() -> T) -> Tensor {
    let count = usize::try_from(shape.iter().product::<i64>()).expect("sides are not negative");
    let values: Vec<T> = std::iter::repeat_with(draw).take(count).collect();
    Tensor::from_slice(&values).view(shape)
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::tests::stream;

    #[test]
    fn elements_are_the_streams_draws_in_order() {
        let (found, mut wanted) = (normal(&[2, 3], 0.5, &mut stream("a")), stream("a"));
        assert_eq!((found.size(), found.kind()), (vec![2, 3], Kind::Float));
        let found: Vec<f32> = found.flatten(0, -1).try_into().unwrap();
        assert_eq!(found, [(); 6].map(|()| (0.5 * wanted.normal()) as f32));

        let (found, mut wanted) = (uniform(&[2, 2], -3.0, 5.0, &mut stream("b")), stream("b"));
        let found: Vec<f32> = found.flatten(0, -1).try_into().unwrap();
        assert_eq!(found, [(); 4].map(|()| wanted.uniform_in(-3.0, 5.0) as f32));

        let (found, mut wanted) = (integers(&[5], 7, &mut stream("c")), stream("c"));
        assert_eq!(found.kind(), Kind::Int64);
        let found: Vec<i64> = found.try_into().unwrap();
        assert_eq!(found, [(); 5].map(|()| wanted.below(7) as i64));
    }

    #[test]
    fn a_stream_goes_on_from_tensor_to_tensor() {
        let mut stream = stream("a");
        let [first, second] = [(); 2].map(|()| normal(&[4], 1.0, &mut stream));
        assert_ne!(first, second);
        assert_eq!(normal(&[0, 3], 1.0, &mut stream).size(), [0, 3]);
    }
}
