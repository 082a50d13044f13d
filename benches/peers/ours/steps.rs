//! Whole training steps: u8 pixels on the host, normalise, mask, forward, backward, AdamW.

use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bauta_backbones::TokenIndices;
use bauta_backbones::checkpoint::write_tensors;
use bauta_backbones::tch::{Device, Tensor, no_grad};
use bauta_data::{Batch, Read, Statistics};
use bauta_eval::host_tensor;
use bauta_experiments::images::{Images, MaskedImages};
use bauta_experiments::run::choose_threads;
use bauta_experiments::settings::{self, train_config};
use bauta_experiments::systems::Mae;
use bauta_experiments::throughput::sizes;
use bauta_libtorch::matmul_peak;
use bauta_masking::MaskPlan;
use bauta_recipe::{self as recipe, Data, Eval, Layers, Recipe, RecipeSettings, Train};
use bauta_report::Throughput;
use bauta_streams::{Purpose, StreamKey};
use bauta_train::{Objective, StepMaker, TrainConfig};
use serde_json::json;

use crate::{Case, Measurement, Setting, Work, photos};

/// Steps that both sides make before the clock starts.
const WARM_UP: usize = 3;

/// Number of different batches that both sides cycle through.
pub const BATCHES: u64 = 4;

/// Constant, and small enough that no warm-up is needed.
const LR: f64 = 1e-4;

/// Writes batches, initial weights and sizes, and a loss that the other side must reproduce.
pub fn prepare(case: Case, shared: &Path) -> Result<()> {
    if matches!(case, Case::VitSmall224) {
        photos::write(shared)?;
    }
    let (path, layers) = case_recipe(case, "fp32", 0, shared);
    let (recipe, images) = open(&path, &layers)?;
    let mut system = Mae::new(&recipe.settings, &images)?;
    let batches = batches(&images, Vec::new())?;
    let (samples, tokens) = (recipe.train.batch_size, recipe.settings.grid()?.tokens());
    let pixels: Vec<Tensor> = batches.iter().map(|batch| host_tensor(&batch.pixels)).collect();
    let plan = share_batches(shared, &pixels, [samples, tokens], recipe.settings.mask.ratio)?;
    let input = MaskedImages {
        pixels: host_tensor(&batches[0].pixels),
        indices: TokenIndices::new(&plan, Device::Cpu),
        drop_path: None,
        decoder_drop_path: None,
    };
    share_setting(shared, &mut system, &input, &images.splits.train.statistics(), &recipe.train)
}

/// Times steps with masks drawn within them, as the other side does.
pub fn measure(case: Case, precision: &str, setting: &Setting) -> Result<Measurement> {
    let (path, layers) = case_recipe(case, precision, setting.threads, &setting.shared);
    let (recipe, images) = open(&path, &layers)?;
    let mut system = Mae::new(&recipe.settings, &images)?;
    let (batches, masking) = (batches(&images, Vec::new())?, system.student.masking());
    let config = train_config(&recipe.train, BATCHES);
    let batch = |step: usize| Batch { epoch: step as u64, ..batches[step % batches.len()].clone() };
    let (seconds, losses) =
        timed(&mut system, &config, setting.steps, batch, |batch| masking.draw(&batch))?;
    Ok(Measurement {
        seconds,
        unit: "images",
        items: recipe.train.batch_size * recipe.train.accumulate,
        losses,
        work: Some(work(&path, &layers)?),
    })
}

/// Writes batches and the noise of a mask for the other side; returns that mask.
pub fn share_batches(
    shared: &Path,
    pixels: &[Tensor],
    [samples, tokens]: [usize; 2],
    ratio: f64,
) -> Result<MaskPlan> {
    let names: Vec<String> = (0..pixels.len()).map(|i| i.to_string()).collect();
    let named = names.iter().map(String::as_str).zip(pixels);
    write_tensors(&shared.join("pixels.safetensors"), named)?;
    let key = StreamKey { seed: 0, purpose: Purpose::named("noise"), epoch: 0, sample: 0 };
    let mut stream = key.stream();
    let noise: Vec<f32> = (0..samples * tokens).map(|_| stream.uniform()).collect();
    let plan = MaskPlan::from_noise(&noise, samples, ratio)?;
    let noise = Tensor::from_slice(&noise).view([samples as i64, tokens as i64]);
    write_tensors(&shared.join("noise.safetensors"), [("noise", &noise)])?;
    Ok(plan)
}

