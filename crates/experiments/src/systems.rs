//! The published systems, one file each, as one composition of the parts.

mod dbot;
mod distillation;
mod i_mae;
mod mae;
mod mask_distill;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use bauta_backbones::{
    Flops, ImageEncoder, ImageNormalization, TokenIndices, VitConfig, class_token, mean_of_patches,
};
use bauta_data::{Batch, Loader, LoaderConfig, Source, Statistics};
use bauta_eval::Picture;
use bauta_masking::{Grid, MaskPlan, MaskStrategy};
use bauta_recipe::{Features, Recipe, TargetKind};
use bauta_targets::PixelTarget;
use bauta_train::Objective;
use tch::{Device, Tensor};

use crate::data::Splits;
use crate::evaluation::Evaluation;
pub use dbot::DBot;

pub use i_mae::IMae;
pub use mae::Mae;
pub use mask_distill::MaskDistill;

/// What a system is made of.
pub struct Ingredients<'a> {
    /// Every setting.
    pub recipe: &'a Recipe,
    /// Statistics of the training images' channels.
    pub statistics: Statistics,
    /// The training images, for systems that choose among them.
    pub images: &'a Arc<dyn Source>,
    /// Where tensors live.
    pub device: Device,
    /// The weights that teach, where the recipe names a teacher that has any: a model
    /// folder or a file.
    pub teacher: Option<&'a Path>,
    /// The stage, counted from 0; 0 for systems without stages.
    pub stage: u32,
}

/// What a system's own measures may need besides the system.
pub struct Measuring<'a, S> {
    /// Every setting.
    pub recipe: &'a Recipe,
    /// The images that are measured on.
    pub splits: &'a Splits,
    /// How they are cut.
    pub loader: LoaderConfig,
    /// The same system at random weights.
    pub untrained: &'a S,
    /// Set to end it early.
    pub stop: &'a AtomicBool,
}

impl<S> Measuring<'_, S> {
    /// Refuses to go on once the user stops it.
    ///
    /// # Errors
    /// When `stop` is set.
    pub fn go_on(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            bail!("stopped while evaluating; go on with the same command and --resume");
        }
        Ok(())
    }
}

impl Ingredients<'_> {
    /// Images normalised by the data set's own statistics.
    ///
    /// # Errors
    /// When a deviation is not positive.
    pub fn normalization(&self) -> Result<ImageNormalization> {
        Ok(ImageNormalization::new(self.statistics.mean, self.statistics.std, self.device)?)
    }

    /// The sizes of a ViT that the recipe's `model` table names.
    pub fn vit_config(&self) -> VitConfig {
        let (image, model) = (self.recipe.data.image_size, &self.recipe.model);
        VitConfig {
            image_height: image.height(),
            image_width: image.width(),
            channels: self.statistics.mean.len(),
            mlp_dim: (model.mlp_ratio * model.dim as f64) as usize,
            ..VitConfig::new(0, model.patch_size, model.dim, model.depth, model.heads)
        }
    }

    /// The pixels that the recipe's `target` table names, of images on this grid.
    ///
    /// # Errors
    /// When it names a teacher's features.
    pub fn pixel_target(&self, grid: Grid) -> Result<PixelTarget> {
        let channels = self.statistics.mean.len();
        match self.recipe.target.kind {
            TargetKind::Pixels => Ok(PixelTarget::raw(grid, channels)),
            TargetKind::NormalizedPixels => Ok(PixelTarget::normalized(grid, channels)),
            TargetKind::Features => bail!("{} predicts pixels", self.recipe.system.name()),
        }
    }
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

    /// The same network at random weights, which the baseline `random_init` measures.
    ///
    /// # Errors
    /// As [`Self::new`].
    fn untrained(ingredients: &Ingredients<'_>) -> Result<Self> {
        Self::new(ingredients)
    }

    /// The system at weights that the trained ones are held against, by their baselines' names.
    ///
    /// # Errors
    /// As [`Self::new`].
    fn references(_ingredients: &Ingredients<'_>) -> Result<Vec<(String, Self)>> {
        Ok(Vec::new())
    }

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

    /// Pictures of the system's own of u8 pixels [B, C, H, W], by the names of their files.
    ///
    /// # Errors
    /// As [`Self::reconstruct`].
    fn own_pictures(
        &self,
        _pixels: &Tensor,
        _indices: &TokenIndices,
    ) -> Result<Vec<(&'static str, Picture)>> {
        Ok(Vec::new())
    }

    /// What the trained system is measured by besides the protocols on its features.
    ///
    /// # Errors
    /// When images cannot be read, or the user stops it.
    fn measure(&self, _context: &Measuring<'_, Self>) -> Result<Evaluation> {
        Ok(Evaluation::default())
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
            bauta_recipe::System::IMae => {
                type $S = $crate::systems::IMae;
                $call
            }
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
