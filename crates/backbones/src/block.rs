//! The pre-norm transformer block: attention, then MLP, each added to its input.

use bauta_libtorch::attention;
use tch::{Kind, Tensor};

use crate::checkpointed::Shared;
use crate::{Activation, Init, LayerNorm, Linear, ModelError, Scope};

/// Sizes of one block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockConfig {
    /// Width of a token, D.
    pub dim: usize,
    /// Attention heads; must divide `dim`.
    pub heads: usize,
    /// Hidden width of the MLP.
    pub mlp_dim: usize,
    /// Whether the projection to queries, keys and values has a bias.
    pub qkv_bias: bool,
    /// Added to the variance in layer norms.
    pub layer_norm_eps: f64,
    /// Nonlinearity of the MLP.
    pub activation: Activation,
}

impl BlockConfig {
    pub(crate) fn validate(&self, part: &str) -> Result<(), ModelError> {
        let dim = self.dim;
        if dim == 0 || !dim.is_multiple_of(4) {
            return Err(ModelError::Config(format!(
                "the {part}'s width (dim) {dim} is not a positive multiple of 4, which sine-cosine \
                 positions need"
            )));
        }
        self.validate_heads(part)
    }

    /// The same checks for a part without sine-cosine positions.
    pub(crate) fn validate_heads(&self, part: &str) -> Result<(), ModelError> {
        let Self { dim, heads, mlp_dim, .. } = *self;
        if dim == 0 {
            return Err(ModelError::Config(format!(
                "the {part}'s width (dim) is 0; it must be at least 1"
            )));
        }
        if heads == 0 || !dim.is_multiple_of(heads) {
            return Err(ModelError::Config(format!(
                "the {part}'s number of heads {heads} does not divide its width (dim) {dim}"
            )));
        }
        if mlp_dim == 0 {
            return Err(ModelError::Config(format!(
                "the width of the {part}'s MLPs (mlp_dim) is 0; it must be at least 1"
            )));
        }
        Ok(())
    }
}

/// `x += attention(norm1(x)); x += mlp(norm2(x))`.
#[derive(Debug)]
pub struct Block {
    norm1: LayerNorm,
    attn: Attention,
    norm2: LayerNorm,
    mlp: Mlp,
}

impl Block {
    /// Adds `norm1`, `attn`, `norm2` and `mlp`.
    pub fn new(scope: Scope<'_>, config: &BlockConfig) -> Self {
        Self::starting(scope, config, Init::XavierUniform)
    }

    /// As [`Self::new`], with the initialisation of queries, keys and values.
    pub(crate) fn starting(mut scope: Scope<'_>, config: &BlockConfig, qkv: Init) -> Self {
        Self {
            norm1: LayerNorm::new(scope.sub("norm1"), config.dim, config.layer_norm_eps),
            attn: Attention::starting(scope.sub("attn"), config, qkv),
            norm2: LayerNorm::new(scope.sub("norm2"), config.dim, config.layer_norm_eps),
            mlp: Mlp::new(scope.sub("mlp"), config),
        }
    }

    /// Maps [B, N, D] to [B, N, D].
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.forward_dropping(x, None)
    }

    /// As [`Self::forward`], without attention to padding: tokens where `seen`, bool [B, 1, 1, N],
    /// is false. The outputs there are meaningless.
    pub fn forward_seen(&self, x: &Tensor, seen: &Tensor) -> Tensor {
        let x = x + self.attn.forward_seen(&self.norm1.forward(x), seen);
        &x + self.mlp.forward(&self.norm2.forward(&x))
    }

    /// As [`Self::forward`], with the outputs of attention and MLP scaled by these factors, [B, 1,
    /// 1].
    pub(crate) fn forward_dropping(&self, x: &Tensor, factors: Option<&[Tensor; 2]>) -> Tensor {
        let add = |x: &Tensor, branch: Tensor, which: usize| match factors {
            Some(factors) => x.addcmul(&branch, &factors[which]),
            None => x + branch,
        };
        let x = add(x, self.attn.forward(&self.norm1.forward(x)), 0);
        add(&x, self.mlp.forward(&self.norm2.forward(&x)), 1)
    }
}

/// Multi-head self-attention with one fused projection to queries, keys and values.
#[derive(Debug)]
pub struct Attention {
    qkv: Linear,
    proj: Linear,
    heads: i64,
}

impl Attention {
    /// Adds `qkv` [3D, D] and `proj` [D, D].
    pub fn new(scope: Scope<'_>, config: &BlockConfig) -> Self {
        Self::starting(scope, config, Init::XavierUniform)
    }

