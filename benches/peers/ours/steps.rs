//! Whole training steps: u8 pixels on the host, normalise, mask, forward, backward, AdamW.

use std::fs;
use std::iter;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bauta_backbones::TokenIndices;
use bauta_backbones::checkpoint::write_tensors;
use bauta_backbones::tch::{Device, Tensor, no_grad};
use bauta_data::Batch;
use bauta_eval::host_tensor;
use bauta_experiments::images::{Images, MaskedImages};
use bauta_experiments::run::choose_threads;
use bauta_experiments::settings::train_config;
use bauta_experiments::systems::Mae;
use bauta_masking::MaskPlan;
use bauta_recipe::{self as recipe, Layers, Recipe};
use bauta_streams::{Purpose, StreamKey};
use bauta_train::{Objective, StepMaker};
use serde_json::json;

use crate::{Case, Measurement, Setting, photos};

/// Steps that both sides make before the clock starts.
pub const WARM_UP: usize = 3;

/// Different batches that both sides go through again and again.
pub const BATCHES: u64 = 4;

/// Constant, and small enough that no warm-up is wanted.
pub const LR: f64 = 1e-4;

/// Writes batches, initial weights and sizes, and a loss that the other side must reproduce.
pub fn prepare(case: Case, shared: &Path) -> Result<()> {
    if matches!(case, Case::VitSmall224) {
        photos::write(shared)?;
    }
    let (recipe, images) = prepared(case, "fp32", 0, shared)?;
    let mut system = Mae::new(&recipe.settings, &images)?;
    let batches = batches(&images)?;
    let named: Vec<(String, Tensor)> = batches
        .iter()
        .enumerate()
        .map(|(i, batch)| (format!("{i}"), host_tensor(&batch.pixels)))
        .collect();
    write_tensors(&shared.join("pixels.safetensors"), named.iter().map(|(n, t)| (n.as_str(), t)))?;
    system.parameters().save(&shared.join("weights.safetensors"))?;

    let (samples, tokens) = (recipe.train.batch_size, recipe.settings.grid()?.tokens());
    let key = StreamKey { seed: 0, purpose: Purpose::named("noise"), epoch: 0, sample: 0 };
    let mut stream = key.stream();
    let noise: Vec<f32> = (0..samples * tokens).map(|_| stream.uniform()).collect();
    let plan = MaskPlan::from_noise(&noise, samples, recipe.settings.mask.ratio)?;
    let noise = Tensor::from_slice(&noise).view([samples as i64, tokens as i64]);
    write_tensors(&shared.join("noise.safetensors"), [("noise", &noise)])?;
    let input = MaskedImages {
        pixels: host_tensor(&batches[0].pixels),
        indices: TokenIndices::new(&plan, Device::Cpu),
        drop_path: None,
        decoder_drop_path: None,
    };
    let loss = no_grad(|| system.loss(&input)).map_err(anyhow::Error::from_boxed)?;
    let loss = loss.total().double_value(&[]);

    let statistics = images.splits.train.statistics();
    let train = &recipe.train;
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
    let (recipe, images) = prepared(case, precision, setting.threads, &setting.shared)?;
    let mut system = Mae::new(&recipe.settings, &images)?;
    let (batches, masking) = (batches(&images)?, system.student.masking());
    let config = train_config(&recipe.train, BATCHES);
    let mut maker = StepMaker::new(&mut system, &config);
    let mut seconds = Vec::new();
    for step in 0..WARM_UP + setting.steps {
        let batch = batches[step % batches.len()].clone();
        let batch = Batch { epoch: step as u64, ..batch };
        let start = Instant::now();
        let mut inputs = iter::once_with(|| Ok(masking.draw(&batch)));
        maker.make(&mut inputs, LR, step as u64)?;
        if step >= WARM_UP {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let losses = maker.read().losses;
    let losses = Some([losses[WARM_UP], losses[losses.len() - 1]]);
    Ok(Measurement {
        seconds,
        unit: "images",
        items: recipe.train.batch_size * recipe.train.accumulate,
        losses,
    })
}

fn prepared(
    case: Case,
    precision: &str,
    threads: usize,
    shared: &Path,
) -> Result<(Recipe<recipe::Mae>, Images)> {
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
    let recipe: Recipe<recipe::Mae> = Recipe::load(&path, &Layers { quick: false, set })?;
    ensure!(recipe.train.clip_grad.is_none() && recipe.train.ema.is_none(), "PyTorch does neither");
    let (data, eval) = (&recipe.settings.data, &recipe.settings.eval);
    let cut = [recipe.train.batch_size, choose_threads(threads)];
    let images = Images::open(data, eval, cut, recipe.seed, Device::Cpu, &AtomicBool::new(false))?;
    Ok((recipe, images))
}

/// The first batches of the recipe's own loader: the same in every process.
fn batches(images: &Images) -> Result<Vec<Batch>> {
    let loader = images.training(Vec::new())?;
    Ok(loader.batches(0..BATCHES, |batch| batch).collect::<Result<_, _>>()?)
}

/// Writes a JSON file.
pub fn write_json(path: &Path, value: &serde_json::Value) -> Result<()> {
    fs::write(path, value.to_string()).with_context(|| format!("cannot write {}", path.display()))
}
