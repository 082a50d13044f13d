//! One run: recipe in, run folder out.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bauta_backbones::checkpoint::write_whole;
use bauta_data::{Loader, LoaderConfig, Source};
use bauta_recipe::{Layers, Recipe, System};
use bauta_train::{Schedule, TrainConfig, fit};
use tch::Device;

use crate::data::Splits;
use crate::evaluation::{Evaluation, evaluate};
use crate::progress::TrainingProgress;
use crate::summary::{Summary, Training};
use crate::systems::{ImageSystem, Mae, MaskedBatch};
use crate::{pictures, report};

/// What to run and where.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The recipe file.
    pub recipe: PathBuf,
    /// What is laid over it.
    pub layers: Layers,
    /// The run folder.
    pub out: PathBuf,
    /// Go on from the folder's last checkpoint, if there is one.
    pub resume: bool,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum RunEnd {
    /// Trained and evaluated.
    Finished(Box<Summary>),
    /// Stopped on demand, at this step, with a checkpoint.
    Stopped(u64),
}

/// Trains and evaluates a recipe; sets `stop` to end it early.
///
/// # Errors
/// With a message that says what to do; the last checkpoint stands.
pub fn run(options: &RunOptions, stop: &AtomicBool) -> Result<RunEnd> {
    let recipe = Recipe::load(&options.recipe, &options.layers)?;
    let name = options.recipe.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let device = choose_device(recipe.train.device)?;
    let threads = choose_threads(recipe.train.threads);
    let splits = Splits::open(&recipe.data)?;
    // Last, so that a run that cannot start leaves no folder behind.
    prepare_folder(&options.out, &recipe, options.resume)?;
    let run = Run { name, recipe, folder: &options.out, device, threads, splits };
    match run.recipe.system {
        System::Mae => run.system::<Mae>(options.resume, stop),
    }
}

struct Run<'a> {
    name: String,
    recipe: Recipe,
    folder: &'a Path,
    device: Device,
    threads: usize,
    splits: Splits,
}

impl Run<'_> {
    fn system<S: ImageSystem>(&self, resume: bool, stop: &AtomicBool) -> Result<RunEnd> {
        let statistics = self.splits.train.statistics();
        let system = S::new(&self.recipe, statistics, self.device)?;
        let loader = self.loader()?;
        let config = self.train_config(loader.steps_per_epoch());
        let (strategy, seed) = (system.strategy(), self.recipe.seed);
        let feed = |steps| {
            let strategy = Arc::clone(&strategy);
            loader.batches(steps, move |batch| MaskedBatch::draw(batch, &*strategy, seed))
        };
        let mut progress = TrainingProgress::start(0, config.schedule.steps);
        let outcome = fit(&system, feed, &config, self.folder, resume, stop, |event| {
            progress.observe(&event);
        });
        progress.finish();
        let outcome = outcome?;
        if outcome.stopped {
            return Ok(RunEnd::Stopped(outcome.progress.step));
        }

        let start = Instant::now();
        let untrained = S::new(&self.recipe, statistics, self.device)?;
        let Evaluation { eval, baseline } =
            evaluate(&self.recipe, &self.splits, &system, &untrained, self.loader_config(), stop)?;
        pictures::reconstructions(&self.recipe, &self.splits, &system, self.folder)?;
        let samples = outcome.progress.step
            * (self.recipe.train.batch_size * self.recipe.train.accumulate) as u64;
        let summary = Summary {
            recipe: self.name.clone(),
            system: self.recipe.system.name().to_owned(),
            seed,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: device_name(self.device),
            threads: self.threads,
            precision: self.recipe.train.precision.name().to_owned(),
            train: Training {
                steps: outcome.progress.step,
                samples,
                seconds: outcome.progress.seconds,
                samples_per_second: samples as f64 / outcome.progress.seconds,
                data_seconds: outcome.progress.data_seconds,
                skipped_images: outcome.progress.skipped,
                first_loss: outcome.progress.first_loss.unwrap_or(f64::NAN),
                final_loss: outcome.progress.final_loss.unwrap_or(f64::NAN),
                parameters: system.parameters().count(),
            },
            eval,
            baseline,
            eval_seconds: start.elapsed().as_secs_f64(),
        };
        summary.write(&self.folder.join("summary.json"))?;
        report::write(self.folder)?;
        Ok(RunEnd::Finished(Box::new(summary)))
    }

    fn loader_config(&self) -> LoaderConfig {
        let (train, data) = (&self.recipe.train, &self.recipe.data);
        let size = data.image_size;
        LoaderConfig {
            seed: self.recipe.seed,
            threads: self.threads,
            on_error: data.on_error,
            ..LoaderConfig::new(train.batch_size, size.height(), size.width())
        }
    }

    fn loader(&self) -> Result<Loader> {
        let source: Arc<dyn Source> = Arc::clone(&self.splits.train);
        Ok(Loader::new(source, self.recipe.data.augment.clone(), self.loader_config())?)
    }

    fn train_config(&self, batches_per_epoch: u64) -> TrainConfig {
        let train = &self.recipe.train;
        let steps_per_epoch = (batches_per_epoch / train.accumulate as u64).max(1);
        let schedule = Schedule {
            lr: Schedule::scaled_lr(train.base_lr, train.batch_size * train.accumulate),
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
}

/// Makes the folder and writes the resolved recipe, or checks that a resumed
/// run is asked for with the recipe it was begun with.
fn prepare_folder(folder: &Path, recipe: &Recipe, resume: bool) -> Result<()> {
    let path = folder.join("recipe.toml");
    let text = recipe.to_toml()?;
    if path.exists() {
        if !resume {
            bail!("{} holds a run already; add --resume or name another --out", folder.display());
        }
        let begun = Recipe::load(&path, &Layers::default())?;
        if begun != *recipe {
            bail!(
                "{} was begun with another recipe ({}); resume with the same --set and --quick, \
                 or name another --out",
                folder.display(),
                path.display()
            );
        }
        return Ok(());
    }
    fs::create_dir_all(folder)
        .and_then(|()| write_whole(&path, text.as_bytes()))
        .with_context(|| format!("cannot write the run folder {}", folder.display()))
}

fn choose_device(wanted: bauta_recipe::Device) -> Result<Device> {
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
fn choose_threads(wanted: usize) -> usize {
    let threads = match wanted {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    };
    tch::set_num_threads(threads as i32);
    threads
}

fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}

/// Makes Ctrl-C and termination finish the present step instead of killing the run.
///
/// # Errors
/// When the handler cannot be set.
pub fn stop_on_signals() -> Result<&'static AtomicBool> {
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            // Asked twice: leave at once; the last checkpoint is whole.
            std::process::exit(130);
        }
        eprintln!("\nstopping after this step; once more to leave at once");
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(&STOP)
}