    /// As [`Self::new`], with the initialisation of `qkv`.
    fn starting(mut scope: Scope<'_>, config: &BlockConfig, qkv: Init) -> Self {
        let dim = config.dim;
        Self {
            qkv: Linear::starting(scope.sub("qkv"), dim, 3 * dim, qkv, config.qkv_bias),
            proj: Linear::new(scope.sub("proj"), dim, dim, true),
            heads: config.heads as i64,
        }
    }

    /// Maps [B, N, D] to [B, N, D]; scores are scaled by (D / heads)^−½.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let heads = attention(&self.qkv.forward(x), self.heads, None)
            .expect("the configuration was validated: heads divide the width");
        self.proj.forward(&heads)
    }

    /// As [`Self::forward`], without attention to tokens where `seen`, bool [B, 1, 1, N], is false.
    fn forward_seen(&self, x: &Tensor, seen: &Tensor) -> Tensor {
        let (batch, tokens, dim) = x.size3().expect("attention takes [B, N, D]");
        let qkv = self.qkv.forward(x).view([batch, tokens, 3, self.heads, dim / self.heads]);
        let [q, k, v] = [0, 1, 2].map(|third| qkv.select(2, third).transpose(1, 2));
        let heads =
            Tensor::scaled_dot_product_attention(&q, &k, &v, Some(seen), 0.0, false, None, false);
        self.proj.forward(&heads.transpose(1, 2).reshape([batch, tokens, dim]))
    }
}

impl Block {
    /// This block's attention weights [B, H, N, N] for tokens [B, N, D]: row i holds the weights of
    /// token i; rows sum to 1.
    pub fn attention_map(&self, x: &Tensor) -> Tensor {
        self.attn.probabilities(&self.norm1.forward(x))
    }
}

impl Attention {
    /// The softmax of scaled scores, [B, N, D] to [B, H, N, N].
    fn probabilities(&self, x: &Tensor) -> Tensor {
        let (batch, tokens, dim) = x.size3().expect("attention takes [B, N, D]");
        let width = dim / self.heads;
        let qkv = self.qkv.forward(x).view([batch, tokens, 3, self.heads, width]);
        let part = |third| qkv.select(2, third).transpose(1, 2);
        let scores = part(0).matmul(&part(1).transpose(2, 3)) / (width as f64).sqrt();
        scores.softmax(-1, Kind::Float)
    }
}

/// Two linear layers with an activation between.
#[derive(Debug)]
pub struct Mlp {
    fc1: Linear,
    fc2: Linear,
    activation: Activation,
}

impl Mlp {
    /// Adds `fc1` [hidden, D] and `fc2` [D, hidden].
    pub fn new(scope: Scope<'_>, config: &BlockConfig) -> Self {
        Self::starting(scope, config, [Init::XavierUniform, Init::XavierUniform])
    }

    /// As [`Self::new`], with the initialisation of both weights.
    pub(crate) fn starting(
        mut scope: Scope<'_>,
        config: &BlockConfig,
        [fc1, fc2]: [Init; 2],
    ) -> Self {
        Self {
            fc1: Linear::starting(scope.sub("fc1"), config.dim, config.mlp_dim, fc1, true),
            fc2: Linear::starting(scope.sub("fc2"), config.mlp_dim, config.dim, fc2, true),
            activation: config.activation,
        }
    }

    /// Maps [..., D] to [..., D].
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.fc2.forward(&self.activation.forward(&self.fc1.forward(x)))
    }
}

/// Initialisation of a fused [3D, D] matrix whose thirds start as separate matrices (MAE-ST, which
/// has separate queries, keys and values): Xavier uniform of [D, D].
pub(crate) fn qkv_apart(dim: usize) -> Init {
    Init::Uniform((6.0 / (2 * dim) as f64).sqrt())
}

impl Shared for Block {
    fn share(&self) -> Self {
        Self {
            norm1: self.norm1.share(),
            attn: self.attn.share(),
            norm2: self.norm2.share(),
            mlp: self.mlp.share(),
        }
    }

    fn weights(&self) -> Vec<Tensor> {
        let Self { norm1, attn, norm2, mlp } = self;
        let parts = [norm1.weights(), attn.weights(), norm2.weights(), mlp.weights()];
        parts.into_iter().flatten().collect()
    }
}

impl Shared for Attention {
    fn share(&self) -> Self {
        Self { qkv: self.qkv.share(), proj: self.proj.share(), heads: self.heads }
    }

    fn weights(&self) -> Vec<Tensor> {
        [self.qkv.weights(), self.proj.weights()].into_iter().flatten().collect()
    }
}

impl Shared for Mlp {
    fn share(&self) -> Self {
        Self { fc1: self.fc1.share(), fc2: self.fc2.share(), activation: self.activation }
    }

    fn weights(&self) -> Vec<Tensor> {
        [self.fc1.weights(), self.fc2.weights()].into_iter().flatten().collect()
    }
}

