//! Whole training steps of MAE-ST: u8 clips on the host, normalise, mask, forward, backward,
//! AdamW.

use std::path::{Path, PathBuf};

use anyhow::Result;
use bauta_backbones::TokenIndices;
use bauta_backbones::tch::{Device, Tensor};
use bauta_data::video::ClipBatch;
use bauta_eval::host_tensor;
use bauta_experiments::run::choose_threads;
use bauta_experiments::settings::train_config;
use bauta_experiments::systems::mae_st::{Clips, MaeSt, MaskedClips};
use bauta_recipe::{self as recipe, Layers, Recipe};

use crate::steps::{BATCHES, comparable, on_cpu, share_batches, share_setting, timed, work};
use crate::{Measurement, Setting, photos};

/// Writes batches, initial weights and sizes, and a loss that the other side must reproduce.
pub fn prepare(shared: &Path) -> Result<()> {
    photos::write(shared)?;
    let (path, layers) = case_recipe("fp32", 0, shared);
    let (recipe, clips) = open(&path, &layers)?;
    let mut system = MaeSt::new(&recipe.settings, &clips)?;
    let batches = batches(&clips)?;
    let (samples, tokens) = (batches[0].samples.len(), recipe.settings.grid()?.tokens());
    let pixels: Vec<Tensor> = batches.iter().map(|batch| host_tensor(&batch.pixels)).collect();
    let plan = share_batches(shared, &pixels, [samples, tokens], recipe.settings.mask.ratio)?;
    let input = MaskedClips {
        pixels: host_tensor(&batches[0].pixels),
        indices: TokenIndices::new(&plan, Device::Cpu),
    };
    share_setting(shared, &mut system, &input, &clips.train.statistics(), &recipe.train)
}

/// Times steps with masks drawn within them, as the other side does.
pub fn measure(precision: &str, setting: &Setting) -> Result<Measurement> {
    let (path, layers) = case_recipe(precision, setting.threads, &setting.shared);
    let (recipe, clips) = open(&path, &layers)?;
    let mut system = MaeSt::new(&recipe.settings, &clips)?;
    let (batches, masks) = (batches(&clips)?, clips.masks());
    let config = train_config(&recipe.train, BATCHES);
    let batch =
        |step: usize| ClipBatch { epoch: step as u64, ..batches[step % batches.len()].clone() };
    let (seconds, losses) = timed(&mut system, &config, setting.steps, batch, masks)?;
    let work = Some(work(&path, &layers)?);
    Ok(Measurement { seconds, unit: "clips", items: batches[0].samples.len(), losses, work })
}

fn case_recipe(precision: &str, threads: usize, shared: &Path) -> (PathBuf, Layers) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/mae-st-small.toml");
    let root = format!("data.root={}", photos::root(shared).display());
    (path, on_cpu(precision, threads, Some(root)))
}

fn open(path: &Path, layers: &Layers) -> Result<(Recipe<recipe::MaeSt>, Clips)> {
    let recipe: Recipe<recipe::MaeSt> = comparable(path, layers)?;
    let threads = choose_threads(recipe.train.threads);
    let clips = Clips::open(&recipe.settings, &recipe.train, recipe.seed, threads, Device::Cpu)?;
    Ok((recipe, clips))
}

/// The first batches of the recipe's own loader: the same in every process.
fn batches(clips: &Clips) -> Result<Vec<ClipBatch>> {
    Ok(clips.training()?.batches(0..BATCHES, |batch| batch).collect::<Result<_, _>>()?)
}
