//! i-MAE: Are Latent Representations in Masked Autoencoders Linearly Separable?
//! (Zhang and Shen, arXiv 2210.11470).
//!
//! Mix two images; hide most patches of the mixture; encode the visible ones; take the
//! latent apart with one linear head an image; decode each with the same decoder; hold
//! each latent against what a frozen masked autoencoder makes of that image alone.
//! Equations and deviations: `docs/systems/i-mae.md`.

mod measures;
mod pictures;
mod teacher;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use anyhow::{Context, Result};
use bauta_backbones::{
    DisentanglingDecoder, Flops, ImageNormalization, MaeDecoderConfig, Parameters, TokenIndices,
    VisionTransformer, VitMaeConfig,
};
use bauta_data::{Batch, DataError, Loader, PartnerSampler};
use bauta_eval::Picture;
use bauta_masking::{MaskPlan, MaskStrategy};
use bauta_recipe::{Branches, Features, Mixture, MixtureInit, TeacherInput};
use bauta_streams::{Purpose, StreamKey};
use bauta_targets::{PixelTarget, TargetError, by_weight, latent_loss, mix, two_way_loss};
use bauta_train::{Objective, TrainError};
use tch::Tensor;

use self::teacher::Teacher;
use super::{
    ImageSystem, Ingredients, MaskedBatch, Measuring, Preparation, pixels, whole_image_features,
};
use crate::evaluation::Evaluation;

/// Encoder, disentangling heads on one decoder, target, and the frozen teacher.
pub struct IMae {
    parameters: Parameters,
    normalization: ImageNormalization,
    strategy: Arc<dyn MaskStrategy>,
    encoder: VisionTransformer,
    decoder: DisentanglingDecoder,
    target: PixelTarget,
    teacher: Option<Teacher>,
    partners: Arc<PartnerSampler>,
    mixture: Mixture,
    features: Features,
    seed: u64,
    config: VitMaeConfig,
}

/// A masked batch, the images it is mixed with, and the share of its own.
#[derive(Debug)]
pub struct MixedBatch {
    masked: MaskedBatch,
    partners: Result<Batch, DataError>,
    lambda: f64,
}

/// The share of a step's first images: one number for the whole batch, from U(0, 1).
fn draw_lambda(seed: u64, step: u64) -> f64 {
    let purpose = Purpose::named("mixture");
    StreamKey { seed, purpose, epoch: 0, sample: step }.stream().uniform_in(0.0, 1.0)
}

impl IMae {
    fn begin(ingredients: &Ingredients<'_>, init: MixtureInit) -> Result<Self> {
        let Ingredients { recipe, device, images, teacher, .. } = *ingredients;
        let mixture = recipe.mixture.clone().context("i-MAE has a [mixture]")?;
        let decoder = recipe.decoder.as_ref().context("i-MAE has a [decoder]")?;
        let partners = PartnerSampler::new(&**images, mixture.same_class, recipe.seed)?;
        let model = &recipe.model;
        let mut parameters = Parameters::new(recipe.seed, device);
        let normalization = ingredients.normalization()?;

        let encoder_config = ingredients.vit_config();
        let encoder = VisionTransformer::new(parameters.root(), &encoder_config)?;
        let grid = encoder.grid();

        let outputs = encoder_config.patch_values();
        let decoder_config =
            MaeDecoderConfig::new(model.dim, decoder.dim, decoder.depth, decoder.heads, outputs);
        let build = match mixture.branches {
            Branches::Single => DisentanglingDecoder::single,
            Branches::Double => DisentanglingDecoder::double,
        };
        let decoder = build(parameters.root(), &decoder_config, grid)?;
        let target = ingredients.pixel_target(grid)?;
        let normalized = target.is_normalized();
        let ratio = recipe.mask.ratio;
        let config = VitMaeConfig {
            decoder_branches: decoder.branches(),
            ..VitMaeConfig::new(&encoder_config, &decoder_config, ratio, normalized)
        };

        let teacher = teacher.map(|folder| Teacher::open(folder, device)).transpose()?;
        if let Some(teacher) = &teacher {
            teacher.check(&encoder, (mixture.latent_weight > 0.0).then_some(&decoder_config))?;
        }
        if init == MixtureInit::Teacher {
            let teacher = teacher.as_ref().context("mixture.init \"teacher\" needs a [teacher]")?;
            teacher.begin(&parameters, &config)?;
        }
        Ok(Self {
            parameters,
            normalization,
            strategy: Arc::from(recipe.mask.build(grid)?),
            encoder,
            decoder,
            target,
            teacher,
            partners: Arc::new(partners),
            mixture,
            features: recipe.eval.features,
            seed: recipe.seed,
            config,
        })
    }

    /// The teacher, where it is learnt from.
    fn distilled(&self) -> Option<&Teacher> {
        self.teacher.as_ref().filter(|_| self.mixture.latent_weight > 0.0)
    }
}

