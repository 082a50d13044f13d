//! What the features are worth: protocols on the test split, against baselines.
//!
//! Baselines go through the same code as the trained model: the pixels
//! themselves, and the same network at its initial weights.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use bauta_data::{Loader, LoaderConfig, Source};
use bauta_eval::{Evaluator, Features, KnnEvaluator, LinearProbe, Metrics, Optimizer, Split};
use bauta_recipe::Recipe;
use tch::{Device, Kind, Tensor};

use crate::data::Splits;
use crate::progress::stage;
use crate::systems::{ImageSystem, pixels};

/// Metrics of the trained model, and the same metrics of the baselines.
pub struct Evaluation {
    /// By the metric's name.
    pub eval: BTreeMap<String, f64>,
    /// By the baseline's name, a dot and the metric's name.
    pub baseline: BTreeMap<String, f64>,
}

/// Images in one forward pass of a frozen encoder.
const BATCH: usize = 500;

/// Evaluates a trained system and its baselines; unlabelled data give no metrics.
///
/// # Errors
/// When images cannot be read, a protocol does not suit the data, or `stop` is set.
pub fn evaluate<S: ImageSystem>(
    recipe: &Recipe,
    splits: &Splits,
    trained: &S,
    untrained: &S,
    loader: LoaderConfig,
    stop: &AtomicBool,
) -> Result<Evaluation> {
    let mut found = Evaluation { eval: BTreeMap::new(), baseline: BTreeMap::new() };
    let classes = splits.train.classes().len();
    if classes < 2 {
        tracing::info!("the data have no labels: nothing to evaluate");
        return Ok(found);
    }
    let device = trained.parameters().device();
    let loader = LoaderConfig { batch_size: BATCH, ..loader };
    let protocols = protocols(recipe)?;
    let measure = |name: &str, encode: &dyn Fn(&Tensor) -> Result<Tensor>| -> Result<Metrics> {
        let split = |source: &Arc<dyn Source>| -> Result<Split> {
            let bar = stage(&format!("features of {} images: {name}", source.len()));
            let split = encode_split(source, &loader, device, stop, encode);
            bar.finish_and_clear();
            split
        };
        let features = Features::new(split(&splits.train)?, split(&splits.test)?, classes)?;
        let mut metrics = Metrics::new();
        for protocol in &protocols {
            check(stop)?;
            let bar = stage(&format!("{}: {name}", protocol.name()));
            metrics.extend(protocol.evaluate(&features, recipe.seed)?);
            bar.finish_and_clear();
        }
        Ok(metrics)
    };
    if recipe.eval.baselines {
        let raw = |pixels: &Tensor| Ok(flat_pixels(pixels, device));
        found.baseline.extend(measure("raw pixels", &raw)?.prefixed("raw_pixels"));
        let random = |pixels: &Tensor| untrained.features(pixels);
        found.baseline.extend(measure("random init", &random)?.prefixed("random_init"));
    }
    found.eval.extend(measure("trained", &|pixels| trained.features(pixels))?);
    Ok(found)
}

/// The protocols that the recipe asks for.
fn protocols(recipe: &Recipe) -> Result<Vec<Box<dyn Evaluator>>> {
    let (knn, linear) = (&recipe.eval.knn, &recipe.eval.linear);
    Ok(vec![
        Box::new(KnnEvaluator::new(knn.k, knn.temperature)?),
        Box::new(LinearProbe {
            epochs: linear.epochs,
            batch_size: linear.batch_size,
            base_lr: linear.base_lr,
            warmup_epochs: linear.warmup_epochs,
            weight_decay: linear.weight_decay,
            optimizer: Optimizer::Sgd,
        }),
    ])
}

/// Encodes a source in its own order, from centre crops.
fn encode_split(
    source: &Arc<dyn Source>,
    loader: &LoaderConfig,
    device: Device,
    stop: &AtomicBool,
    encode: &dyn Fn(&Tensor) -> Result<Tensor>,
) -> Result<Split> {
    let loader = Loader::for_evaluation(Arc::clone(source), loader.clone())?;
    let batches = loader.batches(0..loader.steps_per_epoch(), |batch| batch);
    let encoded = batches.map(|batch| -> Result<(Tensor, Vec<i64>)> {
        check(stop)?;
        let batch = batch?;
        let features = tch::no_grad(|| encode(&pixels(&batch)))?;
        Ok((features, batch.labels.context("labelled sources label every image")?))
    });
    Split::encode(encoded, device, Tensor::shallow_clone)
}

/// Pixels [B, C, H, W] as features [B, C · H · W], f32.
fn flat_pixels(pixels: &Tensor, device: Device) -> Tensor {
    pixels.to_device(device).to_kind(Kind::Float).flatten(1, -1)
}

fn check(stop: &AtomicBool) -> Result<()> {
    if stop.load(Ordering::Relaxed) {
        bail!("stopped while evaluating; the trained model is kept, go on with --resume");
    }
    Ok(())
}
