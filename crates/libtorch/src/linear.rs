//! The linear layer, using the fastest of libtorch's kernels.

use tch::Tensor;

use crate::{LibtorchError, ffi};

/// `x · weightᵀ + bias`, `[..., out]`, for x `[..., in]`, weight `[out, in]` and bias `[out]`.
///
/// Wraps `at::linear`, except in single precision on the CPU: there forward and
/// backward products run in oneDNN (`mkldnn::_linear_pointwise`), which is
/// about twice as fast as the BLAS that libtorch chooses by itself on processors
/// that are not Intel's. That path can be differentiated once: a backward pass that records a graph
/// for second derivatives is refused there.
///
/// # Errors
/// [`LibtorchError::Call`] with libtorch's message, for example for shapes that do not fit.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, LibtorchError> {
    let mut result = std::ptr::null_mut();
    // SAFETY: the arguments are live tensors or null; on success the shim has
    // written an owned tensor pointer, whose ownership is taken once.
    unsafe {
        ffi::check(ffi::bauta_linear(
            x.as_ptr(),
            weight.as_ptr(),
            bias.map_or(std::ptr::null(), Tensor::as_ptr),
            &raw mut result,
        ))?;
        Ok(Tensor::from_ptr(result))
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::Autocast;
    use crate::tests::normal;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn assert_close(found: &Tensor, wanted: &Tensor) {
        assert_eq!(found.size(), wanted.size());
        assert_eq!(found.kind(), wanted.kind());
        let off = (found - wanted).abs().max().double_value(&[]);
        assert!(off < 1e-4, "off by {off}");
    }

    #[test]
    fn values_and_gradients_equal_libtorchs() {
        // Wide and narrow outputs, batches, and inputs that are not contiguous.
        for (shape, outputs, bias) in [
            ([4, 9, 16].as_slice(), 48, true),
            (&[36, 48], 16, true),
            (&[3, 5, 7], 2, false),
            (&[1, 8], 8, false),
        ] {
            let x = normal("x", shape).transpose(0, 1).contiguous().transpose(0, 1);
            let x = x.set_requires_grad(true);
            let w = normal("w", &[outputs, *shape.last().unwrap()]).set_requires_grad(true);
            let b = bias.then(|| normal("b", &[outputs]).set_requires_grad(true));
            let found = linear(&x, &w, b.as_ref()).unwrap();
            let wanted = x.linear(&w, b.as_ref());
            assert_close(&found, &wanted);
            let inputs: Vec<Tensor> = [Some(x), Some(w), b].into_iter().flatten().collect();
            let weights = normal("weights", &wanted.size());
            let gradients = |y: Tensor| {
                Tensor::run_backward(&[(y * &weights).sum(Kind::Float)], &inputs, false, false)
            };
            for (found, wanted) in gradients(found).iter().zip(gradients(wanted)) {
                assert_close(found, &wanted);
            }
        }
    }

    #[test]
    fn inputs_without_gradient_get_none() {
        let x = normal("x", &[4, 3]);
        let w = normal("w", &[2, 3]).set_requires_grad(true);
        linear(&x, &w, None).unwrap().sum(Kind::Float).backward();
        assert_close(
            &w.grad(),
            &x.sum_dim_intlist([0].as_slice(), false, None).expand([2, 3], false),
        );
    }

    #[test]
    fn autocast_still_casts() {
        let x = normal("x", &[4, 3]);
        let w = normal("w", &[2, 3]);
        let _guard = Autocast::bf16(Device::Cpu).unwrap();
        assert_eq!(linear(&x, &w, None).unwrap().kind(), Kind::BFloat16);
    }

    #[test]
    fn a_second_derivative_is_refused() {
        let x = normal("x", &[4, 3]).set_requires_grad(true);
        let y = linear(&x, &normal("w", &[2, 3]), None).unwrap().square().sum(Kind::Float);
        let told = Tensor::f_run_backward(&[y], &[x], false, true).unwrap_err().to_string();
        assert!(told.contains("differentiated once"), "{told}");
    }

    #[test]
    fn shapes_that_do_not_fit_are_an_error() {
        assert!(linear(&Tensor::ones([4, 3], CPU), &Tensor::ones([2, 5], CPU), None).is_err());
    }
}
