//! The speed at which a recipe trains: the times of its steps, compared with the machine's peak of
//! matrix products.

use std::fmt;
use std::path::Path;

use bauta_files::write_whole;
use serde::Serialize;

use crate::{ReportError, thread_count};

/// The measurement and its conditions.
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
    /// Samples per step.
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
    /// Matrix-product operations per second, in the median step.
    pub flops_per_second: f64,
    /// The same for large square products in single precision.
    pub peak_fp32: f64,
    /// The same for large square products in bfloat16.
    pub peak_bf16: f64,
    /// `flops_per_second` over the peak of the recipe's precision.
    pub peak_share: f64,
    /// Loss of the first step, warm-up included.
    pub first_loss: f64,
    /// Loss of the last step.
    pub last_loss: f64,
}

impl Throughput {
    /// Side of the square matrices whose product gives the peak, and the number of repetitions: a
    /// GPU finishes small products faster than they can be launched.
    pub fn peak_products(on_gpu: bool) -> (u32, u32) {
        if on_gpu { (8192, 10) } else { (2048, 5) }
    }

    /// Writes the measurement as JSON, atomically.
    ///
    /// # Errors
    /// [`ReportError::Write`] when the file cannot be written.
    pub fn write(&self, file: &Path) -> Result<(), ReportError> {
        let mut text = serde_json::to_vec_pretty(self).expect("names and numbers have a JSON form");
        text.push(b'\n');
        write_whole(file, &text).map_err(ReportError::write(file))
    }
}

/// A table for the terminal.
impl fmt::Display for Throughput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recipe, device, threads, precision, version, .. } = self;
        let threads = thread_count(*threads);
        writeln!(f, "{recipe} on {device}, {threads}, {precision}, Bauta {version}")?;
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
            "  products       {a_sample:.3} GFLOP per sample, {a_second:.1} GFLOP/s, \
             {share:.1} % of the peak"
        )?;
        let (side, times) = Self::peak_products(device != "cpu");
        writeln!(
            f,
            "  peak           fp32 {fp32:.1}, bf16 {bf16:.1} GFLOP/s \
             ({side} × {side} products, best of {times})"
        )?;
        writeln!(f, "  loss           {:.4} first, {:.4} last", self.first_loss, self.last_loss)
    }
}

/// The distribution of measured values.
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
    /// The distribution of the values.
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
