//! A convolution followed by a batch norm, padded as in TensorFlow.

use tch::Tensor;

use crate::{Init, Scope};

/// Added to the variance in batch norms.
pub(super) const EPS: f64 = 1e-3;

/// Sizes of a convolution with square filters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub inputs: i64,
    pub outputs: i64,
    pub side: i64,
    pub stride: i64,
    pub groups: i64,
}

/// `batch_norm(convolution(x))` with fixed statistics.
#[derive(Debug)]
pub(super) struct Convolution {
    pub shape: Shape,
    /// [outputs, inputs / groups, side, side].
    pub weight: Tensor,
    pub norm: Norm,
    /// Weight and bias of both combined, after folding.
    folded: Option<(Tensor, Tensor)>,
}

/// A batch norm's scale, shift, mean and variance, each [outputs].
#[derive(Debug)]
pub(super) struct Norm {
    pub weight: Tensor,
    pub bias: Tensor,
    pub mean: Tensor,
    pub variance: Tensor,
}

impl Convolution {
    /// Adds the frozen parameters of both under their names.
    pub fn new(scope: &mut Scope<'_>, [convolution, norm]: [&str; 2], shape: Shape) -> Self {
        let Shape { inputs, outputs, side, groups, .. } = shape;
        let sizes = [outputs, inputs / groups, side, side];
        let deviation = (2.0 * groups as f64 / (outputs * side * side) as f64).sqrt();
        let weight = scope.sub(convolution).add_frozen("weight", &sizes, Init::Normal(deviation));
        let mut scope = scope.sub(norm);
        let mut add = |name, value| scope.add_frozen(name, &[outputs], Init::Constant(value));
        let norm = Norm {
            weight: add("weight", 1.0),
            bias: add("bias", 0.0),
            mean: add("running_mean", 0.0),
            variance: add("running_var", 1.0),
        };
        Self { shape, weight, norm, folded: None }
    }

    /// Stores the current result of [`fused`](Self::fused).
    pub fn fold(&mut self) {
        self.folded = Some(tch::no_grad(|| self.fused()));
    }

    /// Maps [B, inputs, H, W] to [B, outputs, ⌈H / stride⌉, ⌈W / stride⌉].
    pub fn forward(&self, x: &Tensor) -> Tensor {
        match &self.folded {
            Some((weight, bias)) => convolve(x, weight, Some(bias), self.shape),
            None => {
                let (weight, bias) = self.fused();
                convolve(x, &weight, Some(&bias), self.shape)
            }
        }
    }

    /// The same, then clamps all values to [0, 6].
    pub fn forward_relu6(&self, x: &Tensor) -> Tensor {
        self.forward(x).clamp_(0.0, 6.0)
    }

    /// The weight and bias of a single convolution that is equivalent to both.
    fn fused(&self) -> (Tensor, Tensor) {
        let Norm { weight, bias, mean, variance } = &self.norm;
        let factor = weight / (variance + EPS).sqrt();
        (&self.weight * factor.view([-1, 1, 1, 1]), bias - mean * factor)
    }
}

/// A convolution of [B, C, H, W] with ⌈length / stride⌉ outputs along each side.
pub(super) fn convolve(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, shape: Shape) -> Tensor {
    let Shape { side, stride, groups, .. } = shape;
    let (_, _, height, width) = x.size4().expect("images are [B, C, H, W]");
    let [(top, bottom), (left, right)] =
        [height, width].map(|length| same_padding(length, side, stride));
    if top == bottom && left == right {
        return x.conv2d(weight, bias, [stride; 2], [top, left], [1, 1], groups);
    }
    let padded = x.constant_pad_nd([left, right, top, bottom]);
    padded.conv2d(weight, bias, [stride; 2], [0, 0], [1, 1], groups)
}

/// TensorFlow's "SAME" padding: the fewest zeros that give ⌈length / stride⌉ outputs; of an odd
/// number, the extra one goes behind.
pub(super) fn same_padding(length: i64, side: i64, stride: i64) -> (i64, i64) {
    let outputs = (length as u64).div_ceil(stride as u64) as i64;
    let zeros = ((outputs - 1) * stride + side - length).max(0);
    (zeros / 2, zeros - zeros / 2)
}

/// The convolution without folding, as a reference for the tests.
#[cfg(test)]
impl Convolution {
    pub fn forward_unfused(&self, x: &Tensor) -> Tensor {
        let Norm { weight, bias, mean, variance } = &self.norm;
        convolve(x, &self.weight, None::<&Tensor>, self.shape).batch_norm(
            Some(weight),
            Some(bias),
            Some(mean),
            Some(variance),
            false,
            0.0,
            EPS,
            false,
        )
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn padding_is_tensorflows() {
        // (length, side, stride) → zeros before and behind, from TensorFlow's formula.
        let cases = [
            ((224, 3, 2), (0, 1)),
            ((225, 3, 2), (1, 1)),
            ((112, 5, 2), (1, 2)),
            ((7, 5, 2), (2, 2)),
            ((7, 3, 1), (1, 1)),
            ((7, 5, 1), (2, 2)),
            ((7, 1, 1), (0, 0)),
            ((1, 3, 2), (1, 1)),
            ((2, 5, 2), (1, 2)),
        ];
        for ((length, side, stride), expected) in cases {
            assert_eq!(same_padding(length, side, stride), expected, "{length}, {side}, {stride}");
        }
    }

    #[test]
    fn a_stride_of_two_begins_at_the_first_pixel_of_an_even_image() {
        let cpu = (Kind::Float, Device::Cpu);
        // 0 1 2 3
        // 4 5 6 7, and so on to 15; the filter adds up its nine pixels.
        let image = Tensor::arange(16, cpu).view([1, 1, 4, 4]);
        let ones = Tensor::ones([1, 1, 3, 3], cpu);
        let shape = Shape { inputs: 1, outputs: 1, side: 3, stride: 2, groups: 1 };
        let sums = |image: &Tensor| -> Vec<f32> {
            convolve(image, &ones, None, shape).flatten(0, -1).try_into().unwrap()
        };
        // Rows 0 to 2 and columns 0 to 2: 0+1+2+4+5+6+8+9+10 = 45; then only columns 2 and 3.
        assert_eq!(sums(&image), [45.0, 39.0, 66.0, 50.0]);
        // Three rows and columns: zeros on both sides, so the corners have four pixels each.
        let odd = image.narrow(2, 0, 3).narrow(3, 0, 3);
        assert_eq!(sums(&odd), [10.0, 14.0, 26.0, 30.0]);
        // An even number of rows by an odd number of columns.
        let mixed = image.narrow(3, 0, 3);
        assert_eq!(sums(&mixed), [27.0, 33.0, 42.0, 46.0]);
    }
}
