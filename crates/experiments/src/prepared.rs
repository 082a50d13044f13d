//! A recipe made ready on this machine: its device, threads and data, and the
//! settings of loader and training that follow from them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use bauta_data::{Loader, LoaderConfig, Source};
use bauta_recipe::Recipe;
use bauta_train::{Schedule, Stage, TrainConfig};
use tch::Device;

use crate::data::Splits;
use crate::systems::{ImageSystem, Ingredients};

/// What a recipe is run with.
pub struct Prepared {
    /// The recipe.
    pub recipe: Recipe,
    /// Where tensors live.
    pub device: Device,
    /// Threads of libtorch and of the loader.
    pub threads: usize,
    /// The images.
    pub splits: Splits,
    /// The weights that teach, where the recipe wants any.
    pub teacher: Option<PathBuf>,
}

impl Prepared {
    /// Chooses the device, gives libtorch its threads and opens the data; there is no
    /// teacher yet.
    ///
    /// # Errors
    /// When the recipe's device or data are not there; the message says what to do.
    pub fn new(recipe: Recipe) -> Result<Self> {
        let device = choose_device(recipe.train.device)?;
        let threads = choose_threads(recipe.train.threads);
        let splits = Splits::open(&recipe.data)?;
        Ok(Self { recipe, device, threads, splits, teacher: None })
    }

    /// Builds the recipe's system at its initial weights.
    ///
    /// # Errors
    /// When the recipe's sizes do not fit together.
    pub fn system<S: ImageSystem>(&self) -> Result<S> {
        self.stage(0, self.teacher.as_deref())
    }

    /// Builds the system of one of the recipe's stages, counted from 0, at its initial
    /// weights and under the weights that teach it.
    ///
    /// # Errors
    /// As [`Self::system`].
    pub fn stage<S: ImageSystem>(&self, stage: u32, teacher: Option<&Path>) -> Result<S> {
        S::new(&self.ingredients(stage, teacher))
    }

    /// Builds the recipe's system at random weights.
    ///
    /// # Errors
    /// As [`Self::system`].
    pub fn untrained<S: ImageSystem>(&self) -> Result<S> {
        S::untrained(&self.ingredients(0, self.teacher.as_deref()))
    }

    /// The system at weights that the trained ones are held against, by their names.
    ///
    /// # Errors
    /// As [`Self::system`].
    pub fn references<S: ImageSystem>(&self) -> Result<Vec<(String, S)>> {
        S::references(&self.ingredients(0, self.teacher.as_deref()))
    }

    fn ingredients<'a>(&'a self, stage: u32, teacher: Option<&'a Path>) -> Ingredients<'a> {
        let Self { recipe, device, .. } = self;
        let images = &self.splits.train;
        let statistics = images.statistics();
        Ingredients { recipe, statistics, images, device: *device, teacher, stage }
    }

    /// How images are cut into batches.
    pub fn loader_config(&self) -> LoaderConfig {
        let (train, data) = (&self.recipe.train, &self.recipe.data);
        let size = data.image_size;
        LoaderConfig {
            seed: self.recipe.seed,
            threads: self.threads,
            on_error: data.on_error,
            ..LoaderConfig::new(train.batch_size, size.height(), size.width())
        }
    }

    /// The loader of the training images.
    ///
    /// # Errors
    /// When there are fewer images than a batch holds.
    pub fn loader(&self) -> Result<Loader> {
        let source: Arc<dyn Source> = Arc::clone(&self.splits.train);
        Ok(Loader::new(source, self.recipe.data.augment.clone(), self.loader_config())?)
    }

    /// Samples that one optimiser step learns from.
    pub fn samples_per_step(&self) -> usize {
        self.recipe.train.batch_size * self.recipe.train.accumulate
    }

    /// How the recipe trains.
    pub fn train_config(&self, batches_per_epoch: u64) -> TrainConfig {
        let train = &self.recipe.train;
        let steps_per_epoch = (batches_per_epoch / train.accumulate as u64).max(1);
        let schedule = Schedule {
            lr: Schedule::scaled_lr(train.base_lr, self.samples_per_step()),
            min_lr: train.min_lr,
            warmup_steps: train.warmup_epochs * steps_per_epoch as f64,
            steps: u64::from(train.epochs) * steps_per_epoch,
        };
        TrainConfig {
            stage: Stage::default(),
            schedule,
            steps_per_epoch,
            batch_size: train.batch_size,
            accumulate: train.accumulate,
            adamw: bauta_train::AdamWConfig {
                betas: (train.betas[0], train.betas[1]),
                weight_decay: train.weight_decay,
                ..Default::default()
            },
            clip_grad: train.clip_grad,
            ema: train.ema,
            precision: precision(train.precision),
            checkpoint_every: train.checkpoint_every,
            log_every: train.log_every,
        }
    }
}

/// `cpu` or `cuda:0`.
pub fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}

/// The arithmetic that a recipe names.
pub(crate) fn precision(wanted: bauta_recipe::Precision) -> bauta_train::Precision {
    match wanted {
        bauta_recipe::Precision::Fp32 => bauta_train::Precision::Fp32,
        bauta_recipe::Precision::Bf16 => bauta_train::Precision::Bf16,
    }
}

/// The device that is wanted, or that is there.
pub(crate) fn choose_device(wanted: bauta_recipe::Device) -> Result<Device> {
    use bauta_recipe::Device as Wanted;
    if wanted == Wanted::Cpu {
        return Ok(Device::Cpu);
    }
    let cuda = bauta_libtorch::load_cuda() && tch::Cuda::is_available();
    match wanted {
        Wanted::Cuda if !cuda => {
            bail!(
                "train.device is \"cuda\", but libtorch finds no CUDA device; see `cargo xtask doctor`"
            )
        }
        _ => Ok(if cuda { Device::Cuda(0) } else { Device::Cpu }),
    }
}

/// Gives libtorch its threads; they are part of a run's result (sums are split by thread).
pub(crate) fn choose_threads(wanted: usize) -> usize {
    let threads = match wanted {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    };
    tch::set_num_threads(threads as i32);
    threads
}
