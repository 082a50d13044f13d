//! A recipe made ready on this machine: its device, threads and data, and the
//! settings of loader and training that follow from them.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Result, bail};
use bauta_data::{Batches, Loader, LoaderConfig, Source};
use bauta_recipe::Recipe;
use bauta_train::{Schedule, TrainConfig};
use tch::Device;

use crate::data::Splits;
use crate::systems::{ImageSystem, MaskedBatch};

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
}

impl Prepared {
    /// Chooses the device, gives libtorch its threads and opens the data.
    ///
    /// # Errors
    /// When the recipe's device or data are not there; the message says what to do.
    pub fn new(recipe: Recipe) -> Result<Self> {
        let device = choose_device(recipe.train.device)?;
        let threads = choose_threads(recipe.train.threads);
        let splits = Splits::open(&recipe.data)?;
        Ok(Self { recipe, device, threads, splits })
    }

    /// Builds the recipe's system at its initial weights.
    ///
    /// # Errors
    /// When the recipe's sizes do not fit together.
    pub fn system<S: ImageSystem>(&self) -> Result<S> {
        S::new(&self.recipe, self.splits.train.statistics(), self.device)
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

    /// The inputs of these input steps, masks drawn on the loader's threads.
    pub fn inputs<S: ImageSystem>(
        &self,
        loader: &Loader,
        system: &S,
        steps: Range<u64>,
    ) -> Batches<MaskedBatch> {
        let (strategy, seed) = (system.strategy(), self.recipe.seed);
        loader.batches(steps, move |batch| MaskedBatch::draw(batch, &*strategy, seed))
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
            precision: match train.precision {
                bauta_recipe::Precision::Fp32 => bauta_train::Precision::Fp32,
                bauta_recipe::Precision::Bf16 => bauta_train::Precision::Bf16,
            },
            checkpoint_every: train.checkpoint_every,
            log_every: train.log_every,
        }
    }

    /// `cpu` or `cuda:0`.
    pub fn device_name(&self) -> String {
        match self.device {
            Device::Cuda(index) => format!("cuda:{index}"),
            _ => "cpu".to_owned(),
        }
    }
}

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
