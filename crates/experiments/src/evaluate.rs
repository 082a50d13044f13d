//! `evaluate`: the protocols on any model folder, without the recipe that made it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use bauta_backbones::{ImageEncoder, ImageNormalization, ModelConfig, ModelFolder};
use bauta_data::{DatasetName, LoaderConfig};
use bauta_files::write_whole;
use bauta_recipe::{Eval, Features, Protocol, nearest};
use serde::Serialize;
use tch::{Device, Tensor};

use crate::data::Splits;
use crate::evaluation::{BATCH, Measured, Measurement, missing_classes};
use crate::prepared::{choose_device, choose_threads, device_name};
use crate::systems::whole_image_features;

/// Tokens in one forward pass: fewer images where they have many.
const TOKENS: usize = 64 * BATCH;

/// What to measure, on what, how.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The model folder, such as a run's checkpoints/last: ours, or Hugging Face's of a
    /// ViT-MAE, ViT, BEiT or CLIP.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The data set, by its name in recipes.
    #[arg(long, value_name = "NAME", value_parser = data_named)]
    pub data: DatasetName,
    /// The folder that the data lie in, if not the cache.
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// What to measure, separated by commas: knn, linear, few-shot, semi.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = protocol_named)]
    pub protocol: Vec<Protocol>,
    /// What stands for an image: mean (of the patch tokens) or cls.
    #[arg(long, value_name = "NAME", value_parser = features_named)]
    pub features: Option<Features>,
    /// Height and width that images are brought to, if not the data's own.
    #[arg(long, num_args = 2, value_names = ["HEIGHT", "WIDTH"])]
    pub image_size: Option<Vec<usize>>,
    /// Use only the first N training images.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub limit: Option<usize>,
    /// Use only the first N test images.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub limit_test: Option<usize>,
    /// Seed of whatever a protocol draws, and of the baseline's random weights.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Change a setting of a protocol, such as eval.linear.epochs=90.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Threads of libtorch and of the loader; 0 takes every core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// Measure the pixels themselves and the same network at random weights too.
    #[arg(long)]
    pub baselines: bool,
    /// Write what was found to a JSON file too.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What was found, and on what.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluated {
    model: PathBuf,
    data: &'static str,
    image_size: [usize; 2],
    /// The size that the model's positions are made for.
    model_image_size: [usize; 2],
    normalization: &'static str,
    training_images: usize,
    test_images: usize,
    version: &'static str,
    device: String,
    threads: usize,
    seconds: f64,
    results: Vec<Found>,
}

/// One number, and whose it is.
#[derive(Clone, Debug, Serialize)]
struct Found {
    /// `model`, `raw_pixels` or `random_init`.
    of: &'static str,
    features: &'static str,
    #[serde(flatten)]
    measured: Measured,
}

