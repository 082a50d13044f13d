//! `summary.json`: the result of a run, for programs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bauta_files::write_whole;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a run was and what came of it. All fractions lie in [0, 1].
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
    /// Arithmetic of matrix products.
    pub precision: String,
    /// The network that taught, where it was read from a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<Teacher>,
    /// The training.
    pub train: Training,
    /// Metrics of the trained model, on the test split.
    pub eval: BTreeMap<String, f64>,
    /// The same metrics of baselines, by `raw_pixels.` and `random_init.`.
    pub baseline: BTreeMap<String, f64>,
    /// Seconds spent on evaluating model and baselines.
    pub eval_seconds: f64,
}

/// The weights that a run was taught by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Teacher {
    /// The model folder or file.
    pub path: PathBuf,
    /// SHA-256 of the weights.
    pub sha256: String,
}

impl Teacher {
    /// Reads the weights at `path` once more.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let file = if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() };
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let sha256 = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { path: path.to_owned(), sha256 })
    }
}

/// The training part of a [`Summary`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Optimiser steps.
    pub steps: u64,
    /// Images trained on, counted again each epoch.
    pub samples: u64,
    /// Seconds of training, without checkpoints.
    pub seconds: f64,
    /// Images a second.
    pub samples_per_second: f64,
    /// Of `seconds`, those spent waiting for data.
    pub data_seconds: f64,
    /// Images left out because they could not be decoded, counted each time.
    pub skipped_images: u64,
    /// Loss of the first step.
    pub first_loss: f64,
    /// Mean loss of the last log window.
    pub final_loss: f64,
    /// Number of trained and fixed parameters.
    pub parameters: usize,
}

impl Summary {
    /// Writes the summary, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        write_whole(path, &text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads a summary.
    ///
    /// # Errors
    /// When the file is missing or no summary.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path)
            .with_context(|| format!("cannot read {}: is the run finished?", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{}: no summary", path.display()))
    }
}
