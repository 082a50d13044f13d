//! The layers of vision transformers and residual networks, as nodes.

use crate::graph::{Graph, Value, float, int, ints};

/// How a GELU is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gelu {
    /// x · Φ(x), with the error function.
    Exact,
    /// The tanh approximation.
    Tanh,
    /// x · σ(1.702 x).
    Quick,
}

/// Self-attention of [B, N, D].
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// Number of heads; divides D.
    pub heads: usize,
    /// Width of a token, D.
    pub dim: usize,
    /// Added to the scores: [1, heads, N, N].
    pub bias: Option<&'a Value>,
}

impl Graph {
    /// `x · Wᵀ + b` for x [..., in], W [out, in] and b `[out]`.
    pub fn linear(&mut self, x: &Value, weight: &Value, bias: Option<&Value>) -> Value {
        let weight = self.transpose(weight, &[1, 0]);
        let y = self.binary("MatMul", x, &weight);
        match bias {
            Some(bias) => self.binary("Add", &y, bias),
            None => y,
        }
    }

    /// Normalises the last dimension to mean 0 and variance 1, then scales and shifts.
    pub fn layer_norm(&mut self, x: &Value, weight: &Value, bias: &Value, eps: f64) -> Value {
        let attributes = vec![int("axis", -1), float("epsilon", eps as f32)];
        self.node("LayerNormalization", &[x, weight, bias], attributes)
    }

    /// GELU of each element.
    pub fn gelu(&mut self, x: &Value, how: Gelu) -> Value {
        let gate = match how {
            Gelu::Quick => {
                let factor = self.scalar(1.702);
                let scaled = self.binary("Mul", x, &factor);
                self.unary("Sigmoid", &scaled)
            }
            Gelu::Exact => {
                let root = self.scalar(std::f32::consts::FRAC_1_SQRT_2);
                let scaled = self.binary("Mul", x, &root);
                let erf = self.unary("Erf", &scaled);
                self.half_above_one(&erf)
            }
            Gelu::Tanh => {
                let cubic = self.scalar(0.044_715);
                let root = self.scalar((2.0 / std::f32::consts::PI).sqrt());
                let square = self.binary("Mul", x, x);
                let cube = self.binary("Mul", &square, x);
                let cube = self.binary("Mul", &cube, &cubic);
                let inner = self.binary("Add", x, &cube);
                let inner = self.binary("Mul", &inner, &root);
                let tanh = self.unary("Tanh", &inner);
                self.half_above_one(&tanh)
            }
        };
        self.binary("Mul", x, &gate)
    }

    /// (1 + x) / 2
    fn half_above_one(&mut self, x: &Value) -> Value {
        let (one, half) = (self.scalar(1.0), self.scalar(0.5));
        let y = self.binary("Add", x, &one);
        self.binary("Mul", &y, &half)
    }

    /// Attention of packed queries, keys and values [B, N, 3D], to [B, N, D]; scores are scaled by
    /// (D / heads)^−½.
    pub fn attention(&mut self, qkv: &Value, how: Attention<'_>) -> Value {
        let Attention { heads, dim, bias } = how;
        let width = dim / heads;
        let shape = self.integers(&[0, 0, 3, heads as i64, width as i64]);
        let parts = self.binary("Reshape", qkv, &shape);
        // [3, B, heads, N, width]
        let parts = self.transpose(&parts, &[2, 0, 3, 1, 4]);
        let [q, k, v] = [0, 1, 2].map(|third| {
            let index = self.integers(&[third]);
            let part = self.node("Gather", &[&parts, &index], vec![int("axis", 0)]);
            let axes = self.integers(&[0]);
            self.binary("Squeeze", &part, &axes)
        });
        let keys = self.transpose(&k, &[0, 1, 3, 2]);
        let scores = self.binary("MatMul", &q, &keys);
        let scale = self.scalar(1.0 / (width as f32).sqrt());
        let mut scores = self.binary("Mul", &scores, &scale);
        if let Some(bias) = bias {
            scores = self.binary("Add", &scores, bias);
        }
        let shares = self.node("Softmax", &[&scores], vec![int("axis", -1)]);
        let seen = self.binary("MatMul", &shares, &v);
        let seen = self.transpose(&seen, &[0, 2, 1, 3]);
        let shape = self.integers(&[0, 0, dim as i64]);
        self.binary("Reshape", &seen, &shape)
    }

