//! The published systems, one file each, as one composition of the parts.

mod dbot;
mod distillation;
mod mae;
mod mask_distill;

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use bauta_backbones::{
    Flops, ImageEncoder, ImageNormalization, TokenIndices, class_token, mean_of_patches,
};
use bauta_data::{Batch, Loader, Statistics};
use bauta_masking::{MaskPlan, MaskStrategy};
use bauta_recipe::{Features, Recipe};
use bauta_train::Objective;
use tch::{Device, Tensor};

pub use dbot::DBot;
pub use mae::Mae;
pub use mask_distill::MaskDistill;

/// What a system is made of.
pub struct Ingredients<'a> {
    /// Every setting.
    pub recipe: &'a Recipe,
    /// Statistics of the training images' channels.
    pub statistics: Statistics,
    /// Where tensors live.
    pub device: Device,
    /// The weights that teach, where the recipe names a teacher that has any: a model
    /// folder or a file.
    pub teacher: Option<&'a Path>,
    /// The stage, counted from 0; 0 for systems without stages.
    pub stage: u32,
}

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

    /// Images and masks as named tensors.
    pub fn tensors(&self, device: Device) -> Vec<(&'static str, Tensor)> {
        let mask = TokenIndices::new(&self.plan, device).mask();
        vec![("pixels", pixels(&self.batch)), ("mask", mask)]
    }
}

/// Makes the host's part of a step from a batch, on the loader's threads.
pub type Preparation<T> = Box<dyn Fn(Batch) -> T + Send + Sync>;

/// A system that learns from masked images and gives features of whole ones.
pub trait ImageSystem: Objective + Sized {
    /// Builds the system's modules for a recipe, at their initial weights.
    ///
    /// # Errors
    /// When the recipe's sizes do not fit together, or the teacher's do not fit the student's.
    fn new(ingredients: &Ingredients<'_>) -> Result<Self>;

    /// How many stages a recipe trains one after another, each with a new student.
    fn stages(_recipe: &Recipe) -> u32 {
        1
    }

    /// What a step is made of besides its images: masks, and whatever else is drawn.
    fn preparation(&self, loader: &Loader) -> Preparation<Self::Input>;

    /// How tokens are hidden in training.
    fn strategy(&self) -> Arc<dyn MaskStrategy>;

    /// Matrix-product operations of one sample's training step, masked as in `plan`; those of
    /// a teacher are not counted.
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
    /// [0, 1], in which only the masked tokens mean something; none where it predicts
    /// no pixels.
    ///
    /// # Errors
    /// When images or plan are of another size.
    fn reconstruct(&self, _pixels: &Tensor, _indices: &TokenIndices) -> Result<Option<Tensor>> {
        Ok(None)
    }
}

/// Calls a generic function with the type of the recipe's system.
macro_rules! with_system {
    ($system:expr, $S:ident => $call:expr) => {
        match $system {
            bauta_recipe::System::Mae => {
                type $S = $crate::systems::Mae;
                $call
            }
            bauta_recipe::System::DBot => {
                type $S = $crate::systems::DBot;
                $call
            }
            bauta_recipe::System::MaskDistill => {
                type $S = $crate::systems::MaskDistill;
                $call
            }
            other => Err(anyhow::anyhow!("system {} cannot be run yet", other.name())),
        }
    };
}
pub(crate) use with_system;

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
