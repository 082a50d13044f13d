//! A Unified View of Masked Image Modeling (Peng et al., arXiv 2210.10615): MaskDistill.
//!
//! A student that sees every position, masked patches as one learned token, predicts the
//! normalised features that a teacher gives of the whole image; a linear layer is all
//! there is above it. Equations and deviations: `docs/systems/maskdistill.md`.

use std::sync::Arc;

use anyhow::Result;
use bauta_backbones::{
    BeitConfig, BeitEncoder, BeitModelConfig, Flops, ImageNormalization, Linear, Parameters,
    TokenIndices,
};
use bauta_data::Loader;
use bauta_masking::{MaskPlan, MaskStrategy};
use bauta_recipe::Features;
use bauta_targets::FeatureTarget;
use bauta_train::{Objective, TrainError};
use tch::Tensor;

use super::distillation::{DroppingBatch, Skipping, feature_target};
use super::{ImageSystem, Ingredients, Preparation, pixels, whole_image_features};

/// The five slots: teacher, normalisation and loss in the target, student and head.
pub struct MaskDistill {
    parameters: Parameters,
    normalization: ImageNormalization,
    strategy: Arc<dyn MaskStrategy>,
    student: BeitEncoder,
    head: Linear,
    target: FeatureTarget,
    skipping: Skipping,
    features: Features,
    seed: u64,
}

impl ImageSystem for MaskDistill {
    fn new(ingredients: &Ingredients<'_>) -> Result<Self> {
        let Ingredients { recipe, device, .. } = *ingredients;
        let vit = ingredients.vit_config();
        let config = BeitConfig {
            vit,
            layer_scale: recipe.model.layer_scale,
            absolute_positions: recipe.model.absolute_positions,
        };
        let mut parameters = Parameters::new(recipe.seed, device);
        let student = BeitEncoder::new(parameters.root(), &config)?;
        let grid = student.grid();
        let target = feature_target(ingredients, grid)?;
        let (outputs, init) = (target.teacher().dim(), BeitEncoder::INIT);
        let mut root = parameters.root();
        let head = Linear::starting(root.sub("lm_head"), config.vit.dim, outputs, init, true);
        Ok(Self {
            normalization: ingredients.normalization()?,
            strategy: Arc::from(recipe.mask.build(grid)?),
            skipping: Skipping {
                rate: recipe.model.drop_path,
                encoder_depth: config.vit.depth,
                decoder_depth: 0,
            },
            features: recipe.eval.features,
            seed: recipe.seed,
            parameters,
            student,
            head,
            target,
        })
    }

    fn preparation(&self, _loader: &Loader) -> Preparation<DroppingBatch> {
        let (strategy, skipping, seed) = (self.strategy(), self.skipping, self.seed);
        Box::new(move |batch| DroppingBatch::draw(batch, &*strategy, skipping, seed))
    }

    fn strategy(&self) -> Arc<dyn MaskStrategy> {
        Arc::clone(&self.strategy)
    }

    fn flops_per_sample(&self, plan: &MaskPlan) -> Flops {
        self.student.config().flops(plan.visible_count(), plan.masked_count())
            + self.head.flops(plan.masked_count())
    }

    fn features(&self, pixels: &Tensor) -> Result<Tensor> {
        whole_image_features(&self.student, &self.normalization, self.features, pixels)
    }

    fn attention(&self, pixels: &Tensor) -> Result<Tensor> {
        Ok(self.student.last_attention(&self.normalization.normalize(pixels))?)
    }
}

impl Objective for MaskDistill {
    type Input = DroppingBatch;

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn loss(&self, input: &DroppingBatch) -> Result<Tensor, TrainError> {
        let device = self.parameters.device();
        let pixels = pixels(&input.masked.batch).to_device(device);
        let indices = TokenIndices::new(&input.masked.plan, device);
        let [skipped, _] = input.drop_paths(self.skipping, device);

        let images = self.normalization.normalize(&pixels);
        let tokens = self.student.forward_masked(&images, &indices, skipped.as_ref())?;
        let patches = tokens.narrow(1, 1, indices.tokens());
        let prediction = self.head.forward(&indices.gather_masked(&patches));

        let failed = |error: bauta_targets::TargetError| TrainError::Objective(error.to_string());
        let target = self.target.masked(&pixels, &indices).map_err(failed)?;
        self.target.loss(&prediction, &target).map_err(failed)
    }

    fn config(&self) -> serde_json::Value {
        let config = BeitModelConfig::new(self.student.config(), Some(self.target.teacher().dim()));
        serde_json::to_value(config).expect("a configuration is plain values")
    }

    fn tensors(&self, input: &DroppingBatch) -> Vec<(&'static str, Tensor)> {
        input.masked.tensors(self.parameters.device())
    }
}
