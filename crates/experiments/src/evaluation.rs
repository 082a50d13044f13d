//! What features are worth: protocols on the test split.
//!
//! Whatever is measured is a name and a function from pixels to features. So a
//! run's trained model, a model folder and the baselines (the pixels themselves,
//! the same network at its initial weights) go through the same code.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Error, Result, bail};
use bauta_data::{Loader, LoaderConfig, Source};
use bauta_eval::{
    EvalError, Evaluator, Features, FewShotRidge, KnnEvaluator, LinearProbe, Optimizer,
    SemiSupervised, Split,
};
use bauta_recipe::{Eval, ProbeOptimizer, Protocol, Recipe};
use serde::Serialize;
use tch::{Device, Kind, Tensor};

use crate::data::Splits;
use crate::progress::stage;
use crate::systems::{ImageSystem, pixels};

/// Metrics of the trained model, and the same metrics of the baselines.
#[derive(Default)]
pub struct Evaluation {
    /// By the metric's name.
    pub eval: BTreeMap<String, f64>,
    /// By the baseline's name, a dot and the metric's name.
    pub baseline: BTreeMap<String, f64>,
}

/// Images in one forward pass of a frozen encoder.
pub const BATCH: usize = 500;

/// Evaluates a trained system and its baselines, `others` by their names among them;
/// unlabelled data give no metrics.
///
/// # Errors
/// When images cannot be read, a protocol does not suit the data, or `stop` is set.
pub fn evaluate<S: ImageSystem>(
    recipe: &Recipe,
    splits: &Splits,
    trained: &S,
    untrained: &S,
    others: &[(String, S)],
    loader: LoaderConfig,
    stop: &AtomicBool,
) -> Result<Evaluation> {
    let mut found = Evaluation::default();
    if splits.train.classes().len() < 2 {
        tracing::info!("the data have no labels: nothing to evaluate");
        return Ok(found);
    }
    let device = trained.parameters().device();
    let loader = LoaderConfig { batch_size: BATCH, ..loader };
    let measurement = Measurement::new(&recipe.eval, splits, recipe.seed, loader, device, stop)?;
    let metrics = |measured: Vec<Measured>| measured.into_iter().map(|m| (m.metric, m.value));
    let mut baseline = |prefix: &str, measured| {
        found.baseline.extend(metrics(measured).map(|(n, value)| (format!("{prefix}.{n}"), value)));
    };
    if recipe.eval.baselines {
        baseline("raw_pixels", measurement.raw_pixels()?);
        let random = |pixels: &Tensor| untrained.features(pixels);
        baseline("random_init", measurement.of("random init", &random)?);
    }
    for (name, other) in others {
        baseline(name, measurement.of(name, &|pixels| other.features(pixels))?);
    }
    found.eval.extend(metrics(measurement.of("trained", &|pixels| trained.features(pixels))?));
    Ok(found)
}

/// Refuses a recipe whose protocols do not suit its data, before it is trained for hours.
///
/// # Errors
/// When a protocol needs more labels than there are. Unlabelled data are
/// accepted; they will not be evaluated.
pub fn check(recipe: &Recipe, splits: &Splits) -> Result<()> {
    let classes = splits.train.classes();
    if classes.len() < 2 {
        return Ok(());
    }
    for (split, source) in [("training", &splits.train), ("test", &splits.test)] {
        let missing = missing_classes(&**source);
        if !missing.is_empty() {
            tracing::warn!("the {split} images lack classes: {}", missing.join(", "));
        }
    }
    suitable(&recipe.eval, &*splits.train).map(drop)
}

/// The protocols that `eval` names and their settings, in words, one an entry.
///
/// # Errors
/// When a setting is out of its range.
pub fn describe(eval: &Eval) -> Result<Vec<String>> {
    let protocols = protocols(eval)?;
    Ok(protocols.iter().map(|p| format!("{}: {}", p.name(), p.settings())).collect())
}

/// The names of the classes of which a source has no image.
pub fn missing_classes(source: &dyn Source) -> Vec<&str> {
    let counts = counts(source).into_iter();
    counts.zip(source.classes()).filter(|(n, _)| *n == 0).map(|(_, name)| name.as_str()).collect()
}

/// One number and what it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The protocol's name.
    pub protocol: String,
    /// The settings that it depends on, in words.
    pub settings: String,
    /// The metric's name.
    pub metric: String,
    /// Its value.
    pub value: f64,
    /// Labelled training images that it learnt from.
    pub training_images: usize,
    /// Images that it was measured on.
    pub test_images: i64,
    /// The split that they are.
    pub split: &'static str,
    /// Seed of whatever is random.
    pub seed: u64,
}

/// Protocols, the data and how they are read: everything but what is measured.
pub struct Measurement<'a> {
    splits: &'a Splits,
    seed: u64,
    loader: LoaderConfig,
    device: Device,
    stop: &'a AtomicBool,
    protocols: Vec<Box<dyn Evaluator>>,
}