impl ImageSystem for IMae {
    fn new(ingredients: &Ingredients<'_>) -> Result<Self> {
        let mixture = ingredients.recipe.mixture.as_ref().context("i-MAE has a [mixture]")?;
        Self::begin(ingredients, mixture.init)
    }

    fn untrained(ingredients: &Ingredients<'_>) -> Result<Self> {
        Self::begin(ingredients, MixtureInit::Random)
    }

    fn references(ingredients: &Ingredients<'_>) -> Result<Vec<(String, Self)>> {
        let initial = Self::new(ingredients)?;
        let continues = initial.mixture.init == MixtureInit::Teacher;
        Ok(continues.then(|| ("mae".to_owned(), initial)).into_iter().collect())
    }

    fn preparation(&self, loader: &Loader) -> Preparation<MixedBatch> {
        let (strategy, seed, fixed) = (self.strategy(), self.seed, self.mixture.lambda);
        let (reader, sampler) = (loader.reader(), Arc::clone(&self.partners));
        Box::new(move |batch| {
            let partners = sampler.partners(batch.epoch, &batch.indices);
            let partners = reader.partners(&batch, &partners);
            let lambda = fixed.unwrap_or_else(|| draw_lambda(seed, batch.step));
            MixedBatch { masked: MaskedBatch::draw(batch, &*strategy, seed), partners, lambda }
        })
    }

    fn strategy(&self) -> Arc<dyn MaskStrategy> {
        Arc::clone(&self.strategy)
    }

    fn flops_per_sample(&self, plan: &MaskPlan) -> Flops {
        let (visible, masked) = (plan.visible_count(), plan.masked_count());
        let branches = self.decoder.branches();
        let decoder = self.decoder.config().flops(visible, masked).times(branches);
        let taught = match self.mixture.teacher_input {
            TeacherInput::Sources => branches,
            TeacherInput::Mixture => 1,
        };
        let teacher = self.distilled().map(|teacher| teacher.flops(visible).times(taught));
        self.encoder.config().flops(visible) + decoder + teacher.unwrap_or_default()
    }

    fn features(&self, pixels: &Tensor) -> Result<Tensor> {
        whole_image_features(&self.encoder, &self.normalization, self.features, pixels)
    }

    fn attention(&self, pixels: &Tensor) -> Result<Tensor> {
        Ok(self.encoder.last_attention(&self.normalization.normalize(pixels))?)
    }

    fn reconstruct(&self, pixels: &Tensor, indices: &TokenIndices) -> Result<Option<Tensor>> {
        // A pure image is dominant; a lone branch is all there is to show of it.
        let images = self.normalization.normalize(pixels);
        Ok(self.predict([&images; 2], 1.0, indices)?.pop())
    }

    fn own_pictures(
        &self,
        pixels: &Tensor,
        indices: &TokenIndices,
    ) -> Result<Vec<(&'static str, Picture)>> {
        Ok(vec![("mixtures", self.sheet(pixels, indices)?)])
    }

    fn measure(&self, context: &Measuring<'_, Self>) -> Result<Evaluation> {
        measures::measure(self, context)
    }
}

impl Objective for IMae {
    type Input = MixedBatch;

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn loss(&self, input: &MixedBatch) -> Result<Tensor, TrainError> {
        let failed = |error: TargetError| TrainError::Objective(error.to_string());
        let unread = |error: &DataError| TrainError::Objective(error.to_string());
        let partners = input.partners.as_ref().map_err(unread)?;
        let [first, second] = [&input.masked.batch, partners]
            .map(|batch| self.normalization.normalize(&pixels(batch)));
        let indices = TokenIndices::new(&input.masked.plan, self.parameters.device());

        let mixture = mix(&first, &second, input.lambda).map_err(failed)?;
        let sources = by_weight(&first, &second, input.lambda);
        let latent = self.encoder.forward_visible(&mixture, &indices)?;
        let latents = self.decoder.disentangle(&latent);
        let predictions = self.decoder.predict_masked(&latents, &indices)?;
        let image_loss =
            two_way_loss(&self.target, &predictions, sources, &indices).map_err(failed)?;

        let Some(teacher) = self.distilled() else { return Ok(image_loss) };
        let taught = match self.mixture.teacher_input {
            TeacherInput::Sources => teacher.latents(&sources[..latents.len()], &indices)?,
            TeacherInput::Mixture => teacher.latent_for_all(&mixture, &indices, latents.len())?,
        };
        let latent_loss = latent_loss(&latents, &taught).map_err(failed)?;
        Ok(image_loss + latent_loss * self.mixture.latent_weight)
    }

    fn config(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).expect("a configuration is plain values")
    }

    fn tensors(&self, input: &MixedBatch) -> Vec<(&'static str, Tensor)> {
        let mask = TokenIndices::new(&input.masked.plan, self.parameters.device()).mask();
        let lambda = Tensor::from_slice(&[input.lambda]);
        let mut tensors = vec![("mask", mask), ("lambda", lambda)];
        tensors.push(("pixels", pixels(&input.masked.batch)));
        tensors.extend(input.partners.iter().map(|partners| ("partners", pixels(partners))));
        tensors
    }
}