/// Passes `x` through the first of `depth` blocks, up to the last of `chosen`, and returns the
/// outputs of the chosen ones; `block(i, x)` applies block i.
///
/// # Errors
/// [`ModelError::Config`] when `chosen` is not in ascending order or names a block that does not
/// exist.
pub(crate) fn outputs_of_blocks(
    mut x: Tensor,
    depth: usize,
    chosen: &[usize],
    block: impl Fn(usize, &Tensor) -> Tensor,
) -> Result<Vec<Tensor>, ModelError> {
    if !chosen.is_sorted_by(|a, b| a < b) || chosen.last().is_some_and(|&last| last >= depth) {
        return Err(ModelError::Config(format!(
            "blocks {chosen:?} must ascend and lie in 0..{depth}"
        )));
    }
    let mut found = Vec::with_capacity(chosen.len());
    for place in 0..chosen.last().map_or(0, |last| last + 1) {
        x = block(place, &x);
        if chosen[found.len()] == place {
            found.push(x.shallow_clone());
        }
    }
    Ok(found)
}

/// The attention weights [B, heads, N, N] of the last of `blocks`, for tokens [B, N, D] that enter
/// the first.
///
/// # Errors
/// [`ModelError::Config`] when there is no block.
pub(crate) fn last_attention(blocks: &[Block], x: Tensor) -> Result<Tensor, ModelError> {
    let (last, before) = blocks.split_last().ok_or_else(no_attention)?;
    Ok(last.attention_map(&before.iter().fold(x, |x, block| block.forward(&x))))
}

/// The error of an encoder without blocks when its attention weights are requested.
pub(crate) fn no_attention() -> ModelError {
    ModelError::Config("an encoder without blocks (depth 0) has no attention to show".into())
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::{Parameters, tests::normal};

    fn attention() -> Attention {
        let config = BlockConfig {
            dim: 24,
            heads: 3,
            mlp_dim: 48,
            qkv_bias: true,
            layer_norm_eps: 1e-6,
            activation: Activation::Gelu,
        };
        Attention::new(Parameters::new(3, Device::Cpu).root(), &config)
    }

    #[test]
    fn attention_equals_its_definition() {
        let attention = attention();
        let x = normal("x", &[2, 5, 24]);
        let qkv = attention.qkv.forward(&x);
        // Head h of q, k and v: columns h·8.. of the first, second and last third.
        let part = |third: i64, head: i64| qkv.narrow(2, third * 24 + head * 8, 8);
        let heads: Vec<Tensor> = (0..3)
            .map(|head| {
                let (q, k, v) = (part(0, head), part(1, head), part(2, head));
                let scores = q.matmul(&k.transpose(1, 2)) / 8_f64.sqrt();
                scores.softmax(-1, Kind::Float).matmul(&v)
            })
            .collect();
        let wanted = attention.proj.forward(&Tensor::cat(&heads, 2));
        assert!((attention.forward(&x) - wanted).abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn probabilities_make_what_attention_gives() {
        let attention = attention();
        let x = normal("x", &[2, 5, 24]);
        let map = attention.probabilities(&x);
        assert_eq!(map.size(), [2, 3, 5, 5]);
        let values = attention.qkv.forward(&x).narrow(2, 48, 24).view([2, 5, 3, 8]);
        let heads = map.matmul(&values.transpose(1, 2)).transpose(1, 2).reshape([2, 5, 24]);
        let off = (attention.proj.forward(&heads) - attention.forward(&x)).abs().max();
        assert!(off.double_value(&[]) < 1e-5);
    }

    #[test]
    fn what_is_not_seen_does_not_matter() {
        let attention = attention();
        let x = normal("x", &[2, 5, 24]);
        let seen = Tensor::from_slice(&[true, true, true, false, false]).view([1, 1, 1, 5]);
        let seen = seen.expand([2, 1, 1, 5], false);
        let found = attention.forward_seen(&x, &seen).narrow(1, 0, 3);
        let alone = attention.forward(&x.narrow(1, 0, 3).contiguous());
        assert!((&found - alone).abs().max().double_value(&[]) < 1e-5);
        let other = Tensor::cat(&[x.narrow(1, 0, 3), normal("other", &[2, 2, 24])], 1);
        assert_eq!(attention.forward_seen(&other, &seen).narrow(1, 0, 3), found);
    }

    #[test]
    fn attention_does_not_care_about_order() {
        let attention = attention();
        let x = normal("x", &[1, 5, 24]);
        let order = Tensor::from_slice(&[3_i64, 0, 4, 1, 2]);
        let before = attention.forward(&x.index_select(1, &order));
        let after = attention.forward(&x).index_select(1, &order);
        assert!((before - after).abs().max().double_value(&[]) < 1e-5);
    }
}
