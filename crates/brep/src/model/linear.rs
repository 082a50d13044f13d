//! Linear layers initialised as in PyTorch: weight and bias uniform in ± 1/√(inputs).

use bauta_backbones::{Init, Scope};
use bauta_libtorch::linear;
use tch::Tensor;

/// `y = x · Wᵀ + b` with W `[out, in]`, b `[out]`.
#[derive(Debug)]
pub(super) struct Affine {
    weight: Tensor,
    bias: Tensor,
}

/// The bound of PyTorch's uniform initialisation.
pub(super) fn bound(inputs: i64) -> Init {
    Init::Uniform(1.0 / (inputs as f64).sqrt())
}

impl Affine {
    pub fn new(mut scope: Scope<'_>, inputs: i64, outputs: i64) -> Self {
        let weight = scope.add("weight", &[outputs, inputs], bound(inputs));
        let bias = scope.add("bias", &[outputs], bound(inputs));
        Self { weight, bias }
    }

    /// Maps `[..., in]` to `[..., out]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        apply(x, &self.weight, Some(&self.bias))
    }
}

/// A linear layer whose shapes are known to fit.
pub(super) fn apply(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    linear(x, weight, bias).unwrap_or_else(|error| panic!("{error}"))
}

/// LeakyReLU with this slope for negative values.
pub(super) fn leaky(x: &Tensor, slope: f64) -> Tensor {
    x.maximum(&(x * slope))
}
