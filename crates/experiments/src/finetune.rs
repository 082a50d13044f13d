//! `finetune`: encoder and classifier of a model folder trained on labelled images.
//!
//! The test split is used once, at the end. To choose settings, measure on a tenth of the training
//! images that is held out (`--validate`).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use bauta_data::{DatasetName, Source, Subset};
use bauta_eval::finetune::{FineTuneReport, FineTuneTask, Kept};
use bauta_eval::folder::{FeatureModel, check_channels, normalization, open_options};
use bauta_eval::{Scores, TrainingRun};
use bauta_recipe::{FineTuneMachine, FineTuneSettings, NamedData, named};
use serde::Serialize;
use serde_json::json;

use crate::images::Images;
use crate::run::{Console, Run, Splits, choose_device, choose_threads, tell};
use crate::settings::{self, choose_precision};
use crate::stopped::stopped;
use crate::systems::mae_st;

/// The fraction of the training images or videos that is held out for choosing settings.
pub(crate) const HELD_OUT: f64 = 0.1;

/// The model to fine-tune, and the data.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The model folder, such as a run's checkpoints/last.
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "scratch_like",
        conflicts_with = "scratch_like"
    )]
    pub model: Option<PathBuf>,
    /// Train the same network as in this model folder from scratch, for comparison.
    #[arg(long, value_name = "DIR")]
    pub scratch_like: Option<PathBuf>,
    /// The data set: cifar10, mnist, fashion-mnist; or folder or shards in data.root. For a video
    /// model: moving-mnist; or videos, frame-folders or frame-shards in data.root.
    #[arg(
        long,
        value_name = "NAME",
        value_parser = |name: &str| named::<NamedData>("data set", name)
    )]
    pub data: NamedData,
    /// The folder of the data, for data.root.
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Set a key, such as `eval.finetune.epochs=10`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Use only this fraction of the labels, equally many of each class.
    #[arg(long, value_name = "FRACTION")]
    pub labels: Option<f64>,
    /// Measure on a held-out tenth of the training images, to choose settings by.
    #[arg(long)]
    pub validate: bool,
    /// Keep metrics, checkpoints (model folders) and the result in this folder.
    #[arg(long, value_name = "DIR", alias = "output")]
    pub out: Option<PathBuf>,
    /// Continue from the last checkpoint of --out.
    #[arg(long, requires = "out")]
    pub resume: bool,
    /// Write the result to a JSON file too.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Fine-tunes a model folder on images or videos; prints and writes the results.
///
/// # Errors
/// As [`tune`].
pub fn finetune(arguments: &Arguments, stop: &AtomicBool) -> Result<()> {
    match arguments.data {
        NamedData::Images(data) => arguments.tell(&tune(arguments, data, stop)?),
        NamedData::Videos(data) => arguments.tell(&mae_st::folder::tune(arguments, data, stop)?),
    }
}

impl Arguments {
    fn tell<S: Serialize>(&self, found: &FineTuneReport<S>) -> Result<()> {
        let written = self.json.as_deref().map_or(Ok(()), |file| found.write(file));
        tell(found)?;
        Ok(written?)
    }

    /// The model folder, and the settings that the arguments give.
    pub(crate) fn given(&self) -> Result<(&PathBuf, Vec<String>)> {
        let labels = self.labels.map(|labels| format!("eval.finetune.labels={labels}"));
        let model = self.model.as_ref().or(self.scratch_like.as_ref());
        let model = model.context("one of --model and --scratch-like is needed")?;
        Ok((model, self.set.iter().cloned().chain(labels).collect()))
    }

    /// Where files are kept, and how often they are written.
    pub(crate) fn kept(&self, machine: &FineTuneMachine) -> Kept<'_> {
        let FineTuneMachine { checkpoint_every, log_every, .. } = *machine;
        Kept { folder: self.out.as_deref(), resume: self.resume, checkpoint_every, log_every }
    }
}

