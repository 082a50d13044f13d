//! How fast a recipe trains here: its own data, loader, masks, model and step,
//! timed, and held against the matrix products that this machine can do.
//!
//! A step's time runs from asking the loader for its input to the moment the
//! device has updated the weights. On the CPU every call returns when it is
//! done; a GPU is waited for at the end of each step, and nowhere else.

use std::fmt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use bauta_files::write_whole;
use bauta_libtorch::matmul_peak;
use bauta_recipe::{Layers, Precision, Recipe};
use serde::Serialize;
use tch::Kind;

use crate::run::{
    Aim, Folders, Launch, RunEnd, Timing, WARM_UP, choose_device, choose_threads, device_name,
};
use crate::systems::launch;

/// Side of the matrices whose product gives the peak, and how often it is taken.
const PEAK: (u32, u32) = (2048, 5);

/// What was measured, and on what.
#[derive(Clone, Debug, Serialize)]
pub struct Throughput {
    /// Name of the recipe.
    pub recipe: String,
    /// The system.
    pub system: &'static str,
    /// Version of Bauta.
    pub version: &'static str,
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// Threads of libtorch and of the loader.
    pub threads: usize,
    /// Arithmetic of matrix products.
    pub precision: String,
    /// Samples in a step.
    pub samples_per_step: usize,
    /// Steps made before the clock started.
    pub warm_up_steps: u64,
    /// Seconds of each timed step.
    pub step_seconds: Vec<f64>,
    /// Of these, seconds that the step waited for data.
    pub data_seconds: Vec<f64>,
    /// Median, least and greatest of the steps.
    pub samples_per_second: Spread,
    /// Part of the time of all steps that was spent waiting for data.
    pub data_share: f64,
    /// Matrix-product operations of one sample's forward and backward pass.
    pub flops_per_sample: u64,
    /// Matrix-product operations a second, in the median step.
    pub flops_per_second: f64,
    /// The same of large square products in single precision.
    pub peak_fp32: f64,
    /// The same of large square products in bfloat16.
    pub peak_bf16: f64,
    /// `flops_per_second` over the peak of the recipe's precision.
    pub peak_share: f64,
    /// Loss of the first step, warm-up included.
    pub first_loss: f64,
    /// Loss of the last step.
    pub last_loss: f64,
}

/// Where measured values lie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the values lie below.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
}

impl Spread {
    /// Of some values.
    ///
    /// # Panics
    /// When there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (lower, upper) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        let greatest = sorted[sorted.len() - 1];
        Self { median: f64::midpoint(lower, upper), least: sorted[0], greatest }
    }
}

/// Trains a recipe for a few steps and then for `steps` timed ones; keeps nothing.
///
/// # Errors
/// Whatever keeps the recipe from being trained, and a loss that is not finite.
pub fn measure(recipe: &Path, layers: &Layers, steps: u64) -> Result<Throughput> {
    let name = recipe.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let resolved: Recipe = Recipe::load(recipe, layers)?;
    let (system, train) = (resolved.system(), resolved.train.clone());
    let folders = Folders::beside(recipe, Path::new("runs/throughput"));
    let (aim, stop) = (Aim::Time(steps), &AtomicBool::new(false));
    let start = Launch { name: &name, folders: &folders, aim, resume: false, stop, launch };
    let RunEnd::Timed(timing) = launch(resolved, &start)? else {
        bail!("{name} ended before it was timed")
    };
    let Timing {
        flops_per_sample,
        samples_per_step,
        first_loss,
        last_loss,
        step_seconds,
        data_seconds,
    } = *timing;
    let (device, threads) = (choose_device(train.device)?, choose_threads(train.threads));
    let samples = samples_per_step as f64;
    let samples_per_second = Spread::of(step_seconds.iter().map(|seconds| samples / seconds));
    let flops_per_second = flops_per_sample as f64 * samples_per_second.median;
    let [peak_fp32, peak_bf16] =
        [Kind::Float, Kind::BFloat16].map(|kind| matmul_peak(PEAK.0, kind, device, PEAK.1));
    let peak = match train.precision {
        Precision::Fp32 => peak_fp32,
        Precision::Bf16 => peak_bf16,
    };
    Ok(Throughput {
        recipe: name,
        system: system.into(),
        version: env!("CARGO_PKG_VERSION"),
        device: device_name(device),
        threads,
        precision: train.precision.to_string(),
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

impl Throughput {
    /// Writes the measurement as JSON, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        write_whole(file, text.as_bytes())
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

impl fmt::Display for Throughput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recipe, device, threads, precision, version, .. } = self;
        writeln!(f, "{recipe} on {device}, {threads} threads, {precision}, Bauta {version}")?;
        let Spread { median, least, greatest } = self.samples_per_second;
        let steps = self.step_seconds.len();
        writeln!(
            f,
            "  samples/s      {median:.1}, median of {steps} steps ({least:.1} to {greatest:.1})"
        )?;
        let Spread { median, least, greatest } =
            Spread::of(self.step_seconds.iter().map(|seconds| seconds * 1e3));
        let samples = self.samples_per_step;
        writeln!(
            f,
            "  step           {median:.1} ms for {samples} samples ({least:.1} to {greatest:.1})"
        )?;
        writeln!(
            f,
            "  data           {:.2} % of the time spent waiting for it",
            100.0 * self.data_share
        )?;
        let [a_sample, a_second, fp32, bf16] =
            [self.flops_per_sample as f64, self.flops_per_second, self.peak_fp32, self.peak_bf16]
                .map(|flops| flops / 1e9);
        let share = 100.0 * self.peak_share;
        writeln!(
            f,
            "  products       {a_sample:.3} GFLOP a sample, {a_second:.1} GFLOP/s, \
             {share:.1} % of the peak"
        )?;
        let (side, times) = PEAK;
        writeln!(
            f,
            "  peak           fp32 {fp32:.1}, bf16 {bf16:.1} GFLOP/s \
             ({side} × {side} products, best of {times})"
        )?;
        writeln!(f, "  loss           {:.4} first, {:.4} last", self.first_loss, self.last_loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers() {
        let odd = Spread { median: 2.0, least: 1.0, greatest: 9.0 };
        assert_eq!(Spread::of([9.0, 1.0, 2.0]), odd);
        assert_eq!(Spread::of([9.0, 1.0, 2.0, 3.0]).median, 2.5);
    }
}
