//! Convolutions of dense heads, with their norms, and bilinear resizing.

use bauta_backbones::{Init, Scope};
use tch::Tensor;

/// Channels that are normalised together.
const GROUP: i64 = 8;

/// A convolution of stride 1 that keeps height and width.
#[derive(Debug)]
pub(super) struct Convolution {
    weight: Tensor,
    bias: Option<Tensor>,
    margin: i64,
}

impl Convolution {
    /// Adds `weight` [out, in, k, k] (Xavier uniform) and, if wanted, `bias` (zero).
    pub(super) fn new(
        mut scope: Scope<'_>,
        inputs: usize,
        outputs: usize,
        kernel: i64,
        bias: bool,
    ) -> Self {
        let (inputs, outputs) = (inputs as i64, outputs as i64);
        Self {
            weight: scope.add("weight", &[outputs, inputs, kernel, kernel], Init::XavierUniform),
            bias: bias.then(|| scope.add("bias", &[outputs], Init::Constant(0.0))),
            margin: kernel / 2,
        }
    }

    /// Maps [B, in, H, W] to [B, out, H, W].
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let margin = [self.margin; 2];
        x.conv2d(&self.weight, self.bias.as_ref(), [1, 1], margin, [1, 1], 1)
    }
}

/// A convolution without bias, group norm and ReLU.
#[derive(Debug)]
pub(super) struct ConvNorm {
    conv: Convolution,
    scale: Tensor,
    shift: Tensor,
}

impl ConvNorm {
    /// Adds `conv.weight`, and `norm.weight` and `norm.bias` over `outputs` channels, a
    /// multiple of 8.
    pub(super) fn new(mut scope: Scope<'_>, inputs: usize, outputs: usize, kernel: i64) -> Self {
        let conv = Convolution::new(scope.sub("conv"), inputs, outputs, kernel, false);
        let mut norm = scope.sub("norm");
        let sides = [outputs as i64];
        Self {
            conv,
            scale: norm.add("weight", &sides, Init::Constant(1.0)),
            shift: norm.add("bias", &sides, Init::Constant(0.0)),
        }
    }

    /// Maps [B, in, H, W] to [B, out, H, W].
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let groups = self.scale.numel() as i64 / GROUP;
        let (scale, shift) = (Some(&self.scale), Some(&self.shift));
        self.conv.forward(x).group_norm(groups, scale, shift, 1e-5, false).relu()
    }
}

/// A transposed convolution that doubles height and width.
#[derive(Debug)]
pub(super) struct Enlarging {
    weight: Tensor,
    bias: Tensor,
}

impl Enlarging {
    /// Adds `weight` [dim, dim, 2, 2] (Xavier uniform) and `bias` (zero).
    pub(super) fn new(mut scope: Scope<'_>, dim: usize) -> Self {
        let dim = dim as i64;
        Self {
            weight: scope.add("weight", &[dim, dim, 2, 2], Init::XavierUniform),
            bias: scope.add("bias", &[dim], Init::Constant(0.0)),
        }
    }

    /// Maps [B, D, H, W] to [B, D, 2H, 2W].
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        x.conv_transpose2d(&self.weight, Some(&self.bias), [2, 2], [0, 0], [0, 0], 1, [1, 1])
    }
}

/// Resizes [B, C, H, W] bilinearly, without aligned corners.
pub(super) fn bilinear(map: &Tensor, size: [i64; 2]) -> Tensor {
    map.upsample_bilinear2d(size, false, None, None)
}
