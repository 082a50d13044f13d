//! Multi-head self-attention, by whichever of libtorch's kernels is the fastest here.

use tch::Tensor;

use crate::{LibtorchError, ffi};

/// Attention of H heads from packed queries, keys and values: `qkv` [B, N, 3D] to [B, N, D].
///
/// The thirds of the last dimension are queries, keys and values, each with
/// head h in columns h·D/H onwards; scores are scaled by (D/H)^−½.
///
/// Wraps `at::scaled_dot_product_attention`, except for up to 512 tokens in
/// bfloat16 on the CPU: there some heads at a time go through batched matrix
/// products (`at::bmm`) around `at::softmax`, which is two to five times as fast
/// (bench `kernels`). That path, too, keeps no [N, N] matrix for the backward
/// pass; it can be differentiated once.
///
/// # Errors
/// [`LibtorchError::Call`] when 3 · `heads` does not divide the last dimension.
pub fn attention(qkv: &Tensor, heads: i64) -> Result<Tensor, LibtorchError> {
    let mut result = std::ptr::null_mut();
    // SAFETY: the argument is a live tensor; on success the shim has written an
    // owned tensor pointer, which is taken over once.
    unsafe {
        ffi::check(ffi::bauta_attention(qkv.as_ptr(), heads, &raw mut result))?;
        Ok(Tensor::from_ptr(result))
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    /// libtorch's fused kernel.
    fn fused(qkv: &Tensor, heads: i64) -> Tensor {
        let (batch, tokens, width) = qkv.size3().unwrap();
        let dim = width / 3;
        let parts = qkv.view([batch, tokens, 3, heads, dim / heads]).permute([2, 0, 3, 1, 4]);
        let part = |index| parts.select(0, index);
        let none = None::<Tensor>;
        let (q, k, v) = (part(0), part(1), part(2));
        Tensor::scaled_dot_product_attention(&q, &k, &v, none, 0.0, false, None, false)
            .transpose(1, 2)
            .reshape([batch, tokens, dim])
    }

    fn gradient(y: &Tensor, weights: &Tensor, qkv: &Tensor) -> Tensor {
        let sum = (y.to_kind(Kind::Float) * weights).sum(Kind::Float);
        Tensor::run_backward(&[sum], &[qkv], false, false).remove(0).to_kind(Kind::Float)
    }

    /// The largest difference as a share of the largest value.
    fn off(found: &Tensor, wanted: &Tensor) -> f64 {
        let largest = |x: &Tensor| x.abs().max().double_value(&[]);
        largest(&(found.to_kind(Kind::Float) - wanted)) / largest(wanted)
    }

    #[test]
    fn single_precision_is_the_fused_kernel() {
        let qkv = Tensor::randn([2, 17, 3 * 24], CPU);
        assert_eq!(attention(&qkv, 3).unwrap(), fused(&qkv, 3));
    }

    #[test]
    fn bfloat16_values_and_gradients_are_as_near_as_its_digits() {
        // More heads than a group holds, and more tokens than are grouped.
        for (samples, tokens) in [(1, 1), (50, 17), (5, 197), (1, 513)] {
            let exact = Tensor::randn([samples, tokens, 3 * 24], CPU);
            let qkv = exact.to_kind(Kind::BFloat16).set_requires_grad(true);
            let exact = qkv.detach().to_kind(Kind::Float).set_requires_grad(true);
            let (found, wanted) = (attention(&qkv, 3).unwrap(), fused(&exact, 3));
            assert_eq!(found.size(), [samples, tokens, 24]);
            assert_eq!(found.kind(), Kind::BFloat16);
            let weights = Tensor::randn_like(&wanted);
            let forward = off(&found, &wanted.detach());
            let backward =
                off(&gradient(&found, &weights, &qkv), &gradient(&wanted, &weights, &exact));
            assert!(forward < 0.02 && backward < 0.02, "{tokens}: {forward}, {backward}");
        }
    }

    #[test]
    fn heads_that_do_not_fit_are_an_error() {
        let message = attention(&Tensor::ones([1, 2, 30], CPU), 4).unwrap_err().to_string();
        assert!(message.contains("4 heads") && message.contains("[1, 2, 30]"), "{message}");
    }
}
