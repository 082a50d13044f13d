//! MAE's decoder: a light transformer over visible and mask tokens (MAE §3).
//!
//! A linear layer projects the encoder's tokens to the decoder's width; the rest is shared with
//! i-MAE's decoder.

use bauta_masking::Grid;
use tch::Tensor;

use crate::decoder_body::DecoderBody;
use crate::{Activation, BlockConfig, DropPath, Linear, ModelError, Scope, TokenIndices};

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
    /// Values predicted for each token, P.
    pub outputs: usize,
    /// Whether the projection to queries, keys and values has a bias.
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
    embed: Linear,
    body: DecoderBody,
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
        Ok(Self {
            body: DecoderBody::new(scope.again(), config, grid)?,
            embed: Linear::new(scope.sub("decoder_embed"), config.encoder_dim, config.dim, true),
            config: config.clone(),
        })
    }

    /// The sizes.
    pub fn config(&self) -> &MaeDecoderConfig {
        &self.config
    }

    /// Projects the encoder's tokens to the decoder's width: [B, 1 + V, D] to [B, 1 + V, Dd].
    ///
    /// # Panics
    /// When the latent is of another width.
    pub fn embed(&self, latent: &Tensor) -> Tensor {
        self.embed.forward(latent)
    }

    /// Predicts only the masked tokens: latent [B, 1 + V, D] to [B, M, P].
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the latent does not belong to the plan.
    pub fn predict_masked(
        &self,
        latent: &Tensor,
        indices: &TokenIndices,
    ) -> Result<Tensor, ModelError> {
        self.body.check(latent, indices)?;
        Ok(self.body.predict_masked(&self.embed(latent), indices))
    }

    /// Predicts the class token and the masked ones: latent [B, 1 + V, D] to [B, 1 + M, P], the
    /// class token first; `drop` gives the branches that samples skip.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the latent does not belong to the plan.
    pub fn predict_masked_and_class(
        &self,
        latent: &Tensor,
        indices: &TokenIndices,
        drop: Option<&DropPath>,
    ) -> Result<Tensor, ModelError> {
        self.body.check(latent, indices)?;
        Ok(self.body.predict_masked_and_class(&self.embed(latent), indices, drop))
    }

    /// Predicts every token, in image order: latent [B, 1 + V, D] to [B, L, P].
    ///
    /// The loss ignores the predictions of visible tokens, so they are meaningless.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the latent does not belong to the plan.
    pub fn predict_all(
        &self,
        latent: &Tensor,
        indices: &TokenIndices,
    ) -> Result<Tensor, ModelError> {
        self.body.check(latent, indices)?;
        Ok(self.body.predict_all(&self.embed(latent), indices))
    }
}

#[cfg(test)]
mod tests {
    use bauta_masking::MaskPlan;
    use tch::{Device, Kind};

    use super::*;
    use crate::{Encode, Parameters, VisionTransformer, VitConfig, patch_tokens, tests::normal};

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
        let images = normal("images", &[2, 3, 16, 24]);
        Case { encoder, decoder, indices: TokenIndices::new(&plan, Device::Cpu), images }
    }

    impl Case {
        fn predict_all(&self, images: &Tensor) -> Tensor {
            let latent = self.encoder.encode(images, Encode::visible(&self.indices)).unwrap();
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
        let body = &decoder.body;
        let latent = case.encoder.encode(&case.images, Encode::visible(indices)).unwrap();
        // The reference: append mask tokens, un-shuffle, add the whole table, run the blocks.
        let x = decoder.embed.forward(&latent);
        let hidden = body.mask_token.expand([2, indices.masked_count(), -1], false);
        let patches = Tensor::cat(&[patch_tokens(&x), hidden], 1);
        let x = Tensor::cat(&[x.narrow(1, 0, 1), indices.restore_order(&patches)], 1);
        let x = body.blocks.iter().fold(x + &body.pos_embed, |x, block| block.forward(&x));
        let wanted = patch_tokens(&body.pred.forward(&body.norm.forward(&x)));
        assert!(distance(&decoder.predict_all(&latent, indices).unwrap(), &wanted) < 1e-5);
        let masked = decoder.predict_masked(&latent, indices).unwrap();
        assert!(distance(&masked, &indices.gather_masked(&wanted)) < 1e-5);
    }

    #[test]
    fn predictions_depend_on_visible_pixels_alone() {
        let case = case();
        let before = case.predict_all(&case.images);
        let noise = normal("noise", &case.images.size());
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
    fn with_the_class_token_the_masked_are_the_same() {
        let case = case();
        let latent = case.encoder.encode(&case.images, Encode::visible(&case.indices)).unwrap();
        let masked = case.decoder.predict_masked(&latent, &case.indices).unwrap();
        let both = case.decoder.predict_masked_and_class(&latent, &case.indices, None).unwrap();
        assert_eq!(both.size()[1], 1 + masked.size()[1]);
        assert!(distance(&patch_tokens(&both), &masked) < 1e-6);
        // Skipping nothing changes nothing; skipping every branch does.
        let kept = DropPath::new(&[1.0; 8], 2, 2, Device::Cpu);
        let kept = case.decoder.predict_masked_and_class(&latent, &case.indices, Some(&kept));
        assert_eq!(kept.unwrap(), both);
        let skipped = DropPath::new(&[0.0; 8], 2, 2, Device::Cpu);
        let skipped = case.decoder.predict_masked_and_class(&latent, &case.indices, Some(&skipped));
        assert!(distance(&skipped.unwrap(), &both) > 1e-3);
    }

    #[test]
    fn a_latent_of_another_plan_is_refused() {
        let case = case();
        let latent = Tensor::zeros([2, 5, 32], (Kind::Float, Device::Cpu));
        let message = case.decoder.predict_masked(&latent, &case.indices).unwrap_err().to_string();
        assert!(message.contains("[2, 5, 32]") && message.contains("[2, 7, D]"), "{message}");
    }
}