    /// Permutes the dimensions.
    pub fn transpose(&mut self, x: &Value, order: &[i64]) -> Value {
        self.node("Transpose", &[x], vec![ints("perm", order)])
    }

    /// Concatenates values along a dimension.
    pub fn concat(&mut self, parts: &[&Value], axis: i64) -> Value {
        self.node("Concat", parts, vec![int("axis", axis)])
    }

    /// The rows `from..to` of dimension 1 of [B, N, D].
    pub fn rows(&mut self, x: &Value, from: i64, to: i64) -> Value {
        let [from, to, axis] = [from, to, 1].map(|number| self.integers(&[number]));
        self.node("Slice", &[x, &from, &to, &axis], Vec::new())
    }

    /// The mean over dimensions, which are dropped.
    pub fn mean(&mut self, x: &Value, axes: &[i64]) -> Value {
        self.node("ReduceMean", &[x], vec![ints("axes", axes), int("keepdims", 0)])
    }

    /// Repeats a token [1, 1, D] for each sample in the batch of `like`: [B, 1, D].
    pub fn token_for_each(&mut self, token: &Value, dim: usize, like: &Value) -> Value {
        let shape = self.unary("Shape", like);
        let first = self.integers(&[0]);
        let batch = self.node("Gather", &[&shape, &first], vec![int("axis", 0)]);
        let rest = self.integers(&[1, dim as i64]);
        let wanted = self.concat(&[&batch, &rest], 0);
        self.binary("Expand", token, &wanted)
    }

    /// A convolution of [B, in, H, W] with filters [out, in, h, w], or of [B, in, T, H, W] with
    /// filters [out, in, t, h, w]; `strides` has one entry per side.
    pub fn conv(
        &mut self,
        x: &Value,
        weight: &Value,
        bias: Option<&Value>,
        strides: &[i64],
        padding: i64,
    ) -> Value {
        let inputs: Vec<&Value> = [Some(x), Some(weight), bias].into_iter().flatten().collect();
        let pads = vec![padding; 2 * strides.len()];
        let attributes = vec![ints("strides", strides), ints("pads", &pads)];
        self.node("Conv", &inputs, attributes)
    }

    /// Tokens of a feature map: [B, D, h, w] to [B, h · w, D], row by row, or [B, D, t, h, w] to
    /// [B, t · h · w, D].
    pub fn tokens(&mut self, map: &Value) -> Value {
        let shape = self.integers(&[0, 0, -1]);
        let flat = self.binary("Reshape", map, &shape);
        self.transpose(&flat, &[0, 2, 1])
    }

    /// Batch normalisation of [B, C, ...] with scale, shift, mean and variance, `[C]` each.
    pub fn batch_norm(&mut self, x: &Value, of: [&Value; 4], eps: f64) -> Value {
        let [scale, shift, mean, variance] = of;
        let inputs = [x, scale, shift, mean, variance];
        self.node("BatchNormalization", &inputs, vec![float("epsilon", eps as f32)])
    }

    /// The maximum of each window of [B, C, H, W].
    pub fn max_pool(&mut self, x: &Value, side: i64, stride: i64, padding: i64) -> Value {
        let attributes = vec![
            ints("kernel_shape", &[side; 2]),
            ints("strides", &[stride; 2]),
            ints("pads", &[padding; 4]),
        ];
        self.node("MaxPool", &[x], attributes)
    }
}
