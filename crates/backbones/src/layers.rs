//! Linear layer, layer norm and activation: the smallest parts of a transformer.

use bauta_libtorch::linear;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::{Init, Scope};

/// `y = x · Wᵀ + b` with W `[out, in]`, b `[out]`.
#[derive(Debug)]
pub struct Linear {
    /// Weight `[out, in]`.
    pub weight: Tensor,
    /// Bias `[out]`.
    pub bias: Option<Tensor>,
}

impl Linear {
    /// Adds `weight` (Xavier uniform on the whole matrix) and `bias` (zero).
    pub fn new(scope: Scope<'_>, inputs: usize, outputs: usize, bias: bool) -> Self {
        Self::starting(scope, inputs, outputs, Init::XavierUniform, bias)
    }

    /// Adds `weight`, initialised with `init`, and `bias` (zero).
    pub fn starting(
        mut scope: Scope<'_>,
        inputs: usize,
        outputs: usize,
        init: Init,
        bias: bool,
    ) -> Self {
        let (inputs, outputs) = (inputs as i64, outputs as i64);
        Self {
            weight: scope.add("weight", &[outputs, inputs], init),
            bias: bias.then(|| scope.add("bias", &[outputs], Init::Constant(0.0))),
        }
    }

    /// Maps `[..., in]` to `[..., out]`.
    ///
    /// # Panics
    /// When the last dimension of `x` is not `in`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        linear(x, &self.weight, self.bias.as_ref()).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Normalises the last dimension to mean 0 and variance 1, then scales and shifts.
#[derive(Debug)]
pub struct LayerNorm {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    pub(crate) dim: i64,
    pub(crate) eps: f64,
}

impl LayerNorm {
    /// Adds `weight` (one) and `bias` (zero), both `[dim]`.
    pub fn new(mut scope: Scope<'_>, dim: usize, eps: f64) -> Self {
        let dim = dim as i64;
        Self {
            weight: scope.add("weight", &[dim], Init::Constant(1.0)),
            bias: scope.add("bias", &[dim], Init::Constant(0.0)),
            dim,
            eps,
        }
    }

    /// Normalises `[..., dim]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm([self.dim], Some(&self.weight), Some(&self.bias), self.eps, false)
    }
}

/// The nonlinearity of a block's MLP, by the names of Hugging Face's `hidden_act`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// x · Φ(x), with the error function.
    #[default]
    #[serde(rename = "gelu")]
    Gelu,
    /// GELU in its tanh approximation.
    #[serde(rename = "gelu_pytorch_tanh", alias = "gelu_new", alias = "gelu_fast")]
    GeluTanh,
    /// x · σ(1.702 x).
    #[serde(rename = "quick_gelu")]
    QuickGelu,
    /// max(x, 0).
    #[serde(rename = "relu")]
    Relu,
    /// x · σ(x).
    #[serde(rename = "silu", alias = "swish")]
    Silu,
}

impl Activation {
    /// Applies the function to each element.
    pub fn forward(self, x: &Tensor) -> Tensor {
        match self {
            Self::Gelu => x.gelu("none"),
            Self::GeluTanh => x.gelu("tanh"),
            Self::QuickGelu => x * (x * 1.702).sigmoid(),
            Self::Relu => x.relu(),
            Self::Silu => x.silu(),
        }
    }
}
