//! Dense tasks on a model folder: `bauta segment` and `bauta detect`.
//!
//! The head is trained on the training split, alone or together with the encoder, and
//! measured once on the test split. Both commands share their data and their keys.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use bauta_data::dense::{ComposedConfig, DenseSplits};
use bauta_data::{OpenOptions, SampleType};
use bauta_eval::dense::{DenseReport, DenseScores, DenseTask, SegmentationKind, output_folder};
use bauta_eval::folder::{FeatureModel, normalization};
use bauta_eval::{EvalError, TrainingRun};
use bauta_recipe::DenseSettings;
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::run::{Console, cached, choose_device, choose_threads, tell};
use crate::settings;
use crate::stopped::stopped;

/// Data that dense tasks are measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DenseData {
    /// Scenes composed of MNIST digits on CIFAR-10 photos.
    ComposedDigits,
    /// A folder in ADE20K's layout (segment only).
    Ade20k,
    /// A folder in COCO's layout (detect only).
    Coco,
}

/// A segmentation head, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HeadName {
    /// One linear layer on the tokens.
    Linear,
    /// A small UPerNet on four depths.
    Upernet,
}

/// Arguments of both commands.
#[derive(Args, Clone, Debug)]
pub struct DenseArguments {
    /// The model folder.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The data.
    #[arg(long, value_enum, default_value_t = DenseData::ComposedDigits)]
    pub data: DenseData,
    /// The folder of the data, for data.root; composed digits come from the data cache, or from
    /// this folder's `mnist` and `cifar10`.
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Train the head alone, on the tokens of the encoder as it is.
    #[arg(long)]
    pub frozen: bool,
    /// Start from random weights of the model's sizes, as a baseline.
    #[arg(long)]
    pub random_init: bool,
    /// Override a setting, such as `train.steps=100`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Output folder for picture, numbers, metrics and checkpoints.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Continue from the last checkpoint of the output folder.
    #[arg(long)]
    pub resume: bool,
}

/// Trains and measures a segmentation head; prints and writes the results. Setting `stop` ends it
/// early.
///
/// # Errors
/// When model or data do not suit the task, a setting is wrong, or `stop` is set; the message
/// says what to do.
pub fn segment(arguments: &DenseArguments, head: HeadName, stop: &AtomicBool) -> Result<()> {
    ensure!(
        arguments.data != DenseData::Coco,
        "COCO's instances have no class for every pixel; segment takes composed-digits or ade20k"
    );
    let settings = arguments.settings()?;
    let (kind, said) = match head {
        HeadName::Linear => (SegmentationKind::Linear, "linear head"),
        HeadName::Upernet => {
            (SegmentationKind::UperNet { width: settings.head.width }, "UPerNet head")
        }
    };
    perform(arguments, &settings, "segment", said, stop, |task, run| task.segment(kind, run))
}

/// Trains and measures a detection head; prints and writes the results. Setting `stop` ends it
/// early.
///
/// # Errors
/// As [`segment`].
pub fn detect(arguments: &DenseArguments, stop: &AtomicBool) -> Result<()> {
    ensure!(
        arguments.data != DenseData::Ade20k,
        "ADE20K's folder has no boxes; detect takes composed-digits or coco"
    );
    let settings = arguments.settings()?;
    let (width, said) = (settings.head.width, "anchor-free detection head");
    perform(arguments, &settings, "detect", said, stop, |task, run| task.detect(width, run))
}

impl DenseArguments {
    fn settings(&self) -> Result<DenseSettings> {
        let mut settings = DenseSettings::parse(&self.set)?;
        settings.data.root = self.root.clone().or(settings.data.root);
        Ok(settings)
    }
}

/// Performs a task in its output folder and prints the results.
fn perform(
    arguments: &DenseArguments,
    settings: &DenseSettings,
    name: &'static str,
    head: &'static str,
    stop: &AtomicBool,
    measure: impl FnOnce(&DenseTask<'_>, TrainingRun<'_>) -> Result<DenseScores, EvalError>,
) -> Result<()> {
    let DenseArguments { model, frozen, random_init, resume, .. } = arguments;
    let out = output_folder(arguments.out.as_deref(), name, model, *resume)?;
    let device = choose_device(settings.train.device)?;
    let threads = choose_threads(settings.train.threads);
    let folder = FeatureModel::read(model)?;
    let [height, width] = folder.image_size();
    let least = if arguments.data == DenseData::ComposedDigits { 64 } else { 0 };
    let image_size = settings.data.image_size.unwrap_or(height.max(width).max(least));
    let splits = open(arguments, settings, image_size)?;
    let said = [head, data_in_words(arguments.data)];
    let own = splits.train.statistics();
    let task = DenseTask {
        folder: &folder,
        frozen: *frozen,
        random_init: *random_init,
        config: settings::dense_config(settings, *frozen),
        normalization: normalization(model, &own, SampleType::Uint8, device)?.0,
        image_size,
        train: splits.train,
        test: splits.test,
        seed: settings.seed,
        device,
        threads,
        on_error: settings.data.on_error,
        settings: json!({
            "task": name, "model": model, "head": head, "data": said[1],
            "frozen": frozen, "random_init": random_init, "settings": settings,
        }),
    };
    let console = Console::new(stop);
    let run = TrainingRun {
        resume: *resume,
        checkpoint_every: settings.train.checkpoint_every,
        log_every: settings.train.log_every,
        ..TrainingRun::new(&out, &console)
    };
    let found = measure(&task, run).map_err(|error| stopped(error, Some(&out)))?;
    drop(console);
    let picture = out.join(format!("{name}.png"));
    found.picture.write_png(&picture)?;
    let report = DenseReport::new(name, &task, &found, model, said);
    report.write(&out.join(format!("{name}.json")))?;
    tell(format_args!("{report}picture: {}\n", picture.display()))
}

/// Opens both splits; composed scenes are `size` pixels on a side.
fn open(arguments: &DenseArguments, settings: &DenseSettings, size: usize) -> Result<DenseSplits> {
    let root = settings.data.root.as_deref();
    let needed = || root.context("--root is missing: the folder of the data");
    let data = &settings.data;
    let limits = [data.limit, data.test_limit];
    Ok(match arguments.data {
        DenseData::ComposedDigits => {
            let config = ComposedConfig::new(settings.seed, limits[0], size);
            let config = ComposedConfig { objects: 1..=data.objects, ..config };
            DenseSplits::composed(&config, limits[1], |name| match root {
                Some(root) => Ok(root.join(<&str>::from(name))),
                None => cached(name),
            })?
        }
        DenseData::Ade20k => DenseSplits::ade20k(needed()?, limits, data.on_error)?,
        DenseData::Coco => {
            DenseSplits::coco(needed()?, OpenOptions::default().max_pixels, limits, data.on_error)?
        }
    })
}

fn data_in_words(data: DenseData) -> &'static str {
    match data {
        DenseData::ComposedDigits => {
            "composed-digits (composed: MNIST's digits pasted on CIFAR-10's photos)"
        }
        DenseData::Ade20k => "ade20k",
        DenseData::Coco => "coco",
    }
}