/// Measures the features of a model folder; sets `stop` to end it early.
///
/// # Errors
/// When the folder, the data or a setting does not suit a protocol; the message
/// says which and what to do.
pub fn evaluate(arguments: &Arguments, stop: &AtomicBool) -> Result<Evaluated> {
    let start = Instant::now();
    let Arguments { model, data, seed, .. } = arguments;
    let eval = settings(arguments)?;
    let folder = ModelFolder::read(model)?;
    let (own_channels, own_size) = (folder.config().channels(), folder.config().image_size());
    let limits = [arguments.limit, arguments.limit_test];
    let splits = Splits::of(*data, arguments.root.as_deref(), limits)?;
    check_labels(*data, &splits, limits)?;
    let channels = splits.train.channels();
    ensure!(
        channels == own_channels,
        "images of {data} have {channels} channels, {} wants {own_channels}",
        model.display()
    );

    let (device, threads) = (choose_device(Default::default())?, choose_threads(arguments.threads));
    let [height, width] = match arguments.image_size.as_deref() {
        Some(&[height, width]) => [height, width],
        _ => image_size(*data, &splits, folder.config())?,
    };
    let (normalization, normalized_by) = normalization(model, &splits, device)?;
    let image_size = Some([height, width]);
    let (_parameters, encoder) = folder.image_encoder(device, image_size).with_context(|| {
        format!("{} on images of {height} × {width}; see --image-size", model.display())
    })?;

    let batch = (TOKENS / encoder.grid().tokens()).clamp(1, BATCH);
    let loader = LoaderConfig { seed: *seed, threads, ..LoaderConfig::new(batch, height, width) };
    let measurement = Measurement::new(&eval, &splits, *seed, loader, device, stop)?;
    let mut results = Vec::new();
    let mut found = |of, features, measured: Vec<Measured>| {
        results.extend(measured.into_iter().map(|measured| Found { of, features, measured }));
    };
    let features = |encoder: &dyn ImageEncoder, pixels: &Tensor| {
        whole_image_features(encoder, &normalization, eval.features, pixels)
    };
    let said = eval.features.describe();
    found("model", said, measurement.of("model", &|pixels| features(&*encoder, pixels))?);
    if arguments.baselines {
        found("raw_pixels", "pixels", measurement.raw_pixels()?);
        let (_parameters, untrained) = folder.untrained_image_encoder(*seed, device, image_size)?;
        let measured = measurement.of("random init", &|pixels| features(&*untrained, pixels))?;
        found("random_init", said, measured);
    }
    Ok(Evaluated {
        model: model.clone(),
        data: data.name(),
        image_size: [height, width],
        model_image_size: own_size,
        normalization: normalized_by,
        training_images: splits.train.len(),
        test_images: splits.test.len(),
        version: env!("CARGO_PKG_VERSION"),
        device: device_name(device),
        threads,
        seconds: start.elapsed().as_secs_f64(),
        results,
    })
}

/// The `eval` table that the arguments make.
fn settings(arguments: &Arguments) -> Result<Eval> {
    let mut eval = Eval::from_overrides(&arguments.set)?;
    if !arguments.protocol.is_empty() {
        eval.protocols.clear();
        for &protocol in &arguments.protocol {
            if !eval.protocols.contains(&protocol) {
                eval.protocols.push(protocol);
            }
        }
    }
    if let Some(features) = arguments.features {
        eval.features = features;
    }
    Ok(eval)
}

/// Every protocol learns from labels and is measured against labels.
fn check_labels(data: DatasetName, splits: &Splits, limits: [Option<usize>; 2]) -> Result<()> {
    let classes = splits.train.classes().len();
    ensure!(
        classes != 1,
        "the images of {data} are of one class, {}; a protocol tells classes apart",
        splits.train.classes()[0]
    );
    let sides = [("training", &splits.train), ("test", &splits.test)].into_iter().zip(limits);
    for ((split, source), limit) in sides {
        ensure!(
            source.classes().len() == classes && source.label(0).is_some(),
            "the {split} images of {data} have no labels, and every protocol needs them; \
             put the images into one subfolder for each class"
        );
        let missing = missing_classes(&**source);
        if !missing.is_empty() {
            let remedy = match limit {
                Some(limit) => format!("raise the limit of {limit} images"),
                None => "add images of them, or leave the classes out".to_owned(),
            };
            bail!(
                "the {split} images of {data} lack {} of {classes} classes: {}; {remedy}",
                missing.len(),
                missing.join(", ")
            );
        }
    }
    Ok(())
}

/// The data's own size, where all images have one and it is whole patches; else that of
/// the model.
fn image_size(data: DatasetName, splits: &Splits, model: &ModelConfig) -> Result<[usize; 2]> {
    let own = model.image_size();
    if data.package().is_some() {
        let image = splits.train.image(0)?;
        let size = [image.height(), image.width()];
        if size.iter().zip(model.patch_size()).all(|(&side, patch)| side.is_multiple_of(patch)) {
            return Ok(size);
        }
    }
    tracing::info!("images are brought to the model's own size, {} × {}", own[0], own[1]);
    Ok(own)
}

