//! Multi-tensor operations: one call for all parameters of a model.

use tch::Tensor;

use crate::{LibtorchError, ffi};

/// Euclidean norm over all elements of all tensors, as a scalar on their device
/// (`at::_foreach_norm`, then the norm of the norms).
///
/// # Errors
/// [`LibtorchError::Call`] with libtorch's message, for example for an empty list.
pub fn global_norm(tensors: &[Tensor]) -> Result<Tensor, LibtorchError> {
    let list = ffi::pointers(tensors);
    let mut norm = std::ptr::null_mut();
    // SAFETY: the list holds live tensors; on success the shim has written an
    // owned tensor pointer, whose ownership is taken once.
    unsafe {
        ffi::check(ffi::bauta_foreach_norm(list.as_ptr(), list.len(), &raw mut norm))?;
        Ok(Tensor::from_ptr(norm))
    }
}

/// Multiplies every tensor in place by a scalar tensor (`at::_foreach_mul_`).
///
/// # Errors
/// [`LibtorchError::Call`] with libtorch's message.
pub fn scale_all(tensors: &[Tensor], factor: &Tensor) -> Result<(), LibtorchError> {
    let list = ffi::pointers(tensors);
    // SAFETY: the list and the factor are live tensors.
    ffi::check(unsafe { ffi::bauta_foreach_mul(list.as_ptr(), list.len(), factor.as_ptr()) })
}

/// Moves every start by `weight` towards its end, in place (`at::_foreach_lerp_`).
///
/// # Errors
/// [`LibtorchError::Call`] with libtorch's message, for example for unequal shapes.
///
/// # Panics
/// When the lists differ in length.
pub fn lerp_all(starts: &[Tensor], ends: &[Tensor], weight: f64) -> Result<(), LibtorchError> {
    assert_eq!(starts.len(), ends.len(), "lerp lists must have the same length");
    let (start_list, end_list) = (ffi::pointers(starts), ffi::pointers(ends));
    // SAFETY: both lists hold live tensors and are of one length.
    ffi::check(unsafe {
        ffi::bauta_foreach_lerp(start_list.as_ptr(), end_list.as_ptr(), starts.len(), weight)
    })
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn scalar(value: f64) -> Tensor {
        Tensor::from(value as f32)
    }

    #[test]
    fn norms_scales_and_averages_go_over_all_tensors() {
        let a = [Tensor::from_slice(&[3.0_f32]), Tensor::from_slice(&[0.0_f32, 4.0])];
        assert_eq!(global_norm(&a).unwrap().double_value(&[]), 5.0);
        scale_all(&a, &scalar(0.5)).unwrap();
        assert_eq!(global_norm(&a).unwrap().double_value(&[]), 2.5);
        let b = [Tensor::from_slice(&[5.5_f32]), Tensor::from_slice(&[1.0_f32, 2.0])];
        lerp_all(&a, &b, 0.25).unwrap();
        assert_eq!(a[0].double_value(&[0]), 2.5);
        assert_eq!(a[1].double_value(&[0]), 0.25);
    }

    #[test]
    fn a_refusal_is_an_error() {
        let ends = [Tensor::ones([3], CPU)];
        let error = lerp_all(&[Tensor::ones([2], CPU)], &ends, 0.5).unwrap_err();
        assert!(error.to_string().starts_with("libtorch: "), "{error}");
    }
}
