//! Masked Autoencoders Are Scalable Vision Learners (He et al., arXiv 2111.06377).
//!
//! Cut the image into patches; hide most of them at random; encode the visible
//! ones; append mask tokens and decode; predict the hidden patches' pixels.
//! Equations and deviations: `docs/systems/mae.md`.

use std::sync::Arc;

use anyhow::{Context, Result};
use bauta_backbones::{
    Flops, ImageNormalization, MaeDecoder, MaeDecoderConfig, Parameters, TokenIndices,
    VisionTransformer, VitMaeConfig,
};
use bauta_data::Loader;
use bauta_masking::{MaskPlan, MaskStrategy};
use bauta_recipe::Features;
use bauta_targets::{PixelTarget, Target};
use bauta_train::{Objective, TrainError};
use tch::Tensor;

use super::{ImageSystem, Ingredients, MaskedBatch, Preparation, pixels, whole_image_features};

/// The masked autoencoder: encoder, decoder, target, and how masks are drawn.
pub struct Mae {
    parameters: Parameters,
    normalization: ImageNormalization,
    strategy: Arc<dyn MaskStrategy>,
    encoder: VisionTransformer,
    decoder: MaeDecoder,
    target: PixelTarget,
    features: Features,
    seed: u64,
    config: VitMaeConfig,
}

impl ImageSystem for Mae {
    fn new(ingredients: &Ingredients<'_>) -> Result<Self> {
        let Ingredients { recipe, device, .. } = *ingredients;
        let decoder = recipe.decoder.as_ref().context("a masked autoencoder has a decoder")?;
        let model = &recipe.model;
        let mut parameters = Parameters::new(recipe.seed, device);
        let normalization = ingredients.normalization()?;

        let encoder_config = ingredients.vit_config();
        let encoder = VisionTransformer::new(parameters.root(), &encoder_config)?;
        let grid = encoder.grid();

        let outputs = encoder_config.patch_values();
        let decoder_config =
            MaeDecoderConfig::new(model.dim, decoder.dim, decoder.depth, decoder.heads, outputs);
        let decoder = MaeDecoder::new(parameters.root(), &decoder_config, grid)?;

        let target = ingredients.pixel_target(grid)?;
        let strategy = Arc::from(recipe.mask.build(grid)?);
        let normalized = target.is_normalized();
        let config =
            VitMaeConfig::new(&encoder_config, &decoder_config, recipe.mask.ratio, normalized);
        Ok(Self {
            parameters,
            normalization,
            strategy,
            encoder,
            decoder,
            target,
            features: recipe.eval.features,
            seed: recipe.seed,
            config,
        })
    }

    fn preparation(&self, _loader: &Loader) -> Preparation<MaskedBatch> {
        let (strategy, seed) = (self.strategy(), self.seed);
        Box::new(move |batch| MaskedBatch::draw(batch, &*strategy, seed))
    }

    fn strategy(&self) -> Arc<dyn MaskStrategy> {
        Arc::clone(&self.strategy)
    }

    fn flops_per_sample(&self, plan: &MaskPlan) -> Flops {
        let (visible, masked) = (plan.visible_count(), plan.masked_count());
        self.encoder.config().flops(visible) + self.decoder.config().flops(visible, masked)
    }

    fn features(&self, pixels: &Tensor) -> Result<Tensor> {
        whole_image_features(&self.encoder, &self.normalization, self.features, pixels)
    }

    fn attention(&self, pixels: &Tensor) -> Result<Tensor> {
        Ok(self.encoder.last_attention(&self.normalization.normalize(pixels))?)
    }

    fn reconstruct(&self, pixels: &Tensor, indices: &TokenIndices) -> Result<Option<Tensor>> {
        let images = self.normalization.normalize(pixels);
        let latent = self.encoder.forward_visible(&images, indices)?;
        let prediction = self.decoder.predict_all(&latent, indices)?;
        let predicted_images = self.target.to_images(&prediction, &images)?;
        Ok(Some(self.normalization.to_pixels(&predicted_images)))
    }
}

impl Objective for Mae {
    type Input = MaskedBatch;

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn loss(&self, input: &MaskedBatch) -> Result<Tensor, TrainError> {
        let images = self.normalization.normalize(&pixels(&input.batch));
        let indices = TokenIndices::new(&input.plan, self.parameters.device());

        let latent = self.encoder.forward_visible(&images, &indices)?;
        let prediction = self.decoder.predict_masked(&latent, &indices)?;

        let failed = |error: bauta_targets::TargetError| TrainError::Objective(error.to_string());
        let target = self.target.masked(&images, &indices).map_err(failed)?;
        self.target.loss(&prediction, &target).map_err(failed)
    }

    fn config(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).expect("a configuration is plain values")
    }

    fn tensors(&self, input: &MaskedBatch) -> Vec<(&'static str, Tensor)> {
        input.tensors(self.parameters.device())
    }
}
