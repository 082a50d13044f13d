//! Multi-head self-attention, using the fastest of libtorch's kernels.

use tch::Tensor;

use crate::{LibtorchError, ffi};

/// Attention of H heads from packed queries, keys and values: `qkv` [B, N, 3D] to [B, N, D].
///
/// The thirds of the last dimension are queries, keys and values, each with
/// head h in columns h·D/H onwards; scores are scaled by (D/H)^−½, and `bias`
/// [1, H, N, N], rounded to the kind of number of `qkv`, is added to them.
///
/// Wraps `at::scaled_dot_product_attention`, except for up to 512 tokens on the CPU
/// in bfloat16 or with a bias: there groups of samples, one head at a time, go through batched
/// matrix products (`at::bmm`) around `at::softmax`, which is two to five times as
/// fast (bench `kernels`). That path also keeps no [N, N] matrix of a sample for
/// the backward pass; it can be differentiated once, and refuses a backward pass that records a graph
/// for second derivatives.
///
/// # Errors
/// [`LibtorchError::Call`] when 3 · `heads` does not divide the last dimension, or the bias
/// has another shape.
pub fn attention(qkv: &Tensor, heads: i64, bias: Option<&Tensor>) -> Result<Tensor, LibtorchError> {
    let mut result = std::ptr::null_mut();
    // SAFETY: the arguments are live tensors or null; on success the shim has written an
    // owned tensor pointer, whose ownership is taken once.
    unsafe {
        let bias = bias.map_or(std::ptr::null(), Tensor::as_ptr);
        ffi::check(ffi::bauta_attention(qkv.as_ptr(), heads, bias, &raw mut result))?;
        Ok(Tensor::from_ptr(result))
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::tests::normal;

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    /// libtorch's own attention.
    fn libtorchs(qkv: &Tensor, heads: i64, bias: Option<&Tensor>) -> Tensor {
        let (batch, tokens, width) = qkv.size3().unwrap();
        let dim = width / 3;
        let parts = qkv.view([batch, tokens, 3, heads, dim / heads]).permute([2, 0, 3, 1, 4]);
        let part = |index| parts.select(0, index);
        let (q, k, v) = (part(0), part(1), part(2));
        Tensor::scaled_dot_product_attention(&q, &k, &v, bias, 0.0, false, None, false)
            .transpose(1, 2)
            .reshape([batch, tokens, dim])
    }

    fn gradients(y: &Tensor, weights: &Tensor, inputs: &[&Tensor]) -> Vec<Tensor> {
        let sum = (y.to_kind(Kind::Float) * weights).sum(Kind::Float);
        Tensor::run_backward(&[sum], inputs, false, false)
    }

    /// The largest difference as a share of the largest value; values that should be 0 must be 0.
    fn off(found: &Tensor, wanted: &Tensor) -> f64 {
        let largest = |x: &Tensor| x.abs().max().double_value(&[]);
        largest(&(found.to_kind(Kind::Float) - wanted)) / largest(wanted).max(f64::MIN_POSITIVE)
    }

    #[test]
    fn single_precision_is_the_fused_kernel() {
        let qkv = normal("qkv", &[2, 17, 3 * 24]);
        assert_eq!(attention(&qkv, 3, None).unwrap(), libtorchs(&qkv, 3, None));
    }

    #[test]
    fn values_and_gradients_are_as_near_as_their_digits() {
        // More samples than a group holds, and more tokens than are grouped.
        for (samples, tokens) in [(1, 1), (150, 17), (5, 197), (1, 513)] {
            for (kind, biased, allowed) in [
                (Kind::BFloat16, false, 0.02),
                (Kind::BFloat16, true, 0.02),
                (Kind::Float, true, 1e-5),
            ] {
                let of_kind = |x: Tensor| x.to_kind(kind).set_requires_grad(true);
                let exact = |x: &Tensor| x.detach().to_kind(Kind::Float).set_requires_grad(true);
                let qkv = of_kind(normal("qkv", &[samples, tokens, 3 * 24]));
                let bias = biased.then(|| of_kind(normal("bias", &[1, 3, tokens, tokens])));
                let (exact_qkv, exact_bias) = (exact(&qkv), bias.as_ref().map(exact));

                let found = attention(&qkv, 3, bias.as_ref()).unwrap();
                let wanted = libtorchs(&exact_qkv, 3, exact_bias.as_ref());
                assert_eq!(found.size(), [samples, tokens, 24]);
                assert_eq!(found.kind(), kind);
                let case = format!("{samples} x {tokens} {kind:?}, biased: {biased}");
                let error = off(&found, &wanted.detach());
                assert!(error < allowed, "{case}: off by {error}");

                let weights = normal("weights", &wanted.size());
                let inputs: Vec<&Tensor> =
                    [Some(&qkv), bias.as_ref()].into_iter().flatten().collect();
                let exact: Vec<&Tensor> =
                    [Some(&exact_qkv), exact_bias.as_ref()].into_iter().flatten().collect();
                let found = gradients(&found, &weights, &inputs);
                let wanted = gradients(&wanted, &weights, &exact);
                for (found, wanted) in found.iter().zip(&wanted) {
                    let error = off(found, wanted);
                    assert!(error < allowed, "{case}: gradient off by {error}");
                }
            }
        }
    }

    #[test]
    fn a_bias_without_gradient_gets_none() {
        let qkv = normal("qkv", &[2, 5, 12]).set_requires_grad(true);
        let bias = normal("bias", &[1, 2, 5, 5]);
        attention(&qkv, 2, Some(&bias)).unwrap().sum(Kind::Float).backward();
        assert!(qkv.grad().defined() && !bias.grad().defined());
    }

    #[test]
    fn a_second_derivative_is_refused_where_it_would_be_wrong() {
        let qkv = normal("qkv", &[2, 5, 12]).set_requires_grad(true);
        let bias = normal("bias", &[1, 2, 5, 5]);
        let y = attention(&qkv, 2, Some(&bias)).unwrap().square().sum(Kind::Float);
        let told = Tensor::f_run_backward(&[y], &[qkv], false, true).unwrap_err().to_string();
        assert!(told.contains("differentiated once"), "{told}");
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let qkv = Tensor::ones([1, 2, 30], CPU);
        let message = attention(&qkv, 4, None).unwrap_err().to_string();
        assert!(message.contains("4 heads") && message.contains("[1, 2, 30]"), "{message}");
        let bias = Tensor::ones([1, 2, 3, 3], CPU);
        let message = attention(&qkv, 2, Some(&bias)).unwrap_err().to_string();
        assert!(message.contains("[1, 2, 2, 2], got [1, 2, 3, 3]"), "{message}");
    }
}
