//! The part of a masked autoencoder's decoder after its embedding: mask token, positions, blocks,
//! norm and prediction (MAE §3).
//!
//! The reference un-shuffles tokens into image order before its blocks. Blocks do not depend on the
//! order, because each token carries its position; so here tokens stay in plan order, in which the
//! masked ones are contiguous at the end, as the prediction head needs them.

use bauta_masking::Grid;
use tch::Tensor;

use crate::{
    Block, DropPath, Init, LayerNorm, Linear, MaeDecoderConfig, ModelError, Scope, TokenIndices,
    checkpointed::through_blocks, patch_tokens, positions::sin_cos_2d, vit::rows_of,
};

/// Predicts P values for each token from the embedded visible ones.
#[derive(Debug)]
pub(crate) struct DecoderBody {
    pub(crate) mask_token: Tensor,
    pub(crate) pos_embed: Tensor,
    pub(crate) blocks: Vec<Block>,
    pub(crate) norm: LayerNorm,
    pub(crate) pred: Linear,
    tokens: i64,
}

impl DecoderBody {
    /// Adds the parameters, under the reference's names, to `scope`.
    ///
    /// # Errors
    /// [`ModelError::Config`] for sizes that do not fit.
    pub(crate) fn new(
        mut scope: Scope<'_>,
        config: &MaeDecoderConfig,
        grid: Grid,
    ) -> Result<Self, ModelError> {
        let block = config.block();
        block.validate("decoder")?;
        let dim = config.dim as i64;
        let tokens = grid.tokens() as i64;
        let table = sin_cos_2d(grid, config.dim);
        Ok(Self {
            mask_token: scope.add("mask_token", &[1, 1, dim], Init::Normal(0.02)),
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

    /// Predicts only the masked tokens: embedded [B, 1 + V, Dd] to [B, M, P].
    pub(crate) fn predict_masked(&self, embedded: &Tensor, indices: &TokenIndices) -> Tensor {
        let x = self.decode(embedded, indices, None);
        let masked = x.narrow(1, 1 + indices.visible_count(), indices.masked_count());
        self.pred.forward(&self.norm.forward(&masked))
    }

    /// Predicts the class token, then the masked ones: embedded [B, 1 + V, Dd] to
    /// [B, 1 + M, P].
    pub(crate) fn predict_masked_and_class(
        &self,
        embedded: &Tensor,
        indices: &TokenIndices,
        drop: Option<&DropPath>,
    ) -> Tensor {
        let x = self.decode(embedded, indices, drop);
        let masked = x.narrow(1, 1 + indices.visible_count(), indices.masked_count());
        let chosen = Tensor::cat(&[x.narrow(1, 0, 1), masked], 1);
        self.pred.forward(&self.norm.forward(&chosen))
    }

    /// Predicts every token, in image order: embedded [B, 1 + V, Dd] to [B, L, P].
    pub(crate) fn predict_all(&self, embedded: &Tensor, indices: &TokenIndices) -> Tensor {
        let x = patch_tokens(&self.decode(embedded, indices, None));
        indices.restore_order(&self.pred.forward(&self.norm.forward(&x)))
    }

    /// Refuses a latent [B, 1 + V, ..] that does not belong to the plan.
    pub(crate) fn check(&self, latent: &Tensor, indices: &TokenIndices) -> Result<(), ModelError> {
        let (batch, visible) = (indices.batch(), indices.visible_count());
        let size = latent.size();
        if indices.tokens() == self.tokens && size.len() == 3 && size[..2] == [batch, 1 + visible] {
            return Ok(());
        }
        Err(ModelError::Shape {
            what: "the latent",
            found: size,
            expected: format!("[{batch}, {}, D] for {} tokens", 1 + visible, self.tokens),
        })
    }

    /// Runs the blocks: [B, 1 + V, Dd] to [B, 1 + L, Dd] in plan order.
    fn decode(&self, seen: &Tensor, indices: &TokenIndices, drop: Option<&DropPath>) -> Tensor {
        let positions = self.pos_embed.get(0).narrow(0, 1, self.tokens);
        let hidden = &self.mask_token + rows_of(&positions, indices.masked());
        // The class token's position is zero, as in the encoder.
        let cls = seen.narrow(1, 0, 1) + self.pos_embed.narrow(1, 0, 1);
        let seen = patch_tokens(seen) + rows_of(&positions, indices.visible());
        debug_assert_eq!(hidden.size()[1], indices.masked_count());
        let x = Tensor::cat(&[cls, seen, hidden], 1);
        through_blocks(&self.blocks, x, drop)
    }
}
