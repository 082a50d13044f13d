//! The result of a fine-tuning, with everything it depends on.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::ClipFineTuneTask;
use super::task::{FineTuneTask, FineTuned};
use crate::EvalError;
use crate::json::write_json;
use crate::machine::device_name;

/// A report that is printed and written as JSON; `S` holds all settings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FineTuneReport<S> {
    /// Always `finetune`.
    pub protocol: &'static str,
    /// The model folder, or the one whose architecture was trained from scratch.
    pub model: String,
    /// Whether it was trained from scratch.
    pub from_scratch: bool,
    /// Name of the data set.
    pub data: &'static str,
    /// The images measured on: `test`, or `validation`, a held-out part of `train`.
    pub split: &'static str,
    /// Version of Bauta.
    pub version: &'static str,
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// Threads of libtorch and of the loader.
    pub threads: usize,
    /// All settings.
    pub settings: S,
    /// The figures.
    #[serde(flatten)]
    pub figures: FineTuned,
    #[serde(skip)]
    seed: u64,
    /// What the samples of the data set are called.
    #[serde(skip)]
    samples: &'static str,
}

impl<S: Serialize> FineTuneReport<S> {
    /// Reports the `figures` of a task on a model folder, measured on `split` of `data`.
    pub fn new(
        task: &FineTuneTask<'_>,
        figures: FineTuned,
        model: &Path,
        [data, split]: [&'static str; 2],
        settings: S,
    ) -> Self {
        Self {
            protocol: "finetune",
            model: model.display().to_string(),
            from_scratch: task.from_scratch,
            data,
            split,
            version: env!("CARGO_PKG_VERSION"),
            device: device_name(task.device),
            threads: task.threads,
            settings,
            figures,
            seed: task.seed,
            samples: "images",
        }
    }

    /// Like [`Self::new`], for a task on videos.
    pub fn of_clips(
        task: &ClipFineTuneTask<'_>,
        figures: FineTuned,
        [data, split]: [&'static str; 2],
        settings: S,
    ) -> Self {
        Self {
            protocol: "finetune",
            model: task.model.display().to_string(),
            from_scratch: task.from_scratch,
            data,
            split,
            version: env!("CARGO_PKG_VERSION"),
            device: device_name(task.device),
            threads: task.threads,
            settings,
            figures,
            seed: task.seed,
            samples: "videos",
        }
    }

    /// Writes everything as JSON atomically.
    ///
    /// # Errors
    /// [`EvalError::Write`] when the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), EvalError> {
        write_json(self, path)
    }
}

/// Lines for the terminal.
impl<S> fmt::Display for FineTuneReport<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, data, split, seed, samples, figures, .. } = self;
        let FineTuned { metrics, train_images, test_images, batch_size, steps, seconds, .. } =
            figures;
        let start = if self.from_scratch { "from scratch, like" } else { "from" };
        writeln!(
            f,
            "{start} {model}: {} trained scalars, {train_images} labelled {samples} of {data}, \
             {steps} steps of {batch_size} in {seconds:.0} s; loss {:.3} -> {:.3}",
            figures.trained_parameters, figures.first_loss, figures.final_loss,
        )?;
        writeln!(f, "measured on {test_images} {samples} of its {split} split, seed {seed}")?;
        for (name, value) in metrics.iter() {
            writeln!(f, "{name:32}{value:8.4}")?;
        }
        Ok(())
    }
}
