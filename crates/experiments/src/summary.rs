//! `summary.json`: the result of a run, for programs.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use bauta_backbones::checkpoint::write_whole;
use serde::{Deserialize, Serialize};

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
    /// The training.
    pub train: Training,
    /// Metrics of the trained model, on the test split.
    pub eval: BTreeMap<String, f64>,
    /// The same metrics of baselines, by `raw_pixels.` and `random_init.`.
    pub baseline: BTreeMap<String, f64>,
    /// Seconds spent on evaluating model and baselines.
    pub eval_seconds: f64,
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
        let text = std::fs::read(path)
            .with_context(|| format!("cannot read {}: is the run finished?", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{}: no summary", path.display()))
    }
}
