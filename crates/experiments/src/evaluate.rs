//! `evaluate`: the protocols on any model folder, without the recipe that trained it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use bauta_data::{Source, Subset};
use bauta_eval::folder::{
    EvaluationReport, FeatureModel, FolderEvaluation, check_channels, open_options,
};
use bauta_eval::{DeviceChoice, FeatureStore, check_labels};
use bauta_recipe::{EvaluateSettings, NamedData, Pooling, Protocol, named};

use crate::run::{Console, Splits, choose_threads};
use crate::settings::{evaluators, pooling};
use crate::systems::mae_st;

/// What to measure, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The model folder, such as a run's checkpoints/last: ours, or Hugging Face's of a
    /// ViT-MAE, ViT, BEiT, CLIP, ResNet or, with videos, VideoMAE.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The data set of images, or of videos for a video model, by its name in recipes.
    #[arg(
        long,
        value_name = "NAME",
        value_parser = |name: &str| named::<NamedData>("data set", name)
    )]
    pub data: NamedData,
    /// The folder of the data, for data.root; the cache if neither is given.
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// The fraction held out for evaluation if a folder has no test split, as in its recipe.
    #[arg(long, value_name = "FRACTION")]
    pub holdout: Option<f64>,
    /// What to measure, separated by commas: knn, linear, few-shot, semi.
    #[arg(
        long,
        value_name = "NAME,…",
        value_delimiter = ',',
        value_parser = |name: &str| named::<Protocol>("protocol", name)
    )]
    pub protocol: Vec<Protocol>,
    /// The feature of an image: mean (of the patch tokens) or cls.
    #[arg(
        long,
        value_name = "NAME",
        value_parser = |name: &str| named::<Pooling>("features", name)
    )]
    pub features: Option<Pooling>,
    /// Height and width that images are resized to, if not the data's own.
    #[arg(long, num_args = 2, value_names = ["HEIGHT", "WIDTH"])]
    pub image_size: Option<Vec<usize>>,
    /// Use only N training images, spread as evenly over the classes as possible; takes
    /// precedence over --set eval.limit.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub limit: Option<usize>,
    /// Use only N test images, spread as evenly over the classes as possible.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub limit_test: Option<usize>,
    /// Seed of the protocols' random choices and of the baseline's random weights.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Change a setting of a protocol, such as eval.linear.epochs=90; data.root and
    /// data.holdout are accepted too, as --root and --holdout.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Threads of libtorch and of the loader; 0 uses every core.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = at_most_1024)]
    pub threads: usize,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub device: DeviceChoice,
    /// Also measure raw pixels and the same network with random weights.
    #[arg(long)]
    pub baselines: bool,
    /// Also write the results to a JSON file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Measures the features of a model folder; setting `stop` ends it early.
///
/// # Errors
/// When the folder, the data or a setting does not suit a protocol; the message
/// says which and what to do.
pub fn evaluate(arguments: &Arguments, stop: &AtomicBool) -> Result<EvaluationReport> {
    let Arguments { model, seed, .. } = arguments;
    let data = match arguments.data {
        NamedData::Images(data) => data,
        NamedData::Videos(data) => return mae_st::folder::evaluate(arguments, data, stop),
    };
    let EvaluateSettings { data: given, eval } = settings(arguments)?;
    let folder = FeatureModel::read(model)?;
    let limits = [arguments.limit.or(eval.limit), arguments.limit_test];
    let options = open_options(folder.preprocessing(), folder.channels(), given.holdout)?;
    let splits = Splits::of(data, given.root.as_deref(), &options, [None, None], stop)?;
    let spread = |source: Arc<dyn Source>, limit: Option<usize>| -> Arc<dyn Source> {
        limit.map_or(Arc::clone(&source), |limit| Arc::new(Subset::spread(source, limit)))
    };
    let (train, test) = (spread(splits.train, limits[0]), spread(splits.test, limits[1]));
    check_labels(data.into(), [&*train, &*test], limits)?;
    check_channels(folder.channels(), model, data.into(), &*train)?;
    let evaluation = FolderEvaluation {
        folder: &folder,
        model,
        data,
        evaluators: evaluators(&eval)?,
        pooling: pooling(eval.features),
        image_size: arguments.image_size.as_ref().map(|sides| [sides[0], sides[1]]),
        train,
        test,
        baselines: arguments.baselines,
        seed: *seed,
        device: arguments.device.choose()?,
        threads: choose_threads(arguments.threads),
        store: FeatureStore::new(eval.feature_bytes(), std::env::temp_dir()),
    };
    Ok(evaluation.run(&Console::new(stop))?)
}

/// The settings that the arguments give.
fn settings(arguments: &Arguments) -> Result<EvaluateSettings> {
    let EvaluateSettings { mut data, mut eval } = EvaluateSettings::parse(&arguments.set)?;
    data.root = arguments.root.clone().or(data.root);
    data.holdout = arguments.holdout.or(data.holdout);
    if !arguments.protocol.is_empty() {
        eval.protocols = Protocol::each_once(&arguments.protocol);
    }
    if let Some(features) = arguments.features {
        eval.features = features;
    }
    warn_of_unread(&arguments.set);
    for (set, protocol) in eval.without_effect(&arguments.set) {
        tracing::warn!("--set {set} changes nothing: the protocol {protocol} is not run");
    }
    Ok(EvaluateSettings { data, eval })
}

/// Keys of a recipe's `eval` table that this command does not read, and the reason or remedy.
const UNREAD: [(&str, &str); 4] = [
    ("eval.baselines", "--baselines measures them"),
    ("eval.every", "nothing is trained"),
    ("eval.finetune", "the command finetune does that"),
    ("eval.pictures", "no pictures are drawn"),
];

/// Warns of overrides that the command does not read.
pub(crate) fn warn_of_unread(set: &[String]) {
    for set in set {
        let is_of = |key: &str| {
            let rest = set.trim().strip_prefix(key);
            rest.is_some_and(|rest| rest.trim_start().starts_with(['=', '.']))
        };
        if let Some((_, instead)) = UNREAD.iter().find(|(key, _)| is_of(key)) {
            tracing::warn!("--set {set} changes nothing: {instead}");
        }
    }
}

fn at_most_1024(text: &str) -> Result<usize> {
    let number = text.parse().ok().filter(|&number| number <= 1024);
    number.with_context(|| format!("the number of threads is \"{text}\"; it must be at most 1024"))
}

/// Reads a number of samples.
///
/// # Errors
/// When it is not a number of at least 1.
pub(crate) fn at_least_one(text: &str) -> Result<usize> {
    let number = text.parse().ok().filter(|&number| number > 0);
    number.with_context(|| format!("the number of samples is \"{text}\"; it must be at least 1"))
}
