//! Exploring Target Representations for Masked Autoencoders (Liu et al., arXiv 2209.03917).
//!
//! A masked autoencoder predicts what a frozen teacher makes of the whole image. The first
//! teacher may be anything, even a copy of the student's own random start; after each
//! stage the student becomes the teacher, and a new student begins. Equations and
//! deviations: `docs/systems/dbot.md`.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use anyhow::{Context, Result};
use bauta_backbones::{
    Flops, ImageNormalization, MaeDecoder, MaeDecoderConfig, Parameters, TokenIndices,
    VisionTransformer, VitMaeConfig,
};
use bauta_data::Loader;
use bauta_masking::{MaskPlan, MaskStrategy};
use bauta_recipe::{Features, Recipe};
use bauta_targets::FeatureTarget;
use bauta_train::{Objective, TrainError};
use tch::Tensor;

use super::distillation::{DroppingBatch, Skipping, feature_target};
use super::{ImageSystem, Ingredients, Preparation, pixels, whole_image_features};

/// One stage: a student, its decoder, and the teacher's target.
pub struct DBot {
    parameters: Parameters,
    normalization: ImageNormalization,
    strategy: Arc<dyn MaskStrategy>,
    encoder: VisionTransformer,
    decoder: MaeDecoder,
    target: FeatureTarget,
    skipping: Skipping,
    features: Features,
    seed: u64,
    config: VitMaeConfig,
}

impl ImageSystem for DBot {
    fn new(ingredients: &Ingredients<'_>) -> Result<Self> {
        let Ingredients { recipe, device, stage, .. } = *ingredients;
        let decoder = recipe.decoder.as_ref().context("dBOT's student has a decoder")?;
        let encoder_config = ingredients.vit_config();

        // Each stage draws its student anew; the first one's start is the random teacher.
        let mut parameters = Parameters::drawn(recipe.seed, u64::from(stage), device);
        let encoder = VisionTransformer::new(parameters.root(), &encoder_config)?;
        let grid = encoder.grid();
        let target = feature_target(ingredients, grid)?;

        let (dim, outputs) = (encoder_config.dim, target.teacher().dim());
        let decoder_config =
            MaeDecoderConfig::new(dim, decoder.dim, decoder.depth, decoder.heads, outputs);
        let decoder = MaeDecoder::new(parameters.root(), &decoder_config, grid)?;
        Ok(Self {
            normalization: ingredients.normalization()?,
            strategy: Arc::from(recipe.mask.build(grid)?),
            skipping: Skipping {
                rate: recipe.model.drop_path,
                encoder_depth: encoder_config.depth,
                decoder_depth: decoder_config.depth,
            },
            features: recipe.eval.features,
            seed: recipe.seed,
            config: VitMaeConfig::of_features(&encoder_config, &decoder_config, recipe.mask.ratio),
            parameters,
            encoder,
            decoder,
            target,
        })
    }

    fn stages(recipe: &Recipe) -> u32 {
        recipe.stages.as_ref().map_or(1, |stages| stages.count)
    }

    fn preparation(&self, _loader: &Loader) -> Preparation<DroppingBatch> {
        let (strategy, skipping, seed) = (self.strategy(), self.skipping, self.seed);
        Box::new(move |batch| DroppingBatch::draw(batch, &*strategy, skipping, seed))
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
}

impl Objective for DBot {
    type Input = DroppingBatch;

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn loss(&self, input: &DroppingBatch) -> Result<Tensor, TrainError> {
        let device = self.parameters.device();
        let pixels = pixels(&input.masked.batch).to_device(device);
        let indices = TokenIndices::new(&input.masked.plan, device);
        let [skipped, skipped_above] = input.drop_paths(self.skipping, device);

        let images = self.normalization.normalize(&pixels);
        let latent = self.encoder.forward_visible_dropping(&images, &indices, skipped.as_ref())?;
        let prediction =
            self.decoder.predict_masked_and_class(&latent, &indices, skipped_above.as_ref())?;

        let failed = |error: bauta_targets::TargetError| TrainError::Objective(error.to_string());
        if self.target.teacher().has_class_token() {
            let target = self.target.masked_and_class(&pixels, &indices).map_err(failed)?;
            return self.target.loss(&prediction, &target).map_err(failed);
        }
        let target = self.target.masked(&pixels, &indices).map_err(failed)?;
        let prediction = prediction.narrow(1, 1, indices.masked_count());
        self.target.loss(&prediction, &target).map_err(failed)
    }

    fn config(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).expect("a configuration is plain values")
    }

    fn tensors(&self, input: &DroppingBatch) -> Vec<(&'static str, Tensor)> {
        input.masked.tensors(self.parameters.device())
    }
}
