//! The decoder: maps a face's code and a point (u, v) of its unit square to the surface's point
//! there and the signed distance to the trim (paper, equation 1).

use bauta_backbones::{Init, Scope};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::linear::{apply, bound};

/// Number of decoded values: x, y, z, d.
const OUTPUTS: i64 = 4;

/// Sizes of a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderConfig {
    /// Width of a hidden layer.
    pub dim: i64,
    /// Number of linear layers, at least 2.
    pub depth: i64,
}

/// A linear layer with weight normalisation: each row of its weight is g · v / |v|.
#[derive(Debug)]
pub struct WeightNormLinear {
    direction: Tensor,
    length: Tensor,
    bias: Tensor,
}

impl WeightNormLinear {
    /// Adds `weight_v` [out, in], `weight_g` [out, 1] and `bias` `[out]`, initialised so that the
    /// weight is distributed as in PyTorch.
    pub fn new(mut scope: Scope<'_>, inputs: i64, outputs: i64) -> Self {
        let direction = scope.add("weight_v", &[outputs, inputs], bound(inputs));
        let lengths = lengths(&direction.detach()).flatten(0, -1);
        let lengths = Vec::<f32>::try_from(&lengths).expect("a vector of floats");
        let length = scope.add("weight_g", &[outputs, 1], Init::Values(lengths));
        let bias = scope.add("bias", &[outputs], bound(inputs));
        Self { direction, length, bias }
    }

    /// The weight [out, in].
    pub fn weight(&self) -> Tensor {
        &self.direction * (&self.length / lengths(&self.direction))
    }
}

/// The length of each row [out, 1].
fn lengths(rows: &Tensor) -> Tensor {
    rows.square().sum_dim_intlist([1].as_slice(), true, Kind::Float).sqrt()
}

/// A multilayer perceptron that receives its whole input again at every layer.
#[derive(Debug)]
pub struct SurfaceDecoder {
    layers: Vec<WeightNormLinear>,
    code: i64,
}

impl SurfaceDecoder {
    /// Adds the decoder's parameters, for codes of this width.
    ///
    /// # Panics
    /// When the depth is below 2.
    pub fn new(mut scope: Scope<'_>, config: &DecoderConfig, code: i64) -> Self {
        let DecoderConfig { dim, depth } = *config;
        assert!(depth >= 2, "a decoder of depth {depth} has no hidden layer");
        let layer = |i: i64| {
            let inputs = if i == 0 { 0 } else { dim } + 2 + code;
            let outputs = if i + 1 == depth { OUTPUTS } else { dim };
            WeightNormLinear::new(scope.sub("layers").sub(i), inputs, outputs)
        };
        Self { layers: (0..depth).map(layer).collect(), code }
    }

    /// Decodes points [F, P, 2] of the faces' unit squares with codes [F, D], giving [F, P, 4].
    ///
    /// z = [u, v, code]; h₁ = ReLU(W₁ z), h = ReLU(W [h; z]), and finally W [h; z]. The code's part
    /// of W z is computed once per face.
    pub fn forward(&self, codes: &Tensor, points: &Tensor) -> Tensor {
        let mut hidden: Option<Tensor> = None;
        for (i, layer) in self.layers.iter().enumerate() {
            let weight = layer.weight();
            let before = weight.size()[1] - self.code;
            let given = weight.narrow(1, before, self.code).contiguous();
            let own = weight.narrow(1, 0, before).contiguous();
            let face = apply(codes, &given, Some(&layer.bias)).unsqueeze(1);
            let here = match &hidden {
                None => apply(points, &own, None),
                Some(hidden) => apply(&Tensor::cat(&[hidden, points], 2), &own, None),
            };
            let output = here + face;
            if i + 1 == self.layers.len() {
                return output;
            }
            hidden = Some(output.relu());
        }
        unreachable!("a decoder has at least two layers")
    }
}
