//! Host arrays as tensors.

use ndarray::{Array, Dimension};
use tch::Tensor;

/// Bytes of a batch, pixels [B, C, H, W] or labels [B, H, W], as a u8 tensor of the same
/// shape on the host.
///
/// ```
/// let pixels = ndarray::Array4::<u8>::from_elem((2, 3, 4, 5), 7);
/// assert_eq!(bauta_train::host_tensor(&pixels).size(), [2, 3, 4, 5]);
/// ```
pub fn host_tensor<D: Dimension>(bytes: &Array<u8, D>) -> Tensor {
    let shape: Vec<i64> = bytes.shape().iter().map(|&side| side as i64).collect();
    let bytes = bytes.as_standard_layout();
    let flat = bytes.as_slice().expect("the standard layout is one slice");
    Tensor::from_slice(flat).view(shape.as_slice())
}
