//! Fine-tuning: what a pre-trained encoder is worth when all of it, or its last
//! blocks, go on learning from labels; against the same network from scratch.
//!
//! The test split is looked at once, at the end. Whoever chooses a setting does so
//! on a tenth of the training images that is held out ([`Options::validate`]).

mod classification;
mod of_run;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use bauta_backbones::{ImageNormalization, ModelFolder};
use bauta_data::{Augment, Crop, DatasetName, Loader, LoaderConfig, OnError, Source, Subset};
use bauta_eval::Accuracy;
use bauta_files::write_whole;
use bauta_recipe::{FineTune, FineTuneSettings};
use bauta_train::{AdamWConfig, Precision, Schedule, Stage, TrainConfig, fit};
use serde::Serialize;
use tch::{Device, Tensor};

use crate::data::Splits;
use crate::prepared::{choose_device, choose_threads, device_name, precision};
use crate::progress::{TrainingProgress, stage};
use crate::systems::pixels;
use classification::Classification;
pub(crate) use of_run::of_run;

/// Images in one forward pass of evaluation.
const BATCH: usize = 500;

/// The part of the training images that is held out for choosing settings.
const HELD_OUT: f64 = 0.1;

/// What to fine-tune, on what.
#[derive(Clone, Debug)]
pub struct Options {
    /// The model folder.
    pub model: PathBuf,
    /// Take its architecture alone and train from scratch.
    pub from_scratch: bool,
    /// The data set.
    pub data: DatasetName,
    /// Protocol, seed and machine.
    pub settings: FineTuneSettings,
    /// Measure on a held-out tenth of the training images, not on the test split.
    pub validate: bool,
    /// Keep metrics, checkpoints and the result in this folder.
    pub output: Option<PathBuf>,
}

/// What came of it, and how.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FineTuned {
    /// Always `finetune`.
    pub protocol: &'static str,
    /// The model folder, or the one whose architecture was trained from scratch.
    pub model: String,
    /// Whether it was trained from scratch.
    pub from_scratch: bool,
    /// Name of the data set.
    pub data: &'static str,
    /// The images measured on: `test`, or `validation`, a held-out tenth of `train`.
    pub split: &'static str,
    /// Version of Bauta.
    pub version: &'static str,
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// Threads of libtorch and of the loader.
    pub threads: usize,
    /// Everything that could be set.
    pub settings: FineTuneSettings,
    /// What was measured.
    #[serde(flatten)]
    pub measured: Measured,
}

/// Figures of one fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// By name; fractions in [0, 1].
    pub metrics: BTreeMap<String, f64>,
    /// Labelled images trained on.
    pub train_images: usize,
    /// Images measured on.
    pub test_images: usize,
    /// Scalars that were trained.
    pub trained_parameters: usize,
    /// Optimiser steps.
    pub steps: u64,
    /// Loss of the first step.
    pub first_loss: f64,
    /// Mean loss of the last log window.
    pub final_loss: f64,
    /// Seconds of training.
    pub seconds: f64,
    /// Seconds of measuring.
    pub eval_seconds: f64,
}

/// Fine-tunes a model folder on a data set and measures it once.
///
/// # Errors
/// When the model does not fit the data or the settings, the output folder holds
/// something already, or `stop` is set.
pub fn finetune(options: &Options, stop: &AtomicBool) -> Result<FineTuned> {
    let Options { model, from_scratch, data, settings, validate, output } = options;
    let folder = ModelFolder::read(model)?;
    if let Some(output) = output {
        let occupied = ["checkpoints", "result.json"].iter().any(|name| output.join(name).exists());
        ensure!(!occupied, "{} holds a result already; name another folder", output.display());
    }
    let device = choose_device(settings.train.device)?;
    let threads = choose_threads(settings.train.threads);
    let root = settings.data.root.as_deref();
    let splits = Splits::of(*data, root, [settings.data.limit, None])?;
    let (train, test) = if *validate {
        let [held_out, rest] = Subset::balanced(&splits.train, HELD_OUT, settings.seed)?;
        (Arc::new(rest) as Arc<dyn Source>, Arc::new(held_out) as Arc<dyn Source>)
    } else {
        (splits.train, splits.test)
    };
    let task = Task {
        normalization: normalization(&folder, model, &*train, device)?,
        folder: &folder,
        from_scratch: *from_scratch,
        settings: &settings.eval.finetune,
        augment: settings.data.augment.clone().unwrap_or_else(|| usual_augment(*data)),
        image_size: settings.data.image_size.map(|size| [size.height(), size.width()]),
        on_error: settings.data.on_error,
        train,
        test,
        seed: settings.seed,
        device,
        threads,
        precision: precision(settings.train.precision),
    };
    // Without an output folder metrics and checkpoints are kept only for the run.
    let passing = tempfile::tempdir().context("cannot make a temporary folder")?;
    let measured = task.run(output.as_deref().unwrap_or(passing.path()), stop)?;
    let found = FineTuned {
        protocol: "finetune",
        model: model.display().to_string(),
        from_scratch: *from_scratch,
        data: data.name(),
        split: if *validate { "validation" } else { "test" },
        version: env!("CARGO_PKG_VERSION"),
        device: device_name(device),
        threads,
        settings: settings.clone(),
        measured,
    };
    if let Some(output) = output {
        found.write(&output.join("result.json"))?;
    }
    Ok(found)
}