/// Fine-tunes a model folder on images and measures it once; setting `stop` ends it early.
///
/// # Errors
/// When the model does not fit the data or the settings, the output folder holds
/// something already, or `stop` is set.
pub fn tune(
    arguments: &Arguments,
    data: DatasetName,
    stop: &AtomicBool,
) -> Result<FineTuneReport<FineTuneSettings>> {
    let (model, set) = arguments.given()?;
    let mut settings = FineTuneSettings::parse(&set)?;
    settings.data.root = arguments.root.clone().or(settings.data.root);
    let folder = FeatureModel::read(model)?;
    let (validate, kept) = (arguments.validate, arguments.kept(&settings.train));
    kept.check()?;
    let device = choose_device(settings.train.device)?;
    let threads = choose_threads(settings.train.threads);
    let root = settings.data.root.as_deref();
    let wanted = folder.channels();
    let options = open_options(folder.preprocessing(), wanted, settings.data.holdout)?;
    let splits = Splits::of(data, root, &options, [None; 2], stop)?.limited(settings.data.limit);
    let (train, test) = if validate {
        let [held_out, rest] = Subset::stratified(&splits.train, HELD_OUT, settings.seed)?;
        (Arc::new(rest) as Arc<dyn Source>, Arc::new(held_out) as Arc<dyn Source>)
    } else {
        (splits.train, splits.test)
    };
    check_channels(wanted, model, data.into(), &*train)?;
    let (own, samples) = (train.statistics(), train.sample_type());
    let task = FineTuneTask {
        folder: &folder,
        from_scratch: arguments.scratch_like.is_some(),
        config: settings::finetune_config(&settings.eval.finetune),
        normalization: normalization(model, &own, samples, device)?.0,
        augment: settings.data.augment.clone().unwrap_or_else(|| data.usual_augment()),
        image_size: settings.data.image_size.map(|size| [size.height(), size.width()]),
        on_error: settings.data.on_error,
        train,
        test,
        seed: settings.seed,
        device,
        threads,
        precision: settings::precision(choose_precision(settings.train.precision, device)),
    };
    let settings_of_run = json!({
        "model": model, "from_scratch": task.from_scratch, "data": data, "validate": validate,
        "settings": settings,
    });
    let figures = kept
        .train(&settings_of_run, &Console::new(stop), |run| task.run(run))
        .map_err(|error| stopped(error, kept.folder))?;
    let split = if validate { "validation" } else { "test" };
    let found = FineTuneReport::new(&task, figures, model, [data.into(), split], settings);
    kept.keep(&found)?;
    Ok(found)
}

/// Performs the fine-tuning that a recipe asks for in `[eval.finetune]`: of the model that the run
/// trained last, and of the same network from scratch, on the run's images, in the run folder's
/// `finetune` and `from-scratch`.
///
/// # Errors
/// As [`tune`].
pub(crate) fn of_run(run: &Run<'_>, images: &Images) -> Result<Scores> {
    let table = images.eval.finetune.as_ref().context("the recipe has no [eval.finetune]")?;
    let folder = FeatureModel::read(&run.last())?;
    let task = FineTuneTask {
        folder: &folder,
        from_scratch: false,
        config: settings::finetune_config(table),
        normalization: images.normalization()?,
        augment: images.augment.clone(),
        image_size: Some([images.loader.height, images.loader.width]),
        on_error: images.loader.on_error,
        train: Arc::clone(&images.splits.train),
        test: Arc::clone(&images.splits.test),
        seed: images.loader.seed,
        device: images.device,
        threads: images.loader.threads,
        precision: settings::precision(run.train.precision),
    };
    let console = Console::new(run.stop);
    let tuning = TrainingRun {
        // Any files there are this run's own, from before it was resumed.
        resume: true,
        checkpoint_every: run.train.checkpoint_every,
        log_every: run.train.log_every,
        ..TrainingRun::new(run.folder(), &console)
    };
    task.run_against_scratch(tuning).map_err(|error| stopped(error, Some(run.folder())))
}
