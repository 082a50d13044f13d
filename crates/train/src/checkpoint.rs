//! Checkpoints of a run: `checkpoints/step-N/`, and `last`, a link to the newest.
//!
//! A checkpoint is written to a folder beside, flushed and renamed, then `last`
//! is replaced in one rename: at every instant `last` names a whole checkpoint.

use std::fs;
use std::path::{Path, PathBuf};

use bauta_backbones::checkpoint::{read_tensors, write_tensors};
use bauta_files::{rename_whole, write_whole};
use serde::{Deserialize, Serialize};

use crate::{Ema, Objective, Optimizer, TrainError};

/// How many checkpoints are kept besides none: the newest and the one before.
const KEPT: usize = 2;

/// Where a run stands, beside its tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The stage, counted from 0.
    #[serde(default)]
    pub stage: u32,
    /// Optimiser steps made, of all stages.
    pub step: u64,
    /// Seconds spent on them, over all lives of the run.
    pub seconds: f64,
    /// Of these, seconds that steps waited for data.
    pub data_seconds: f64,
    /// Images left out because they could not be decoded.
    pub skipped: u64,
    /// Loss of the first step.
    pub first_loss: Option<f64>,
    /// Mean loss of the last log window.
    pub final_loss: Option<f64>,
}

/// The `checkpoints` folder of a run.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// The checkpoints of the run in `run_folder`.
    pub fn of(run_folder: &Path) -> Self {
        Self { folder: run_folder.join("checkpoints") }
    }

    /// The newest whole checkpoint, if there is one.
    pub fn last(&self) -> Option<PathBuf> {
        let last = self.folder.join("last");
        last.join("state.json").is_file().then_some(last)
    }

    /// Writes a checkpoint and makes it the last.
    ///
    /// # Errors
    /// [`TrainError::Io`] or [`TrainError::Model`] when the disk is full, for
    /// example; then the former `last` stands.
    pub fn save<O: Objective>(
        &self,
        objective: &O,
        optimizer: &Optimizer,
        ema: Option<&Ema>,
        progress: &Progress,
    ) -> Result<PathBuf, TrainError> {
        let name = format!("step-{}", progress.step);
        let partial = self.folder.join(format!("{name}.partial"));
        remove(&partial)?;
        fs::create_dir_all(&partial).map_err(TrainError::io(&partial))?;
        let written = self.write(&partial, objective, optimizer, ema, progress);
        let whole = self.folder.join(&name);
        let renamed = written.and_then(|()| {
            remove(&whole)?;
            rename_whole(&partial, &whole).map_err(TrainError::io(&whole))?;
            self.point_last(&name)
        });
        if renamed.is_err() {
            // The first error is the one to report.
            let _ = remove(&partial);
        }
        renamed?;
        self.prune(progress.step)?;
        Ok(whole)
    }

    /// Where the run stood when a checkpoint was written.
    ///
    /// # Errors
    /// [`TrainError::Io`] or [`TrainError::Checkpoint`] when `state.json` is missing or broken.
    pub fn progress(checkpoint: &Path) -> Result<Progress, TrainError> {
        let path = checkpoint.join("state.json");
        let text = fs::read_to_string(&path).map_err(TrainError::io(&path))?;
        serde_json::from_str(&text).map_err(|error| TrainError::Checkpoint {
            reason: format!("no usable state: {error}"),
            path,
        })
    }

    /// Restores a checkpoint's weights and state.
    ///
    /// # Errors
    /// [`TrainError::Model`] or [`TrainError::Checkpoint`] when a file is missing,
    /// truncated or of another model; the message lists the names.
    pub fn load<O: Objective>(
        checkpoint: &Path,
        objective: &O,
        optimizer: &mut Optimizer,
        ema: Option<&mut Ema>,
    ) -> Result<(), TrainError> {
        objective.parameters().load(&checkpoint.join("model.safetensors"))?;
        Self::load_optimizer(checkpoint, optimizer)?;
        if let Some(ema) = ema {
            let path = checkpoint.join("ema.safetensors");
            ema.load_state(&read_tensors(&path)?).map_err(|mismatch| TrainError::Checkpoint {
                path,
                reason: format!("does not fit the model: {mismatch}"),
            })?;
        }
        Ok(())
    }

    /// Restores a checkpoint's optimiser state alone.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_optimizer(checkpoint: &Path, optimizer: &mut Optimizer) -> Result<(), TrainError> {
        let path = checkpoint.join("optimizer.safetensors");
        optimizer.load_state(&read_tensors(&path)?).map_err(|mismatch| TrainError::Checkpoint {
            path,
            reason: format!("does not fit the optimiser: {mismatch}"),
        })
    }

    /// Keeps the last checkpoint's model as `checkpoints/NAME`, a model folder that no later
    /// checkpoint replaces.
    ///
    /// # Errors
    /// [`TrainError::Io`] when there is no checkpoint or it cannot be copied.
    pub fn keep(&self, name: &str) -> Result<PathBuf, TrainError> {
        let kept = self.folder.join(name);
        let partial = self.folder.join(format!("{name}.partial"));
        remove(&partial)?;
        fs::create_dir_all(&partial).map_err(TrainError::io(&partial))?;
        for file in ["model.safetensors", "config.json"] {
            let from = self.folder.join("last").join(file);
            let bytes = fs::read(&from).map_err(TrainError::io(&from))?;
            let to = partial.join(file);
            write_whole(&to, &bytes).map_err(TrainError::io(&to))?;
        }
        remove(&kept)?;
        rename_whole(&partial, &kept).map_err(TrainError::io(&kept))?;
        Ok(kept)
    }

    fn write<O: Objective>(
        &self,
        folder: &Path,
        objective: &O,
        optimizer: &Optimizer,
        ema: Option<&Ema>,
        progress: &Progress,
    ) -> Result<(), TrainError> {
        objective.parameters().save(&folder.join("model.safetensors"))?;
        let state = optimizer.state();
        let state = state.iter().map(|(name, tensor)| (name.as_str(), *tensor));
        write_tensors(&folder.join("optimizer.safetensors"), state)?;
        if let Some(ema) = ema {
            write_tensors(&folder.join("ema.safetensors"), ema.state())?;
        }
        let config = json(&objective.config());
        let path = folder.join("config.json");
        write_whole(&path, &config).map_err(TrainError::io(path))?;
        let path = folder.join("state.json");
        write_whole(&path, &json(progress)).map_err(TrainError::io(path))
    }

    #[cfg(unix)]
    fn point_last(&self, name: &str) -> Result<(), TrainError> {
        let link = self.folder.join("last.partial");
        remove(&link)?;
        std::os::unix::fs::symlink(name, &link).map_err(TrainError::io(&link))?;
        let last = self.folder.join("last");
        rename_whole(&link, &last).map_err(TrainError::io(&last))
    }

    /// Removes all but the newest checkpoints, and what an interruption left half-written.
    fn prune(&self, step: u64) -> Result<(), TrainError> {
        let mut steps = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(TrainError::io(&self.folder))? {
            let entry = entry.map_err(TrainError::io(&self.folder))?;
            let name = entry.file_name();
            let Some(name) = name.to_str().and_then(|name| name.strip_prefix("step-")) else {
                continue;
            };
            match name.parse::<u64>() {
                // Later steps belong to a former life of the run.
                Ok(found) if found <= step => steps.push(found),
                _ => remove(&entry.path())?,
            }
        }
        steps.sort_unstable_by(|a, b| b.cmp(a));
        for old in steps.iter().skip(KEPT) {
            remove(&self.folder.join(format!("step-{old}")))?;
        }
        Ok(())
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("plain values have a JSON form");
    text.push(b'\n');
    text
}

/// Removes a file, link or folder, if it is there.
fn remove(path: &Path) -> Result<(), TrainError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    removed.map_err(TrainError::io(path))
}