/// How training images of a data set are varied, where nothing else is said: small
/// pictures are shifted, photos of any size cropped; digits are not mirrored.
fn usual_augment(data: DatasetName) -> Augment {
    let photos = Augment { scale: [0.08, 1.0], ..Augment::default() };
    match data {
        DatasetName::Cifar10 | DatasetName::FashionMnist => Augment { crop: Crop::Shift, ..photos },
        DatasetName::Mnist => Augment { crop: Crop::Shift, flip: false, ..photos },
        DatasetName::Folder | DatasetName::Shards => photos,
    }
}

/// The model's own normalisation of images, or else that of the data.
fn normalization(
    folder: &ModelFolder,
    path: &Path,
    train: &dyn Source,
    device: Device,
) -> Result<ImageNormalization> {
    let channels = folder.config().channels();
    ensure!(
        channels == train.channels(),
        "{} takes images of {channels} channels, the data have {}",
        path.display(),
        train.channels()
    );
    let statistics = train.statistics();
    Ok(match ModelFolder::preprocessing(path)? {
        Some(said) => ImageNormalization::new(&said.image_mean, &said.image_std, device)?,
        None => ImageNormalization::new(statistics.mean, statistics.std, device)?,
    })
}

/// One fine-tuning, everything resolved.
pub(crate) struct Task<'a> {
    pub(crate) folder: &'a ModelFolder,
    pub(crate) from_scratch: bool,
    pub(crate) settings: &'a FineTune,
    pub(crate) normalization: ImageNormalization,
    pub(crate) augment: Augment,
    pub(crate) image_size: Option<[usize; 2]>,
    pub(crate) on_error: OnError,
    pub(crate) train: Arc<dyn Source>,
    pub(crate) test: Arc<dyn Source>,
    pub(crate) seed: u64,
    pub(crate) device: Device,
    pub(crate) threads: usize,
    pub(crate) precision: Precision,
}

impl Task<'_> {
    /// Trains, and measures once; metrics and checkpoints go to `run_folder`.
    pub(crate) fn run(self, run_folder: &Path, stop: &AtomicBool) -> Result<Measured> {
        let Self { settings, seed, device, .. } = self;
        let prefix = if self.from_scratch { "from_scratch." } else { "" };
        let name = |metric: &str| format!("{prefix}{}_{metric}", settings_name(settings));
        let classes = self.train.classes().len();
        ensure!(classes >= 2, "fine-tuning needs labelled images of two classes or more");
        let train: Arc<dyn Source> = if settings.labels < 1.0 {
            let [labelled, _] = Subset::balanced(&self.train, settings.labels, seed)?;
            Arc::new(labelled)
        } else {
            Arc::clone(&self.train)
        };
        ensure!(
            train.len() >= settings.batch_size,
            "eval.finetune.batch_size {} is more than the {} labelled images",
            settings.batch_size,
            train.len()
        );
        let objective = Classification::new(
            self.folder,
            self.from_scratch,
            settings,
            self.normalization,
            (classes, self.image_size, seed),
            device,
        )?;
        let [height, width] = objective.image_size();
        let loader_config = LoaderConfig {
            seed,
            threads: self.threads,
            on_error: self.on_error,
            ..LoaderConfig::new(settings.batch_size, height, width)
        };
        let augment = Augment {
            randaugment: settings.randaugment,
            erasing: settings.erasing,
            ..self.augment
        };
        let loader = Loader::new(Arc::clone(&train), augment, loader_config.clone())?;
        let config = train_config(settings, loader.steps_per_epoch(), &objective, self.precision);

        std::fs::create_dir_all(run_folder)
            .with_context(|| format!("cannot make {}", run_folder.display()))?;
        let mixer = objective.mixer(settings, seed);
        let feed = |steps| loader.batches(steps, move |batch| mixer.draw(batch));
        let mut progress = TrainingProgress::start(0, config.schedule.steps);
        let outcome = fit(&objective, feed, &config, run_folder, false, stop, |event| {
            progress.observe(&event);
        });
        progress.finish();
        let outcome = outcome?;
        if outcome.stopped {
            bail!("stopped while fine-tuning, at step {}", outcome.progress.step);
        }
        drop(loader);
        let start = Instant::now();
        let loader_config = LoaderConfig { batch_size: BATCH, ..loader_config };
        let metrics = measure(&objective, &self.test, loader_config, device, stop)?;
        let trained = bauta_train::Objective::parameters(&objective).trainable();
        Ok(Measured {
            metrics: metrics.into_iter().map(|(metric, value)| (name(metric), value)).collect(),
            train_images: train.len(),
            test_images: self.test.len(),
            trained_parameters: trained.map(|parameter| parameter.tensor.numel()).sum(),
            steps: outcome.progress.step,
            first_loss: outcome.progress.first_loss.unwrap_or(f64::NAN),
            final_loss: outcome.progress.final_loss.unwrap_or(f64::NAN),
            seconds: outcome.progress.seconds,
            eval_seconds: start.elapsed().as_secs_f64(),
        })
    }
}

