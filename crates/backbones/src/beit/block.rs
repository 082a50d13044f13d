//! BEiT's block: attention with a bias on its scores, and a factor on each branch.

use bauta_libtorch::{attention, linear};
use tch::{Kind, Tensor};

use super::{BeitConfig, STD};
use crate::checkpointed::Shared;
use crate::{BlockConfig, Init, LayerNorm, Linear, Mlp, Scope};

/// `x += γ₁ · attention(norm1(x)); x += γ₂ · mlp(norm2(x))` (LayerScale, arXiv 2103.17239).
#[derive(Debug)]
pub(super) struct BeitBlock {
    /// γ₁ and γ₂, [D] each.
    gammas: Option<[Tensor; 2]>,
    norm1: LayerNorm,
    attn: BeitAttention,
    norm2: LayerNorm,
    mlp: Mlp,
}

impl BeitBlock {
    /// Adds `gamma_1`, `gamma_2`, `norm1`, `attn`, `norm2` and `mlp`. In block i, counted from 0,
    /// the output weights of both branches start smaller by a factor of √(2(i + 1)).
    pub(super) fn new(mut scope: Scope<'_>, config: &BeitConfig, place: usize) -> Self {
        let block = config.vit.block();
        let last = Init::TruncatedNormal(STD / (2.0 * (place + 1) as f64).sqrt());
        let gammas = config.layer_scale.map(|start| {
            ["gamma_1", "gamma_2"]
                .map(|name| scope.add(name, &[block.dim as i64], Init::Constant(start as f32)))
        });
        let inits = [Init::TruncatedNormal(STD), last.clone()];
        Self {
            gammas,
            norm1: LayerNorm::new(scope.sub("norm1"), block.dim, block.layer_norm_eps),
            attn: BeitAttention::new(scope.sub("attn"), &block, last),
            norm2: LayerNorm::new(scope.sub("norm2"), block.dim, block.layer_norm_eps),
            mlp: Mlp::starting(scope.sub("mlp"), &block, inits),
        }
    }

    /// Maps [B, N, D] to [B, N, D], with `bias` [1, heads, N, N] added to the scores and the
    /// branches' outputs scaled by `factors` [B, 1, 1].
    pub(super) fn forward(
        &self,
        x: &Tensor,
        bias: &Tensor,
        factors: Option<&[Tensor; 2]>,
    ) -> Tensor {
        let add = |x: &Tensor, branch: Tensor, which: usize| match (&self.gammas, factors) {
            (None, None) => x + branch,
            (Some(gammas), None) => x.addcmul(&branch, &gammas[which]),
            (None, Some(factors)) => x.addcmul(&branch, &factors[which]),
            (Some(gammas), Some(factors)) => {
                x.addcmul(&branch, &(&gammas[which] * &factors[which]))
            }
        };
        let x = add(x, self.attn.forward(&self.norm1.forward(x), bias), 0);
        add(&x, self.mlp.forward(&self.norm2.forward(&x)), 1)
    }

    /// This block's attention weights [B, heads, N, N] for tokens [B, N, D].
    pub(super) fn attention_map(&self, x: &Tensor, bias: &Tensor) -> Tensor {
        self.attn.probabilities(&self.norm1.forward(x), bias)
    }
}

impl Shared for BeitBlock {
    fn share(&self) -> Self {
        Self {
            gammas: self.gammas.as_ref().map(|gammas| gammas.each_ref().map(Tensor::shallow_clone)),
            norm1: self.norm1.share(),
            attn: self.attn.share(),
            norm2: self.norm2.share(),
            mlp: self.mlp.share(),
        }
    }

    fn weights(&self) -> Vec<Tensor> {
        let gammas = self.gammas.iter().flatten().map(Tensor::shallow_clone).collect();
        let Self { norm1, attn, norm2, mlp, .. } = self;
        let parts = [gammas, norm1.weights(), attn.weights(), norm2.weights(), mlp.weights()];
        parts.into_iter().flatten().collect()
    }
}

impl Shared for BeitAttention {
    fn share(&self) -> Self {
        Self {
            qkv: self.qkv.shallow_clone(),
            q_bias: self.q_bias.shallow_clone(),
            v_bias: self.v_bias.shallow_clone(),
            proj: self.proj.share(),
            heads: self.heads,
        }
    }

    fn weights(&self) -> Vec<Tensor> {
        let own = [&self.qkv, &self.q_bias, &self.v_bias].map(Tensor::shallow_clone);
        own.into_iter().chain(self.proj.weights()).collect()
    }
}

/// Self-attention with a bias for queries and values but none for keys, which would add the same
/// number to all scores of a query and change nothing.
#[derive(Debug)]
struct BeitAttention {
    /// [3D, D].
    qkv: Tensor,
    q_bias: Tensor,
    v_bias: Tensor,
    proj: Linear,
    heads: i64,
}

impl BeitAttention {
    fn new(mut scope: Scope<'_>, config: &BlockConfig, proj: Init) -> Self {
        let dim = config.dim as i64;
        let init = Init::TruncatedNormal(STD);
        Self {
            q_bias: scope.add("q_bias", &[dim], Init::Constant(0.0)),
            v_bias: scope.add("v_bias", &[dim], Init::Constant(0.0)),
            qkv: scope.sub("qkv").add("weight", &[3 * dim, dim], init),
            proj: Linear::starting(scope.sub("proj"), config.dim, config.dim, proj, true),
            heads: config.heads as i64,
        }
    }

    fn forward(&self, x: &Tensor, bias: &Tensor) -> Tensor {
        let heads = attention(&self.packed(x), self.heads, Some(bias))
            .expect("the configuration was validated: heads divide the width");
        self.proj.forward(&heads)
    }

    /// Queries, keys and values, [B, N, 3D].
    fn packed(&self, x: &Tensor) -> Tensor {
        let bias = Tensor::cat(&[&self.q_bias, &self.q_bias.zeros_like(), &self.v_bias], 0);
        linear(x, &self.qkv, Some(&bias)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The attention weights [B, heads, N, N] for tokens [B, N, D].
    fn probabilities(&self, x: &Tensor, bias: &Tensor) -> Tensor {
        let (batch, tokens, dim) = x.size3().expect("attention takes [B, N, D]");
        let width = dim / self.heads;
        let qkv = self.packed(x).view([batch, tokens, 3, self.heads, width]);
        let part = |third| qkv.select(2, third).transpose(1, 2);
        let scores = part(0).matmul(&part(1).transpose(2, 3)) / (width as f64).sqrt() + bias;
        scores.softmax(-1, Kind::Float)
    }
}