/// Writes initial weights, sizes, and the loss of an input, which the other side must reproduce.
pub fn share_setting<O: Objective>(
    shared: &Path,
    objective: &mut O,
    input: &O::Input,
    statistics: &Statistics,
    train: &Train,
) -> Result<()> {
    objective.parameters().save(&shared.join("weights.safetensors"))?;
    let loss = no_grad(|| objective.loss(input)).map_err(anyhow::Error::from_boxed)?;
    let setting = json!({
        "model": objective.config(),
        "mean": statistics.mean,
        "std": statistics.std,
        "lr": LR,
        "betas": train.betas,
        "weight_decay": train.weight_decay,
        "warm_up": WARM_UP,
        "loss_of_noise": loss.total().double_value(&[]),
    });
    write_json(&shared.join("setting.json"), &setting)
}

/// Times steps after the warm-up, each including the preparation of its input from a batch; also
/// returns the first and last loss among them.
pub fn timed<O: Objective, B>(
    objective: &mut O,
    config: &TrainConfig,
    steps: usize,
    batch: impl Fn(usize) -> B,
    input: impl Fn(B) -> O::Input,
) -> Result<(Vec<f64>, Option<[f64; 2]>)> {
    let mut maker = StepMaker::new(objective, config);
    let mut seconds = Vec::new();
    for step in 0..WARM_UP + steps {
        let batch = batch(step);
        let start = Instant::now();
        maker.make(&mut iter::once_with(|| Ok(input(batch))), LR, step as u64)?;
        if step >= WARM_UP {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let losses = maker.read().losses;
    Ok((seconds, Some([losses[WARM_UP], losses[losses.len() - 1]])))
}

/// The products of a recipe's step, and this machine's peak in its precision.
pub fn work(path: &Path, layers: &Layers) -> Result<Work> {
    let recipe: Recipe = Recipe::load(path, layers)?;
    let train = recipe.train;
    let sizes = sizes(path, layers)?;
    let (side, times) = Throughput::peak_products(false);
    let peak = matmul_peak(side, settings::precision(train.precision).kind(), Device::Cpu, times);
    let samples = (train.batch_size * train.accumulate) as f64;
    Ok(Work { operations: sizes.operations as f64 * samples, peak })
}

fn case_recipe(case: Case, precision: &str, threads: usize, shared: &Path) -> (PathBuf, Layers) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (path, root) = if matches!(case, Case::VitSmall224) {
        let root = format!("data.root={}", photos::root(shared).display());
        (here.join("peers/vit-small-224.toml"), Some(root))
    } else {
        (here.join("../crates/experiments/recipes/mae-cifar10-vit-tiny.toml"), None)
    };
    (path, on_cpu(precision, threads, root))
}

fn open(path: &Path, layers: &Layers) -> Result<(Recipe<recipe::Mae>, Images)> {
    let recipe: Recipe<recipe::Mae> = comparable(path, layers)?;
    let images = images(&recipe.settings.data, &recipe.settings.eval, &recipe.train, recipe.seed)?;
    Ok((recipe, images))
}

/// The layers over a recipe that is measured here.
pub fn on_cpu(precision: &str, threads: usize, further: Option<String>) -> Layers {
    let set = [
        "train.device=cpu".to_owned(),
        format!("train.precision={precision}"),
        format!("train.threads={threads}"),
    ];
    Layers { quick: false, set: set.into_iter().chain(further).collect() }
}

/// Reads a recipe for a comparison with a side that neither clips gradients nor averages weights.
pub fn comparable<S: RecipeSettings>(path: &Path, layers: &Layers) -> Result<Recipe<S>> {
    let recipe: Recipe<S> = Recipe::load(path, layers)?;
    ensure!(recipe.train.clip_grad.is_none() && recipe.train.ema.is_none(), "PyTorch does neither");
    Ok(recipe)
}

/// Opens a recipe's images.
pub fn images(data: &Data, eval: &Eval, train: &Train, seed: u64) -> Result<Images> {
    let cut = [train.batch_size, choose_threads(train.threads)];
    Images::open(data, eval, cut, seed, Device::Cpu, &AtomicBool::new(false))
}

/// The first batches of the recipe's own loader, with the additional reads of each sample: the same
/// in every process.
pub fn batches(images: &Images, reads: Vec<Read>) -> Result<Vec<Batch>> {
    let loader = images.training(reads)?;
    Ok(loader.batches(0..BATCHES, |batch| batch).collect::<Result<_, _>>()?)
}

/// Writes a JSON file.
pub fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    fs::write(path, value.to_string()).with_context(|| format!("cannot write {}", path.display()))
}
