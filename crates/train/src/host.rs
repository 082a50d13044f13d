//! Host arrays as tensors.

use bauta_data::Pixels;
use ndarray::{Array, Dimension};
use tch::Tensor;

/// An array of a batch's numbers that [`host_tensor`] can convert.
pub trait HostArray {
    /// The same numbers as a tensor of their shape and type.
    fn tensor(&self) -> Tensor;
}

impl<T: tch::kind::Element, D: Dimension> HostArray for Array<T, D> {
    fn tensor(&self) -> Tensor {
        let shape: Vec<i64> = self.shape().iter().map(|&side| side as i64).collect();
        let numbers = self.as_standard_layout();
        let flat = numbers.as_slice().expect("the standard layout is one slice");
        Tensor::from_slice(flat).view(shape.as_slice())
    }
}

impl HostArray for Pixels {
    fn tensor(&self) -> Tensor {
        match self {
            Self::Bytes(pixels) => pixels.tensor(),
            Self::Values(pixels) => pixels.tensor(),
        }
    }
}

/// Numbers of a batch, pixels [B, C, H, W] or labels [B, H, W], as a tensor of the same shape
/// on the host: u8 for bytes, f32 for other pixels.
///
/// ```
/// let pixels = ndarray::Array4::<u8>::from_elem((2, 3, 4, 5), 7);
/// assert_eq!(bauta_train::host_tensor(&pixels).size(), [2, 3, 4, 5]);
/// ```
pub fn host_tensor(numbers: &impl HostArray) -> Tensor {
    numbers.tensor()
}
