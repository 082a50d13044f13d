//! The published systems, one file each, as one composition of the parts.

mod mae;

use std::sync::Arc;

use anyhow::Result;
use bauta_backbones::{
    Flops, ImageEncoder, ImageNormalization, TokenIndices, class_token, mean_of_patches,
};
use bauta_data::{Batch, Statistics};
use bauta_masking::{MaskPlan, MaskStrategy};
use bauta_recipe::{Features, Recipe};
use bauta_train::Objective;
use tch::{Device, Tensor};

pub use mae::Mae;

/// A batch of images with its masks: what most systems train on.
#[derive(Debug)]
pub struct MaskedBatch {
    /// The images.
    pub batch: Batch,
    /// Which of their tokens are hidden.
    pub plan: MaskPlan,
}

impl MaskedBatch {
    /// Draws the plan of a batch from its samples' own streams.
    ///
    /// # Panics
    /// When the strategy masks different numbers in the samples of one batch;
    /// the strategies that recipes can name do not.
    pub fn draw(batch: Batch, strategy: &dyn MaskStrategy, seed: u64) -> Self {
        let plan = MaskPlan::draw(strategy, seed, batch.epoch, &batch.indices)
            .expect("recipes name strategies that mask a fixed number of tokens");
        Self { batch, plan }
    }
}

/// A system that learns from masked images and gives features of whole ones.
pub trait ImageSystem: Objective<Input = MaskedBatch> + Sized {
    /// Builds the system's modules for a recipe, at their initial weights.
    ///
    /// # Errors
    /// When the recipe's sizes do not fit together.
    fn new(recipe: &Recipe, statistics: Statistics, device: Device) -> Result<Self>;

    /// How tokens are hidden in training.
    fn strategy(&self) -> Arc<dyn MaskStrategy>;

    /// Matrix-product operations of one sample's training step, masked as in `plan`.
    fn flops_per_sample(&self, plan: &MaskPlan) -> Flops;

    /// Features of whole images: u8 pixels [B, C, H, W] to [B, D].
    ///
    /// # Errors
    /// When the images are of another size.
    fn features(&self, pixels: &Tensor) -> Result<Tensor>;

    /// Where the encoder's last block looks on u8 pixels [B, C, H, W]:
    /// [B, heads, 1 + L, 1 + L], the class token first.
    ///
    /// # Errors
    /// When the images are of another size.
    fn attention(&self, pixels: &Tensor) -> Result<Tensor>;

    /// Pictures of what the system predicts for u8 pixels [B, C, H, W]: [B, C, H, W] in
    /// [0, 1], in which only the masked tokens mean something.
    ///
    /// # Errors
    /// When images or plan are of another size.
    fn reconstruct(&self, pixels: &Tensor, indices: &TokenIndices) -> Result<Tensor>;
}

/// What an encoder says of whole images: u8 pixels [B, C, H, W] to [B, D].
///
/// # Errors
/// When the images are of another size.
pub fn whole_image_features(
    encoder: &dyn ImageEncoder,
    normalization: &ImageNormalization,
    features: Features,
    pixels: &Tensor,
) -> Result<Tensor> {
    let tokens = encoder.tokens(&normalization.normalize(pixels))?;
    Ok(match features {
        Features::Cls => class_token(&tokens),
        Features::Mean => mean_of_patches(&tokens),
    })
}

/// A batch's pixels as a u8 tensor [B, C, H, W] on the host.
pub fn pixels(batch: &Batch) -> Tensor {
    let shape: Vec<i64> = batch.pixels.shape().iter().map(|&side| side as i64).collect();
    let pixels = batch.pixels.as_slice().expect("the loader fills batches in standard layout");
    Tensor::from_slice(pixels).view(shape.as_slice())
}