/// `finetune`, and what of blocks and labels is trained on: `finetune_last2_10pct`.
fn settings_name(settings: &FineTune) -> String {
    let mut name = "finetune".to_owned();
    if let Some(blocks) = settings.blocks {
        name += &format!("_last{blocks}");
    }
    if settings.labels < 1.0 {
        name += &format!("_{}pct", (settings.labels * 1e4).round() / 1e2);
    }
    name
}

fn train_config(
    settings: &FineTune,
    steps_per_epoch: u64,
    objective: &Classification,
    precision: Precision,
) -> TrainConfig {
    TrainConfig {
        stage: Stage::default(),
        schedule: Schedule {
            lr: Schedule::scaled_lr(settings.base_lr, settings.batch_size),
            min_lr: settings.min_lr,
            warmup_steps: settings.warmup_epochs * steps_per_epoch as f64,
            steps: u64::from(settings.epochs) * steps_per_epoch,
        },
        steps_per_epoch,
        batch_size: settings.batch_size,
        accumulate: 1,
        adamw: AdamWConfig {
            betas: (0.9, 0.999),
            weight_decay: settings.weight_decay,
            layer_decay: Some(objective.layers()),
            ..AdamWConfig::default()
        },
        clip_grad: None,
        ema: None,
        precision,
        checkpoint_every: 0,
        log_every: 50,
    }
}

/// Top-1 and, with more than five classes, top-5 accuracy on centre crops.
fn measure(
    objective: &Classification,
    test: &Arc<dyn Source>,
    loader: LoaderConfig,
    device: Device,
    stop: &AtomicBool,
) -> Result<Vec<(&'static str, f64)>> {
    let bar = stage(&format!("measuring on {} images", test.len()));
    let mut counts = vec![("top1", Accuracy::new(1, device))];
    if test.classes().len() > 5 {
        counts.push(("top5", Accuracy::new(5, device)));
    }
    let loader = Loader::for_evaluation(Arc::clone(test), loader)?;
    for batch in loader.batches(0..loader.steps_per_epoch(), |batch| batch) {
        if stop.load(Ordering::Relaxed) {
            bail!("stopped while measuring");
        }
        let batch = batch?;
        let logits = tch::no_grad(|| objective.logits(&pixels(&batch)))?;
        let labels = batch.labels.as_ref().context("labelled sources label every image")?;
        let labels = Tensor::from_slice(labels);
        counts.iter_mut().for_each(|(_, accuracy)| accuracy.add(&logits, &labels));
    }
    bar.finish_and_clear();
    Ok(counts.iter().map(|(name, accuracy)| (*name, accuracy.value())).collect())
}

impl FineTuned {
    /// Writes the result as JSON, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        write_whole(file, text.as_bytes())
            .with_context(|| format!("cannot write {}", file.display()))
    }

    /// The result for a terminal.
    pub fn table(&self) -> String {
        let Measured { metrics, train_images, test_images, steps, seconds, .. } = &self.measured;
        let start = if self.from_scratch { "from scratch, like" } else { "from" };
        let mut text = format!(
            "{start} {}: {} trained scalars, {train_images} labelled images of {}, \
             {steps} steps in {seconds:.0} s; loss {:.3} -> {:.3}\n\
             measured on {test_images} images of its {} split, seed {}",
            self.model,
            self.measured.trained_parameters,
            self.data,
            self.measured.first_loss,
            self.measured.final_loss,
            self.split,
            self.settings.seed,
        );
        for (name, value) in metrics {
            text += &format!("\n{name:32}{value:8.4}");
        }
        text
    }
}
