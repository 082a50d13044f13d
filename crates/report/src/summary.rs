//! `summary.json`: the result of a run, for programs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bauta_files::write_whole;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ReportError;

/// A run's settings and results. All fractions lie in [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Name of the recipe.
    pub recipe: String,
    /// The system.
    pub system: String,
    /// Seed of the run.
    pub seed: u64,
    /// Version of Bauta.
    pub version: String,
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// Threads of libtorch and of the loader.
    pub threads: usize,
    /// Processes that trained it together, each with these threads.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub processes: usize,
    /// Arithmetic of matrix products.
    pub precision: String,
    /// The teacher's weights, if they were read from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherWeights>,
    /// The training.
    pub train: Training,
    /// Metrics of the trained model, on the test split.
    pub eval: BTreeMap<String, f64>,
    /// The same metrics of baselines, by `raw_pixels.` and `random_init.`.
    pub baseline: BTreeMap<String, f64>,
    /// How the metrics were measured, one sentence per entry: features, protocols and their
    /// settings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protocols: Vec<String>,
    /// Seconds spent on evaluating model and baselines.
    pub eval_seconds: f64,
}

/// The weights of a run's teacher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeacherWeights {
    /// The model folder or file.
    pub path: PathBuf,
    /// SHA-256 of the weights, in hexadecimal digits.
    pub sha256: String,
}

impl TeacherWeights {
    /// The weights at a path: those of a model folder, or a file.
    ///
    /// # Errors
    /// [`ReportError::Read`] when they cannot be read.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let file = if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() };
        let bytes = fs::read(&file).map_err(ReportError::read(&file))?;
        let sha256 = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { path: path.to_owned(), sha256 })
    }
}

/// The training part of a [`Summary`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Optimiser steps.
    pub steps: u64,
    /// Samples trained on, counted again each epoch.
    pub samples: u64,
    /// Seconds of training, without checkpoints.
    pub seconds: f64,
    /// Samples per second.
    pub samples_per_second: f64,
    /// Of `seconds`, those spent waiting for data.
    pub data_seconds: f64,
    /// Samples left out because they could not be read, counted each time.
    #[serde(alias = "skipped_images")]
    pub skipped_samples: u64,
    /// Loss of the first step; `None` if no step was made.
    pub first_loss: Option<f64>,
    /// Mean loss of the last log window; `None` if no step was made.
    pub final_loss: Option<f64>,
    /// Number of trained and fixed parameters.
    pub parameters: usize,
}

fn one() -> usize {
    1
}

fn is_one(count: &usize) -> bool {
    *count == 1
}

/// "1 thread", "2 threads".
#[must_use]
pub fn thread_count(threads: usize) -> String {
    match threads {
        1 => "1 thread".to_owned(),
        threads => format!("{threads} threads"),
    }
}

impl Summary {
    /// Writes the summary, atomically.
    ///
    /// # Errors
    /// [`ReportError::Unusable`] for a metric that is not finite, which JSON cannot hold;
    /// [`ReportError::Write`] when the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        let mut metrics = self.eval.iter().chain(&self.baseline);
        if let Some((name, value)) = metrics.find(|(_, value)| !value.is_finite()) {
            let message = format!("the metric {name} is {value}; it must be finite");
            return Err(ReportError::Unusable { path: path.into(), message });
        }
        let mut text = serde_json::to_vec_pretty(self).expect("a summary is names and numbers");
        text.push(b'\n');
        write_whole(path, &text).map_err(ReportError::write(path))
    }

    /// Device or this processor, threads and precision, in words.
    pub fn machine(&self, processor: &str) -> String {
        let device = match self.device.as_str() {
            "cpu" => processor,
            device => device,
        };
        let threads = thread_count(self.threads);
        let threads = match self.processes {
            1 => threads,
            processes => format!("{processes} processes of {threads}"),
        };
        format!("{device}, {threads}, {}", self.precision)
    }

    /// Reads a summary.
    ///
    /// # Errors
    /// [`ReportError::Read`] when the file is missing, [`ReportError::Unusable`] when it is not a
    /// summary.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let text = fs::read(path).map_err(ReportError::read(path))?;
        serde_json::from_slice(&text).map_err(|error| ReportError::Unusable {
            path: path.into(),
            message: format!("cannot read the summary: {error}"),
        })
    }
}
