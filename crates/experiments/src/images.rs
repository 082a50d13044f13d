//! The common parts of image systems: a run's images, masked batches, the student, measurements and
//! pictures.

mod init;
mod online;
mod pictures;
mod probe;
mod student;
mod teachers;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use bauta_backbones::{ImageNormalization, Parameters, Preprocessing, VitConfig};
use bauta_data::{
    Augment, Batch, Inputs, Loader, LoaderConfig, PartnerSampler, Read, Shrunk, Source, cache_root,
};
use bauta_eval::folder::{data_normalization, framing};
use bauta_eval::{Splits, check_suitable, warn_of_missing_classes};
use bauta_libtorch::on_one_thread;
use bauta_masking::Grid;
use bauta_recipe::{self as recipe, Data, Eval, Vit};
use bauta_targets::PixelTarget;
use tch::Device;

pub use bauta_train::{MaskedImages, Masking};

pub use self::pictures::Predict;
pub use self::probe::Features;
pub use self::student::Student;
pub use self::teachers::Teachers;
use crate::settings::evaluators;

/// The images of a run: both splits, and how they are read.
pub struct Images {
    /// The training and the test images.
    pub splits: Splits,
    /// The training images as read in training: shrunk if the recipe says so.
    pub trained: Arc<dyn Source>,
    /// Seed, batch size, image size and threads.
    pub loader: LoaderConfig,
    /// Augmentation of training images.
    pub augment: Augment,
    /// The measurements on them.
    pub eval: Eval,
    /// Device of the tensors.
    pub device: Device,
    /// Epochs of a phase.
    pub epochs: u32,
    /// The kind of features, in words.
    pub features: String,
}

impl Images {
    /// Opens the images of a recipe, and refuses protocols that do not suit them.
    ///
    /// # Errors
    /// When the data set is missing or incomplete, or a protocol needs more labels than there are.
    /// Unlabelled data are accepted; they will not be evaluated.
    pub fn open(
        data: &Data,
        eval: &Eval,
        [batch_size, threads]: [usize; 2],
        seed: u64,
        device: Device,
        stop: &AtomicBool,
    ) -> Result<Self> {
        let splits = open(data, stop)?;
        if splits.are_labelled() {
            warn_of_missing_classes(&*splits.train, &*splits.test);
            check_suitable(&evaluators(eval)?, &*splits.limited(eval.limit).train)?;
        }
        let (size, on_error) = (data.image_size, data.on_error);
        let loader = LoaderConfig::new(batch_size, size.height(), size.width());
        let loader = LoaderConfig { seed, threads, on_error, ..loader };
        Self::of(splits, data.shrink, loader, data.augment.clone(), eval.clone(), device)
    }

    /// Wraps open splits; training reads a copy with shorter sides shrunk to `shrink`, if given.
    pub(crate) fn of(
        splits: Splits,
        shrink: Option<usize>,
        loader: LoaderConfig,
        augment: Augment,
        eval: Eval,
        device: Device,
    ) -> Result<Self> {
        let trained = match shrink {
            Some(side) => {
                let kept = cache_root()?.join("shrunk");
                Arc::new(Shrunk::new(Arc::clone(&splits.train), side, &kept)?)
            }
            None => Arc::clone(&splits.train),
        };
        let features = format!("{} after the final norm", eval.features.describe());
        Ok(Self { splits, trained, loader, augment, eval, device, epochs: 1, features })
    }

    /// New parameters, initialised by the run's seed.
    pub fn parameters(&self) -> Parameters {
        Parameters::new(self.loader.seed, self.device)
    }

    /// The normalisation of images by the data set's own statistics.
    ///
    /// # Errors
    /// When a standard deviation is not positive.
    pub fn normalization(&self) -> Result<ImageNormalization> {
        let train = &self.splits.train;
        Ok(data_normalization(&train.statistics(), train.sample_type(), self.device)?)
    }

    /// How pictures are preprocessed for the run's models.
    ///
    /// # Errors
    /// As [`Self::normalization`].
    pub fn preprocessing(&self) -> Result<Preprocessing> {
        let LoaderConfig { height, width, .. } = self.loader;
        let framing = framing(&*self.splits.train, [height, width]);
        Ok(self.normalization()?.preprocessing(framing))
    }

    /// The sizes of the ViT that a recipe's `model` table names, on these images.
    pub fn vit_config(&self, model: &Vit) -> VitConfig {
        VitConfig {
            image_height: self.loader.height,
            image_width: self.loader.width,
            channels: self.splits.train.channels(),
            mlp_dim: (model.mlp_ratio * model.dim as f64) as usize,
            ..VitConfig::new(0, model.patch_size, model.dim, model.depth, model.heads)
        }
    }

    /// The pixel target of a recipe's `target` table, for images on this grid.
    pub fn pixel_target(&self, table: &recipe::PixelTarget, grid: Grid) -> PixelTarget {
        let channels = self.splits.train.channels();
        match table.normalizes() {
            true => PixelTarget::normalized(grid, channels),
            false => PixelTarget::raw(grid, channels),
        }
    }

    /// Reads a partner for each training image, of its own class with this probability if given.
    ///
    /// # Errors
    /// When there are fewer than two images, or they have no labels to tell classes by.
    pub fn partners(&self, same_class: Option<f64>) -> Result<Read> {
        let sampler = PartnerSampler::new(&*self.splits.train, same_class, self.loader.seed);
        Ok(Read::Partner(Arc::new(sampler.context("partners of the training images")?)))
    }

    /// The loader of the training images, which reads `reads` with each image.
    ///
    /// # Errors
    /// When there are fewer images than a batch holds.
    pub fn training(&self, reads: Vec<Read>) -> Result<Loader> {
        let (source, config) = (Arc::clone(&self.trained), self.loader.clone());
        Ok(Loader::new(source, self.augment.clone(), config)?.reading(reads))
    }

    /// Batches in an epoch of the training images.
    pub fn batches_per_epoch(&self) -> u64 {
        (self.splits.train.len() / self.loader.batch_size) as u64
    }

    /// Training batches as inputs of a phase, with `reads` next to each image; `prepare` builds the
    /// inputs on the loader's threads.
    ///
    /// # Errors
    /// As [`Self::training`].
    pub fn inputs<T, F>(
        &self,
        reads: Vec<Read>,
        prepare: F,
    ) -> Result<impl FnMut(Range<u64>) -> Inputs<T> + use<T, F>>
    where
        T: Send + 'static,
        F: Fn(Batch) -> T + Clone + Send + Sync + 'static,
    {
        let loader = self.training(reads)?;
        Ok(move |steps: Range<u64>| loader.batches(steps, on_one_thread(prepare.clone())))
    }
}

/// Opens both splits of a recipe's data, up to `data.limit`, unless `stop` is set before.
///
/// # Errors
/// As [`Splits::of`].
pub fn open(data: &Data, stop: &AtomicBool) -> Result<Splits> {
    let (root, limits) = (data.root.as_deref(), [data.limit, None]);
    Ok(Splits::of(data.name, root, &data.options(), limits, stop)?)
}
