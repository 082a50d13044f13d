//! MAE's decoder: a light transformer over visible and mask tokens (MAE §3).
//!
//! The reference un-shuffles tokens into image order before its blocks. Blocks
//! do not care about order, because each token carries its position; so this
//! decoder stays in plan order, which leaves the masked tokens contiguous at
//! the end, where the prediction head needs them.

use bauta_masking::Grid;
use tch::Tensor;

use crate::{
    Activation, Block, BlockConfig, DropPath, Init, LayerNorm, Linear, ModelError, Scope,
    TokenIndices, positions::sin_cos_2d, vit::rows_of,
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

    pub(crate) fn block(&self) -> BlockConfig {
        BlockConfig {
            dim: self.dim,
            heads: self.heads,
            mlp_dim: self.mlp_dim,
            qkv_bias: self.qkv_bias,
            layer_norm_eps: self.layer_norm_eps,
            activation: self.activation,
        }
    }
}

/// Predicts P values for each token from the encoded visible ones.
#[derive(Debug)]
pub struct MaeDecoder {
    config: MaeDecoderConfig,
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
        let block = config.block();
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
            config: config.clone(),
        })
    }

    /// The sizes.
    pub fn config(&self) -> &MaeDecoderConfig {
        &self.config
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

    /// Predicts the class token and the masked ones: latent [B, 1 + V, D] to [B, 1 + M, P],
    /// the class token first; samples may skip branches of blocks.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the latent does not belong to the plan.
    pub fn predict_masked_and_class(
        &self,
        latent: &Tensor,
        indices: &TokenIndices,
        drop: Option<&DropPath>,
    ) -> Result<Tensor, ModelError> {
        let x = self.decode_dropping(latent, indices, drop)?;
        let masked = x.narrow(1, 1 + indices.visible_count(), indices.masked_count());
        let chosen = Tensor::cat(&[x.narrow(1, 0, 1), masked], 1);
        Ok(self.pred.forward(&self.norm.forward(&chosen)))
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
        self.decode_dropping(latent, indices, None)
    }

    fn decode_dropping(
        &self,
        latent: &Tensor,
        indices: &TokenIndices,
        drop: Option<&DropPath>,
    ) -> Result<Tensor, ModelError> {
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
        Ok(self.blocks.iter().enumerate().fold(x, |x, (place, block)| {
            let factors = drop.and_then(|drop| drop.of_block(place));
            block.forward_dropping(&x, factors.as_ref())
        }))
    }
}

#[cfg(test)]
mod tests {
    use bauta_masking::MaskPlan;
    use tch::{Device, Kind};

    use super::*;
    use crate::{Parameters, VisionTransformer, VitConfig};

    struct Case {
        encoder: VisionTransformer,
        decoder: MaeDecoder,
        indices: TokenIndices,
        images: Tensor,
    }

    fn case() -> Case {
        let config =
            VitConfig { image_height: 16, image_width: 24, ..VitConfig::new(0, 4, 32, 2, 2) };
        let mut parameters = Parameters::new(5, Device::Cpu);
        let encoder = VisionTransformer::new(parameters.root(), &config).unwrap();
        let decoder = MaeDecoderConfig::new(32, 16, 2, 2, config.patch_values());
        let decoder = MaeDecoder::new(parameters.root(), &decoder, encoder.grid()).unwrap();
        let noise: Vec<f32> = (0..48).map(|i| (i * 29 % 48) as f32).collect();
        let plan = MaskPlan::from_noise(&noise, 2, 0.75).unwrap();
        let images = Tensor::randn([2, 3, 16, 24], (Kind::Float, Device::Cpu));
        Case { encoder, decoder, indices: TokenIndices::new(&plan, Device::Cpu), images }
    }

    impl Case {
        fn predict_all(&self, images: &Tensor) -> Tensor {
            let latent = self.encoder.forward_visible(images, &self.indices).unwrap();
            self.decoder.predict_all(&latent, &self.indices).unwrap()
        }
    }

    fn distance(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn plan_order_gives_what_the_reference_gives_in_image_order() {
        let case = case();
        let Case { decoder, indices, .. } = &case;
        let latent = case.encoder.forward_visible(&case.images, indices).unwrap();
        // The reference: append mask tokens, un-shuffle, add the whole table, run the blocks.
        let x = decoder.embed.forward(&latent);
        let hidden = decoder.mask_token.expand([2, indices.masked_count(), -1], false);
        let patches = Tensor::cat(&[x.narrow(1, 1, indices.visible_count()), hidden], 1);
        let x = Tensor::cat(&[x.narrow(1, 0, 1), indices.restore_order(&patches)], 1);
        let x = decoder.blocks.iter().fold(x + &decoder.pos_embed, |x, block| block.forward(&x));
        let wanted = decoder.pred.forward(&decoder.norm.forward(&x)).narrow(1, 1, 24);
        assert!(distance(&decoder.predict_all(&latent, indices).unwrap(), &wanted) < 1e-5);
        let masked = decoder.predict_masked(&latent, indices).unwrap();
        assert!(distance(&masked, &indices.gather_masked(&wanted)) < 1e-5);
    }

    #[test]
    fn predictions_depend_on_visible_pixels_alone() {
        let case = case();
        let before = case.predict_all(&case.images);
        let noise = Tensor::randn_like(&case.images);
        // The mask at pixel resolution: tokens of 4 × 4 pixels on a 4 × 6 grid.
        let mask = case.indices.mask().view([2, 1, 4, 6]).to_kind(Kind::Bool);
        let mask =
            mask.repeat_interleave_self_int(4, 2, None).repeat_interleave_self_int(4, 3, None);
        let hidden_changed = noise.where_self(&mask, &case.images);
        assert_eq!(case.predict_all(&hidden_changed), before);
        let visible_changed = case.images.where_self(&mask, &noise);
        assert!(distance(&case.predict_all(&visible_changed), &before) > 1e-3);
    }

    #[test]
    fn a_latent_of_another_plan_is_refused() {
        let case = case();
        let latent = Tensor::zeros([2, 5, 32], (Kind::Float, Device::Cpu));
        let message = case.decoder.predict_masked(&latent, &case.indices).unwrap_err().to_string();
        assert!(message.contains("[2, 5, 32]") && message.contains("[2, 7, D]"), "{message}");
    }
}
