//! MAE's decoder: a light transformer over visible and mask tokens (MAE §3).
//!
//! The reference un-shuffles tokens into image order before its blocks. Blocks
//! do not care about order, because each token carries its position; so this
//! decoder stays in plan order, which leaves the masked tokens contiguous at
//! the end, where the prediction head needs them.

use bauta_masking::Grid;
use tch::Tensor;

use crate::{
    Activation, Block, BlockConfig, Init, LayerNorm, Linear, ModelError, Scope, TokenIndices,
    positions::sin_cos_2d, vit::rows_of,
};

/// Sizes of the decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct MaeDecoderConfig {
    /// Width of the encoder's tokens, D.
    pub encoder_dim: usize,
    /// Width of a token, Dd.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Hidden width of the blocks' MLPs.
    pub mlp_dim: usize,
    /// Values predicted a token, P.
    pub outputs: usize,
    /// Whether the qkv product has a bias.
    pub qkv_bias: bool,
    /// Added to the variance in layer norms; 1e-6 in the reference.
    pub layer_norm_eps: f64,
    /// Nonlinearity of the blocks' MLPs.
    pub activation: Activation,
}

impl MaeDecoderConfig {
    /// A decoder with the reference's choices: MLP ratio 4, qkv bias, eps 1e-6.
    pub fn new(encoder_dim: usize, dim: usize, depth: usize, heads: usize, outputs: usize) -> Self {
        Self {
            encoder_dim,
            dim,
            depth,
            heads,
            mlp_dim: 4 * dim,
            outputs,
            qkv_bias: true,
            layer_norm_eps: 1e-6,
            activation: Activation::Gelu,
        }
    }
}

/// Predicts P values for each token from the encoded visible ones.
#[derive(Debug)]
pub struct MaeDecoder {
    mask_token: Tensor,
    embed: Linear,
    pos_embed: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
    pred: Linear,
    tokens: i64,
}

impl MaeDecoder {
    /// Adds the decoder's parameters, under the reference's names, to `scope`.
    ///
    /// # Errors
    /// [`ModelError::Config`] for sizes that do not fit.
    pub fn new(
        mut scope: Scope<'_>,
        config: &MaeDecoderConfig,
        grid: Grid,
    ) -> Result<Self, ModelError> {
        let block = BlockConfig {
            dim: config.dim,
            heads: config.heads,
            mlp_dim: config.mlp_dim,
            qkv_bias: config.qkv_bias,
            layer_norm_eps: config.layer_norm_eps,
            activation: config.activation,
        };
        block.validate("decoder")?;
        let dim = config.dim as i64;
        let tokens = grid.tokens() as i64;
        let table = sin_cos_2d(grid, config.dim);
        Ok(Self {
            mask_token: scope.add("mask_token", &[1, 1, dim], Init::Normal(0.02)),
            embed: Linear::new(scope.sub("decoder_embed"), config.encoder_dim, config.dim, true),
            pos_embed: scope.add_frozen(
                "decoder_pos_embed",
                &[1, 1 + tokens, dim],
                Init::Values(table),
            ),
            blocks: (0..config.depth)
                .map(|i| Block::new(scope.sub(format_args!("decoder_blocks.{i}")), &block))
                .collect(),
            norm: LayerNorm::new(scope.sub("decoder_norm"), config.dim, config.layer_norm_eps),
            pred: Linear::new(scope.sub("decoder_pred"), config.dim, config.outputs, true),
            tokens,
        })
    }

    /// Predicts the masked tokens alone: latent [B, 1 + V, D] to [B, M, P].
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the latent does not belong to the plan.
    pub fn predict_masked(
        &self,
        latent: &Tensor,
        indices: &TokenIndices,
    ) -> Result<Tensor, ModelError> {
        let x = self.decode(latent, indices)?;
        let masked = x.narrow(1, 1 + indices.visible_count(), indices.masked_count());
        Ok(self.pred.forward(&self.norm.forward(&masked)))
    }

    /// Predicts every token, in image order: latent [B, 1 + V, D] to [B, L, P].
    ///
    /// No loss ever reaches the predictions of visible tokens; they mean nothing.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the latent does not belong to the plan.
    pub fn predict_all(
        &self,
        latent: &Tensor,
        indices: &TokenIndices,
    ) -> Result<Tensor, ModelError> {
        let x = self.decode(latent, indices)?.narrow(1, 1, indices.tokens());
        Ok(indices.restore_order(&self.pred.forward(&self.norm.forward(&x))))
    }

    /// Runs the blocks: [B, 1 + V, D] to [B, 1 + L, Dd] in plan order.
    fn decode(&self, latent: &Tensor, indices: &TokenIndices) -> Result<Tensor, ModelError> {
        let (batch, visible, masked) =
            (indices.batch(), indices.visible_count(), indices.masked_count());
        let size = latent.size();
        if indices.tokens() != self.tokens || size.len() != 3 || size[..2] != [batch, 1 + visible] {
            return Err(ModelError::Shape {
                what: "the latent",
                found: size,
                expected: format!("[{batch}, {}, D] for {} tokens", 1 + visible, self.tokens),
            });
        }
        let positions = self.pos_embed.get(0).narrow(0, 1, self.tokens);
        let seen = self.embed.forward(latent);
        let hidden = &self.mask_token + rows_of(&positions, indices.masked());
        // The class token's position is zero, like in the encoder.
        let cls = seen.narrow(1, 0, 1) + self.pos_embed.narrow(1, 0, 1);
        let seen = seen.narrow(1, 1, visible) + rows_of(&positions, indices.visible());
        debug_assert_eq!(hidden.size()[1], masked);
        let x = Tensor::cat(&[cls, seen, hidden], 1);
        Ok(self.blocks.iter().fold(x, |x, block| block.forward(&x)))
    }
}