/// How pixels are normalised, and who says so.
fn normalization(
    model: &Path,
    splits: &Splits,
    device: Device,
) -> Result<(ImageNormalization, &'static str)> {
    let (found, by) = match ModelFolder::preprocessing(model)? {
        Some(said) => {
            let found = ImageNormalization::new(&said.image_mean, &said.image_std, device);
            (found, "the model's preprocessor_config.json")
        }
        None => {
            let said = splits.train.statistics();
            let found = ImageNormalization::new(said.mean, said.std, device);
            (found, "the data set's statistics")
        }
    };
    let found = found.with_context(|| format!("normalisation by {by}"))?;
    let channels = splits.train.channels();
    ensure!(
        found.channels() == channels,
        "{by} name {} channels, the images have {channels}",
        found.channels()
    );
    Ok((found, by))
}

impl Evaluated {
    /// Writes everything as JSON, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        write_whole(path, &text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The numbers, by whose they are and their name.
    pub fn values(&self) -> impl Iterator<Item = (&str, &str, f64)> {
        self.results
            .iter()
            .map(|found| (found.of, found.measured.metric.as_str(), found.measured.value))
    }
}

/// A table for the terminal: what all numbers share, then one line a number.
impl fmt::Display for Evaluated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [height, width] = self.image_size;
        let [own_height, own_width] = self.model_image_size;
        write!(f, "{} on {}, images of {height} × {width}", self.model.display(), self.data)?;
        if self.image_size != self.model_image_size {
            write!(f, " (positions interpolated from {own_height} × {own_width})")?;
        }
        writeln!(f, "\npixels normalised by {}\n", self.normalization)?;
        writeln!(
            f,
            "{:9} {:22} {:>7}  {:11} {:24} {:>8} {:>8} {:>5}",
            "protocol", "metric", "value", "of", "features", "train", "test", "seed"
        )?;
        for Found { of, features, measured } in &self.results {
            let Measured { protocol, metric, value, training_images, test_images, seed, .. } =
                measured;
            writeln!(
                f,
                "{protocol:9} {metric:22} {value:7.4}  {of:11} {features:24} {training_images:8} \
                 {test_images:8} {seed:5}"
            )?;
        }
        writeln!(
            f,
            "\ntrain: labelled training images learnt from; test: images of the test split"
        )?;
        let mut said = Vec::new();
        for Found { measured, .. } in &self.results {
            let line = format!("{}: {}", measured.protocol, measured.settings);
            if !said.contains(&line) {
                writeln!(f, "{line}")?;
                said.push(line);
            }
        }
        let cores = if self.threads == 1 { "thread" } else { "threads" };
        writeln!(f, "{:.0} s on {}, {} {cores}", self.seconds, self.device, self.threads)
    }
}

fn data_named(name: &str) -> Result<DatasetName> {
    named("data set", name, &DatasetName::ALL, DatasetName::name)
}

fn protocol_named(name: &str) -> Result<Protocol> {
    named("protocol", name, &Protocol::ALL, Protocol::name)
}

fn features_named(name: &str) -> Result<Features> {
    named("features", name, &Features::ALL, Features::name)
}

/// What has this name, or an error with the nearest of the known ones.
fn named<T: Copy>(what: &str, name: &str, all: &[T], name_of: fn(T) -> &'static str) -> Result<T> {
    let known: Vec<&str> = all.iter().map(|&value| name_of(value)).collect();
    all.iter().copied().find(|&value| name_of(value) == name).with_context(|| {
        let meant = nearest(name, known.iter().copied()).unwrap_or_default();
        format!("no {what} named {name}; did you mean {meant}? Known: {}", known.join(", "))
    })
}

fn at_least_one(text: &str) -> Result<usize> {
    let number: usize = text.parse().with_context(|| format!("{text} is no number of images"))?;
    ensure!(number > 0, "0 images are too few");
    Ok(number)
}
