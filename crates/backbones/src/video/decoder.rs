//! The decoder of clips (MAE-ST §3): a light transformer over visible and mask tokens.
//!
//! Like MAE's decoder, it works in plan order, because every token carries its position.

use bauta_masking::Grid;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::VideoPositions;
use super::positions::Positions;
use crate::block::qkv_apart;
use crate::checkpointed::through_blocks;
use crate::vit::rows_of;
use crate::{
    Block, Init, LayerNorm, Linear, MaeDecoderConfig, ModelError, Scope, TokenIndices, patch_tokens,
};

/// The token that precedes the patches in the decoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecoderClassToken {
    /// A learned token of its own, initialised to zero; the encoder's is dropped
    /// (facebookresearch/mae_st).
    #[default]
    Own,
    /// The encoder's, projected to the decoder's width (PySlowFast).
    Encoder,
}

/// Sizes of the decoder of clips.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoDecoderConfig {
    /// Sizes in common with the image decoder; `outputs` is u · p² · C for u predicted frames per
    /// token.
    pub mae: MaeDecoderConfig,
    /// Position embeddings of the tokens.
    pub positions: VideoPositions,
    /// The token that precedes the patches.
    pub class_token: DecoderClassToken,
}

impl VideoDecoderConfig {
    /// MAE-ST's choices: separable positions and a class token of the decoder's own.
    pub fn new(mae: MaeDecoderConfig) -> Self {
        Self { mae, positions: VideoPositions::Separable, class_token: DecoderClassToken::Own }
    }
}

/// Predicts values for each spacetime token from the encoded visible ones.
#[derive(Debug)]
pub struct VideoDecoder {
    config: VideoDecoderConfig,
    embed: Linear,
    mask_token: Tensor,
    cls_token: Option<Tensor>,
    positions: Positions,
    blocks: Vec<Block>,
    norm: LayerNorm,
    pred: Linear,
    tokens: i64,
}

impl VideoDecoder {
    /// Adds the decoder's parameters, under the names of MAE-ST's files, to `scope`.
    ///
    /// # Errors
    /// [`ModelError::Config`] for sizes that do not fit.
    pub fn new(
        mut scope: Scope<'_>,
        config: &VideoDecoderConfig,
        grid: Grid,
    ) -> Result<Self, ModelError> {
        let MaeDecoderConfig { encoder_dim, dim, depth, outputs, layer_norm_eps, .. } = config.mae;
        let block = config.mae.block();
        block.validate_heads("decoder")?;
        let width = dim as i64;
        let own = config.class_token == DecoderClassToken::Own;
        Ok(Self {
            embed: Linear::new(scope.sub("decoder_embed"), encoder_dim, dim, true),
            mask_token: scope.add("mask_token", &[1, 1, width], Init::Normal(0.02)),
            cls_token: own
                .then(|| scope.add("decoder_cls_token", &[1, 1, width], Init::Constant(0.0))),
            positions: Positions::new(&mut scope, "decoder_", config.positions, grid, dim, true),
            blocks: (0..depth)
                .map(|i| {
                    let scope = scope.sub(format_args!("decoder_blocks.{i}"));
                    Block::starting(scope, &block, qkv_apart(dim))
                })
                .collect(),
            norm: LayerNorm::new(scope.sub("decoder_norm"), dim, layer_norm_eps),
            pred: Linear::new(scope.sub("decoder_pred"), dim, outputs, true),
            tokens: grid.tokens() as i64,
            config: config.clone(),
        })
    }

    /// The sizes.
    pub fn config(&self) -> &VideoDecoderConfig {
        &self.config
    }

    /// Predicts only the masked tokens: latent [B, 1 + V, D], the encoder's class token first, to
    /// [B, M, P].
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

    /// Predicts every token, in the grid's order: latent [B, 1 + V, D] to [B, L, P].
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the latent does not belong to the plan.
    pub fn predict_all(
        &self,
        latent: &Tensor,
        indices: &TokenIndices,
    ) -> Result<Tensor, ModelError> {
        let x = patch_tokens(&self.decode(latent, indices)?);
        Ok(indices.restore_order(&self.pred.forward(&self.norm.forward(&x))))
    }

    /// Runs the blocks: [B, 1 + V, D] to [B, 1 + L, Dd] in plan order.
    fn decode(&self, latent: &Tensor, indices: &TokenIndices) -> Result<Tensor, ModelError> {
        let (batch, visible) = (indices.batch(), indices.visible_count());
        let size = latent.size();
        if indices.tokens() != self.tokens || size.len() != 3 || size[..2] != [batch, 1 + visible] {
            return Err(ModelError::Shape {
                what: "the latent",
                found: size,
                expected: format!("[{batch}, {}, D] for {} tokens", 1 + visible, self.tokens),
            });
        }
        let positions = self.positions.patches();
        let (cls, seen) = match &self.cls_token {
            Some(own) => {
                (own.expand([batch, -1, -1], false), self.embed.forward(&patch_tokens(latent)))
            }
            None => {
                let embedded = self.embed.forward(latent);
                (embedded.narrow(1, 0, 1), patch_tokens(&embedded))
            }
        };
        let cls = cls + self.positions.class().expect("a decoder has a class token");
        let seen = seen + rows_of(&positions, indices.visible());
        let hidden = &self.mask_token + rows_of(&positions, indices.masked());
        let x = Tensor::cat(&[cls, seen, hidden], 1);
        Ok(through_blocks(&self.blocks, x, None))
    }
}