impl<'a> Measurement<'a> {
    /// Builds the protocols that `eval` names. Images are cut to the loader's
    /// size and batches.
    ///
    /// # Errors
    /// When a protocol needs more labels than the training split has.
    pub fn new(
        eval: &Eval,
        splits: &'a Splits,
        seed: u64,
        loader: LoaderConfig,
        device: Device,
        stop: &'a AtomicBool,
    ) -> Result<Self> {
        let protocols = suitable(eval, &*splits.train)?;
        Ok(Self { splits, seed, loader, device, stop, protocols })
    }

    /// Measures what `encode` makes of u8 pixels [B, C, H, W]: features [B, D].
    ///
    /// # Errors
    /// When images cannot be read, features are not finite, or the user stops it.
    pub fn of(
        &self,
        name: &str,
        encode: &dyn Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Vec<Measured>> {
        let split = |source: &Arc<dyn Source>| -> Result<Split> {
            let bar = stage(&format!("features of {} images: {name}", source.len()));
            let split = self.encode(source, encode).with_context(|| name.to_owned());
            bar.finish_and_clear();
            split
        };
        let train = split(&self.splits.train)?;
        let test = split(&self.splits.test)?;
        let features = Features::new(train, test, self.splits.train.classes().len())?;
        let mut found = Vec::new();
        for protocol in &self.protocols {
            self.go_on()?;
            let bar = stage(&format!("{}: {name}", protocol.name()));
            let training_images = protocol.labelled(&features.training_counts())?;
            let metrics = protocol.evaluate(&features, self.seed)?;
            bar.finish_and_clear();
            found.extend(metrics.into_iter().map(|(metric, value)| Measured {
                protocol: protocol.name().to_owned(),
                settings: protocol.settings(),
                metric,
                value,
                training_images,
                test_images: features.test().samples(),
                split: "test",
                seed: self.seed,
            }));
        }
        Ok(found)
    }

    /// Measures the pixels themselves, [B, C · H · W].
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn raw_pixels(&self) -> Result<Vec<Measured>> {
        let flat =
            |pixels: &Tensor| Ok(pixels.to_device(self.device).to_kind(Kind::Float).flatten(1, -1));
        self.of("raw pixels", &flat)
    }

    /// Encodes a source in its own order, from centre crops.
    fn encode(
        &self,
        source: &Arc<dyn Source>,
        encode: &dyn Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Split> {
        let loader = Loader::for_evaluation(Arc::clone(source), self.loader.clone())?;
        let batches = loader.batches(0..loader.steps_per_epoch(), |batch| batch);
        let encoded = batches.map(|batch| -> Result<(Tensor, Vec<i64>)> {
            self.go_on()?;
            let batch = batch?;
            let features = tch::no_grad(|| encode(&pixels(&batch)))?;
            Ok((features, batch.labels.context("labelled sources label every image")?))
        });
        Split::encode(encoded, self.device, Tensor::shallow_clone)
    }

    fn go_on(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            bail!("stopped while evaluating; go on with the same command, a run with --resume");
        }
        Ok(())
    }
}

/// The protocols that `eval` names, once they are known to suit the training images.
fn suitable(eval: &Eval, train: &dyn Source) -> Result<Vec<Box<dyn Evaluator>>> {
    let counts = counts(train);
    let protocols = protocols(eval)?;
    for protocol in &protocols {
        if let Err(error) = protocol.labelled(&counts) {
            let class = match &error {
                EvalError::TooFew { class, .. } => format!(", class {}", train.classes()[*class]),
                _ => String::new(),
            };
            return Err(Error::new(error).context(format!("protocol {}{class}", protocol.name())));
        }
    }
    Ok(protocols)
}

/// Images of each class.
fn counts(source: &dyn Source) -> Vec<usize> {
    let mut counts = vec![0; source.classes().len()];
    for label in (0..source.len()).filter_map(|index| source.label(index)) {
        counts[label as usize] += 1;
    }
    counts
}

/// The protocols, each list of settings spread into one evaluator an entry.
fn protocols(eval: &Eval) -> Result<Vec<Box<dyn Evaluator>>> {
    let linear = &eval.linear;
    let probe = LinearProbe {
        epochs: linear.epochs,
        batch_size: linear.batch_size,
        base_lr: linear.base_lr,
        warmup_epochs: linear.warmup_epochs,
        weight_decay: linear.weight_decay,
        optimizer: match linear.optimizer {
            ProbeOptimizer::Sgd => Optimizer::Sgd,
            ProbeOptimizer::Lars => Optimizer::Lars,
        },
    };
    let mut protocols: Vec<Box<dyn Evaluator>> = Vec::new();
    for protocol in &eval.protocols {
        match protocol {
            Protocol::Knn => {
                protocols.push(Box::new(KnnEvaluator::new(eval.knn.k, eval.knn.temperature)?));
            }
            Protocol::Linear => protocols.push(Box::new(probe.clone())),
            Protocol::FewShot => {
                for &shots in &eval.few_shot.shots {
                    protocols.push(Box::new(FewShotRidge::new(shots, eval.few_shot.draws)?));
                }
            }
            Protocol::Semi => {
                let (epochs, batch_size) = (eval.semi.epochs, eval.semi.batch_size);
                let probe = LinearProbe { epochs, batch_size, ..probe.clone() };
                for &percent in &eval.semi.percents {
                    protocols.push(Box::new(SemiSupervised { percent, probe: probe.clone() }));
                }
            }
        }
    }
    Ok(protocols)
}
