//! The speed at which a recipe trains here: its own data, loader, masks, model and step, timed, and
//! compared with the matrix products that this machine can do.
//!
//! A step's time runs from asking the loader for its input to the moment the
//! device has updated the weights. On the CPU every call returns when it is
//! done; a GPU is waited for at the end of each step, and nowhere else.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail, ensure};
use bauta_libtorch::matmul_peak;
use bauta_recipe::{Layers, Precision, Recipe};
use bauta_report::plan::StepSizes;
use bauta_report::{Spread, Throughput};
use bauta_train::{Ranks, StepTimes, WARM_UP};
use tch::Kind;

use crate::run::{Aim, Folders, Launch, RunEnd, choose_device, choose_threads, device_name};
use crate::settings::choose_precision;
use crate::systems::launch;

/// Starts a recipe for an aim that leaves no folder; also gives the recipe's name.
fn end_of(resolved: Recipe, recipe: &Path, aim: Aim) -> Result<(String, RunEnd)> {
    let name = recipe.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (folders, stop) = (Folders::beside(recipe, Path::new("runs/none")), AtomicBool::new(false));
    let (folders, stop, ranks) = (&folders, &stop, &Ranks::alone());
    let start = Launch { name: &name, folders, aim, resume: false, stop, ranks, launch };
    let end = launch(resolved, &start)?;
    Ok((name, end))
}

/// The sizes of a recipe's steps, which are known before training.
///
/// # Errors
/// Any error that keeps the recipe from being trained, and operations that are not counted.
pub fn sizes(recipe: &Path, layers: &Layers) -> Result<StepSizes> {
    match end_of(Recipe::load(recipe, layers)?, recipe, Aim::Size)? {
        (recipe, RunEnd::Sized(sizes)) => Ok(StepSizes { recipe, ..*sizes }),
        (name, _) => bail!("{name} trains no phase"),
    }
}

/// Trains a recipe for a few steps and then for `steps` timed ones; keeps nothing.
///
/// # Errors
/// Any error that keeps the recipe from being trained, and a loss that is not finite.
pub fn measure(recipe: &Path, layers: &Layers, steps: u64) -> Result<Throughput> {
    let resolved: Recipe = Recipe::load(recipe, layers)?;
    let (system, train) = (resolved.system(), resolved.train.clone());
    let (name, end) = end_of(resolved, recipe, Aim::Time(steps))?;
    let RunEnd::Timed(times, flops_per_sample) = end else {
        bail!("{name} ended before it was timed")
    };
    let StepTimes { samples_per_step, first_loss, last_loss, step_seconds, data_seconds } = *times;
    ensure!(last_loss.is_finite(), "the loss became {last_loss}; lower train.base_lr");
    let (device, threads) = (choose_device(train.device)?, choose_threads(train.threads));
    let samples = samples_per_step as f64;
    let samples_per_second = Spread::of(step_seconds.iter().map(|seconds| samples / seconds));
    let flops_per_second = flops_per_sample as f64 * samples_per_second.median;
    let (side, times) = Throughput::peak_products(device.is_cuda());
    let [peak_fp32, peak_bf16] =
        [Kind::Float, Kind::BFloat16].map(|kind| matmul_peak(side, kind, device, times));
    let precision = choose_precision(train.precision, device);
    let peak = if precision == Precision::Bf16 { peak_bf16 } else { peak_fp32 };
    Ok(Throughput {
        recipe: name,
        system: system.into(),
        version: env!("CARGO_PKG_VERSION"),
        device: device_name(device),
        threads,
        precision: precision.to_string(),
        samples_per_step,
        warm_up_steps: WARM_UP,
        data_share: data_seconds.iter().sum::<f64>() / step_seconds.iter().sum::<f64>(),
        step_seconds,
        data_seconds,
        samples_per_second,
        flops_per_sample,
        flops_per_second,
        peak_fp32,
        peak_bf16,
        peak_share: flops_per_second / peak,
        first_loss,
        last_loss,
    })
}
