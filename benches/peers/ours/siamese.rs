//! Whole training steps of MoCo: u8 pixels of two views on the host, normalise, forward, backward,
//! gradient descent, momentum encoder, queue.

use std::path::{Path, PathBuf};

use anyhow::Result;
use bauta_backbones::checkpoint::write_tensors;
use bauta_backbones::tch::Tensor;
use bauta_data::Batch;
use bauta_experiments::images::Images;
use bauta_experiments::settings::train_config;
use bauta_experiments::systems::MixMask;
use bauta_experiments::systems::mix_mask::{SECOND_VIEW, viewing};
use bauta_recipe::{self as recipe, Layers, Recipe};
use bauta_train::Objective;

use crate::steps::{BATCHES, batches, comparable, images, on_cpu, share_setting, timed, work};
use crate::{Measurement, Setting};

/// Writes batches, initial weights and sizes, and a loss that the other side must reproduce.
pub fn prepare(shared: &Path) -> Result<()> {
    let (recipe, images) = open(&case_recipe(), &on_cpu("fp32", 0, None))?;
    let mut system = MixMask::new(&recipe.settings, &images)?;
    let views = viewing(&recipe.settings, &images)?.prepare();
    let inputs: Vec<_> = batches(&images, vec![SECOND_VIEW])?.into_iter().map(views).collect();
    let mut named: Vec<(String, Tensor)> = Vec::new();
    for (place, input) in inputs.iter().enumerate() {
        let tensors = system.tensors(input).into_iter();
        named.extend(tensors.map(|(name, tensor)| (format!("{place}.{name}"), tensor)));
    }
    named.extend(system.state().into_iter().filter(|(name, _)| name == "queue"));
    let named = named.iter().map(|(name, tensor)| (name.as_str(), tensor));
    write_tensors(&shared.join("views.safetensors"), named)?;
    let statistics = images.splits.train.statistics();
    share_setting(shared, &mut system, &inputs[0], &statistics, &recipe.train)
}

/// Times steps with orders of the keys drawn within them, as the other side does.
pub fn measure(precision: &str, setting: &Setting) -> Result<Measurement> {
    let (path, layers) = (case_recipe(), on_cpu(precision, setting.threads, None));
    let (recipe, images) = open(&path, &layers)?;
    let mut system = MixMask::new(&recipe.settings, &images)?;
    let (batches, views) =
        (batches(&images, vec![SECOND_VIEW])?, viewing(&recipe.settings, &images)?.prepare());
    let config = train_config(&recipe.train, BATCHES);
    let batch = |step: usize| Batch { step: step as u64, ..batches[step % batches.len()].clone() };
    let (seconds, losses) = timed(&mut system, &config, setting.steps, batch, views)?;
    let work = Some(work(&path, &layers)?);
    Ok(Measurement { seconds, unit: "images", items: recipe.train.batch_size, losses, work })
}

fn case_recipe() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/experiments/recipes/moco-cifar10.toml")
}

fn open(path: &Path, layers: &Layers) -> Result<(Recipe<recipe::MixMask>, Images)> {
    let recipe: Recipe<recipe::MixMask> = comparable(path, layers)?;
    let images = images(&recipe.settings.data, &recipe.settings.eval, &recipe.train, recipe.seed)?;
    Ok((recipe, images))
}
