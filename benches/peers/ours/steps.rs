//! Whole training steps: u8 pixels on the host, normalise, mask, forward, backward, AdamW.

use std::fs;
use std::iter;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bauta_backbones::checkpoint::write_tensors;
use bauta_backbones::tch::{Device, Kind, Tensor, no_grad};
use bauta_data::Batch;
use bauta_experiments::prepared::Prepared;
use bauta_experiments::systems::{ImageSystem, Mae, MaskedBatch, pixels};
use bauta_masking::MaskPlan;
use bauta_recipe::{Layers, Recipe};
use bauta_train::{Objective, StepMaker};
use serde_json::json;

use crate::{Case, Measurement, Setting, photos};

/// Steps that both sides make before the clock starts.
const WARM_UP: usize = 3;

/// Different batches that both sides go through again and again.
const BATCHES: u64 = 4;

/// Constant, and small enough that no warm-up is wanted.
const LR: f64 = 1e-4;

/// Writes batches, initial weights and sizes, and a loss that the other side must reproduce.
pub fn prepare(case: Case, shared: &Path) -> Result<()> {
    if matches!(case, Case::VitSmall224) {
        photos::write(shared)?;
    }
    let prepared = prepared(case, "fp32", 0, shared)?;
    let system: Mae = prepared.system()?;
    let batches = batches(&prepared)?;
    let named = batches.iter().enumerate().map(|(i, batch)| (format!("{i}"), pixels(batch)));
    let named: Vec<(String, Tensor)> = named.collect();
    write_tensors(&shared.join("pixels.safetensors"), named.iter().map(|(n, t)| (n.as_str(), t)))?;
    system.parameters().save(&shared.join("weights.safetensors"))?;

    let samples = prepared.recipe.train.batch_size;
    let tokens = system.strategy().grid().tokens();
    let noise = Tensor::rand([samples as i64, tokens as i64], (Kind::Float, Device::Cpu));
    write_tensors(&shared.join("noise.safetensors"), [("noise", &noise)])?;
    let noise = Vec::<f32>::try_from(noise.flatten(0, 1))?;
    let plan = MaskPlan::from_noise(&noise, samples, prepared.recipe.mask.ratio)?;
    let input = MaskedBatch { batch: batches[0].clone(), plan };
    let loss = no_grad(|| system.loss(&input))?.double_value(&[]);

    let statistics = prepared.splits.train.statistics();
    let train = &prepared.recipe.train;
    let setting = json!({
        "model": system.config(),
        "mean": statistics.mean,
        "std": statistics.std,
        "lr": LR,
        "betas": train.betas,
        "weight_decay": train.weight_decay,
        "warm_up": WARM_UP,
        "loss_of_noise": loss,
    });
    write_json(&shared.join("setting.json"), &setting)
}

/// Times steps with masks drawn within them, as the other side does.
pub fn measure(case: Case, precision: &str, setting: &Setting) -> Result<Measurement> {
    let prepared = prepared(case, precision, setting.threads, &setting.shared)?;
    let system: Mae = prepared.system()?;
    let batches = batches(&prepared)?;
    let config = prepared.train_config(BATCHES);
    let mut maker = StepMaker::new(&system, &config);
    let (strategy, seed) = (system.strategy(), prepared.recipe.seed);
    let mut seconds = Vec::new();
    for step in 0..WARM_UP + setting.steps {
        let batch = batches[step % batches.len()].clone();
        let batch = Batch { epoch: step as u64, ..batch };
        let start = Instant::now();
        let mut inputs = iter::once_with(|| Ok(MaskedBatch::draw(batch, &*strategy, seed)));
        maker.make(&mut inputs, LR, step as u64)?;
        if step >= WARM_UP {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let (losses, _) = maker.read();
    let losses = Some([losses[WARM_UP], losses[losses.len() - 1]]);
    Ok(Measurement { seconds, unit: "images", items: prepared.samples_per_step(), losses })
}

fn prepared(case: Case, precision: &str, threads: usize, shared: &Path) -> Result<Prepared> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut set = vec![
        "train.device=cpu".to_owned(),
        format!("train.precision={precision}"),
        format!("train.threads={threads}"),
    ];
    let path = if matches!(case, Case::VitSmall224) {
        set.push(format!("data.root={}", photos::root(shared).display()));
        here.join("peers/vit-small-224.toml")
    } else {
        here.join("../crates/experiments/recipes/mae-cifar10-vit-tiny.toml")
    };
    let recipe = Recipe::load(&path, &Layers { quick: false, set })?;
    ensure!(recipe.train.clip_grad.is_none() && recipe.train.ema.is_none(), "PyTorch does neither");
    Prepared::new(recipe)
}

/// The first batches of the recipe's own loader: the same in every process.
fn batches(prepared: &Prepared) -> Result<Vec<Batch>> {
    let loader = prepared.loader()?;
    Ok(loader.batches(0..BATCHES, |batch| batch).collect::<Result<_, _>>()?)
}

/// Writes a JSON file.
pub fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    fs::write(path, value.to_string()).with_context(|| format!("cannot write {}", path.display()))
}
