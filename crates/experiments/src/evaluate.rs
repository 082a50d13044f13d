//! `evaluate`: the protocols on any model folder, without the recipe that made it.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail, ensure};
use bauta_backbones::{ModelConfig, ModelFolder};
use bauta_data::DatasetName;
use bauta_eval::folder::{EvaluationReport, FolderEvaluation};
use bauta_eval::missing_classes;
use bauta_recipe::{Device, Eval, Pooling, Protocol};

use crate::named::named;
use crate::run::{Console, Splits, choose_device, choose_threads};
use crate::settings::{evaluators, pooling};

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
    pub features: Option<Pooling>,
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

/// Measures the features of a model folder; sets `stop` to end it early.
///
/// # Errors
/// When the folder, the data or a setting does not suit a protocol; the message
/// says which and what to do.
pub fn evaluate(arguments: &Arguments, stop: &AtomicBool) -> Result<EvaluationReport> {
    let Arguments { model, data, seed, .. } = arguments;
    let eval = settings(arguments)?;
    let folder = ModelFolder::read(model)?;
    let limits = [arguments.limit, arguments.limit_test];
    let splits = Splits::of(*data, arguments.root.as_deref(), limits)?;
    check_labels(*data, &splits, limits)?;
    let (channels, wanted) = (splits.train.channels(), folder.config().channels());
    ensure!(
        channels == wanted,
        "images of {data} have {channels} channels, {} wants {wanted}",
        model.display()
    );
    let evaluation = FolderEvaluation {
        folder: &folder,
        model,
        data: (*data).into(),
        evaluators: evaluators(&eval)?,
        pooling: pooling(eval.features),
        image_size: match arguments.image_size.as_deref() {
            Some(&[height, width]) => [height, width],
            _ => image_size(*data, &splits, folder.config())?,
        },
        train: splits.train,
        test: splits.test,
        baselines: arguments.baselines,
        seed: *seed,
        device: choose_device(Device::Auto)?,
        threads: choose_threads(arguments.threads),
    };
    Ok(evaluation.run(&Console::new(stop))?)
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

fn data_named(name: &str) -> Result<DatasetName> {
    named("data set", name)
}

fn protocol_named(name: &str) -> Result<Protocol> {
    named("protocol", name)
}

fn features_named(name: &str) -> Result<Pooling> {
    named("features", name)
}

fn at_least_one(text: &str) -> Result<usize> {
    let number: usize = text.parse().with_context(|| format!("{text} is no number of images"))?;
    ensure!(number > 0, "0 images are too few");
    Ok(number)
}
