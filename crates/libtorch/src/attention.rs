//! Multi-head self-attention, by whichever of libtorch's kernels is the fastest here.

use tch::Tensor;

use crate::{LibtorchError, ffi};

/// Attention of H heads from packed queries, keys and values: `qkv` [B, N, 3D] to [B, N, D].
///
/// The thirds of the last dimension are queries, keys and values, each with
/// head h in columns h·D/H onwards; scores are scaled by (D/H)^−½.
///
/// Wraps `at::scaled_dot_product_attention`, except for up to 512 tokens on
/// the CPU: there some heads at a time go through batched matrix products
/// (`at::bmm`) around `at::softmax`, which is faster, several times so for
/// bfloat16 gradients. That path, too, keeps no [N, N] matrix for the backward
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

    #[test]
    fn values_and_gradients_equal_the_fused_kernels() {
        for tokens in [1, 17, 197, 513] {
            let qkv = (Tensor::randn([5, tokens, 3 * 24], CPU) * 2.0).set_requires_grad(true);
            let found = attention(&qkv, 3).unwrap();
            let wanted = fused(&qkv, 3);
            assert_eq!(found.size(), [5, tokens, 24]);
            assert!((&found - &wanted).abs().max().double_value(&[]) < 1e-5);
            let weights = Tensor::randn_like(&found);
            let gradient = |y: Tensor| {
                let sum = (y * &weights).sum(Kind::Float);
                Tensor::run_backward(&[sum], &[&qkv], false, false).remove(0)
            };
            let (found, wanted) = (gradient(found), gradient(wanted));
            let largest = |x: &Tensor| x.abs().max().double_value(&[]);
            let off = largest(&(found - &wanted)) / largest(&wanted);
            assert!(off < 1e-5, "{tokens} tokens: gradient off by {off:.0e}");
        }
    }

    #[test]
    fn bfloat16_stays_near_single_precision() {
        let qkv = Tensor::randn([2, 17, 3 * 24], CPU);
        let wanted = fused(&qkv, 3);
        let found = attention(&qkv.to_kind(Kind::BFloat16), 3).unwrap();
        assert_eq!(found.kind(), Kind::BFloat16);
        assert!((found.to_kind(Kind::Float) - wanted).abs().max().double_value(&[]) < 0.05);
    }

    #[test]
    fn heads_that_do_not_fit_are_an_error() {
        let message = attention(&Tensor::ones([1, 2, 30], CPU), 4).unwrap_err().to_string();
        assert!(message.contains("4 heads") && message.contains("[1, 2, 30]"), "{message}");
    }
}
