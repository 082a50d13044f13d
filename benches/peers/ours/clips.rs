//! Whole training steps of MAE-ST: u8 clips on the host, normalise, mask, forward, backward,
//! AdamW.

use std::iter;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use bauta_backbones::TokenIndices;
use bauta_backbones::checkpoint::write_tensors;
use bauta_backbones::tch::{Device, Tensor, no_grad};
use bauta_data::video::ClipBatch;
use bauta_eval::host_tensor;
use bauta_experiments::run::choose_threads;
use bauta_experiments::settings::train_config;
use bauta_experiments::systems::mae_st::{Clips, MaeSt, MaskedClips};
use bauta_masking::MaskPlan;
use bauta_recipe::{self as recipe, Layers, Recipe};
use bauta_streams::{Purpose, StreamKey};
use bauta_train::{Objective, StepMaker};
use serde_json::json;

use crate::steps::{BATCHES, LR, WARM_UP, write_json};
use crate::{Measurement, Setting, photos};

/// Writes batches, initial weights and sizes, and a loss that the other side must reproduce.
pub fn prepare(shared: &Path) -> Result<()> {
    photos::write(shared)?;
    let (recipe, clips) = prepared("fp32", 0, shared)?;
    let mut system = MaeSt::new(&recipe.settings, &clips)?;
    let batches = batches(&clips)?;
    let named: Vec<(String, Tensor)> = batches
        .iter()
        .enumerate()
        .map(|(i, batch)| (format!("{i}"), host_tensor(&batch.pixels)))
        .collect();
    write_tensors(&shared.join("pixels.safetensors"), named.iter().map(|(n, t)| (n.as_str(), t)))?;
    system.parameters().save(&shared.join("weights.safetensors"))?;

    let (samples, tokens) = (batches[0].samples.len(), recipe.settings.grid()?.tokens());
    let key = StreamKey { seed: 0, purpose: Purpose::named("noise"), epoch: 0, sample: 0 };
    let mut stream = key.stream();
    let noise: Vec<f32> = (0..samples * tokens).map(|_| stream.uniform()).collect();
    let plan = MaskPlan::from_noise(&noise, samples, recipe.settings.mask.ratio)?;
    let noise = Tensor::from_slice(&noise).view([samples as i64, tokens as i64]);
    write_tensors(&shared.join("noise.safetensors"), [("noise", &noise)])?;
    let input = MaskedClips {
        pixels: host_tensor(&batches[0].pixels),
        indices: TokenIndices::new(&plan, Device::Cpu),
    };
    let loss = no_grad(|| system.loss(&input)).map_err(anyhow::Error::from_boxed)?;
    let loss = loss.total().double_value(&[]);

    let statistics = clips.train.statistics();
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
pub fn measure(precision: &str, setting: &Setting) -> Result<Measurement> {
    let (recipe, clips) = prepared(precision, setting.threads, &setting.shared)?;
    let mut system = MaeSt::new(&recipe.settings, &clips)?;
    let (batches, masks) = (batches(&clips)?, clips.masks());
    let config = train_config(&recipe.train, BATCHES);
    let mut maker = StepMaker::new(&mut system, &config);
    let mut seconds = Vec::new();
    for step in 0..WARM_UP + setting.steps {
        let batch = batches[step % batches.len()].clone();
        let batch = ClipBatch { epoch: step as u64, ..batch };
        let start = Instant::now();
        let mut inputs = iter::once_with(|| Ok(masks(batch)));
        maker.make(&mut inputs, LR, step as u64)?;
        if step >= WARM_UP {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let losses = maker.read().losses;
    let losses = Some([losses[WARM_UP], losses[losses.len() - 1]]);
    Ok(Measurement { seconds, unit: "clips", items: batches[0].samples.len(), losses })
}

fn prepared(
    precision: &str,
    threads: usize,
    shared: &Path,
) -> Result<(Recipe<recipe::MaeSt>, Clips)> {
    let set = vec![
        "train.device=cpu".to_owned(),
        format!("train.precision={precision}"),
        format!("train.threads={threads}"),
        format!("data.root={}", photos::root(shared).display()),
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/mae-st-small.toml");
    let recipe: Recipe<recipe::MaeSt> = Recipe::load(&path, &Layers { quick: false, set })?;
    ensure!(recipe.train.clip_grad.is_none() && recipe.train.ema.is_none(), "PyTorch does neither");
    let threads = choose_threads(threads);
    let clips = Clips::open(&recipe.settings, &recipe.train, recipe.seed, threads, Device::Cpu)?;
    Ok((recipe, clips))
}

/// The first batches of the recipe's own loader: the same in every process.
fn batches(clips: &Clips) -> Result<Vec<ClipBatch>> {
    Ok(clips.training()?.batches(0..BATCHES, |batch| batch).collect::<Result<_, _>>()?)
}
