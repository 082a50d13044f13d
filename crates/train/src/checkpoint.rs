//! The files of one checkpoint.
//!
//! | file | |
//! |---|---|
//! | `model.safetensors` | the model; its averaged weights where the phase keeps averages |
//! | `training.safetensors` | with averages, the weights being trained |
//! | `optimizer.safetensors` | moments and counts |
//! | `state.safetensors` | the objective's own state, where it has any |
//! | `config.json` | the model's configuration |
//! | `preprocessor_config.json` | preprocessing of the model's images, where it takes images |
//! | `state.json` | [`Progress`] |

use std::collections::HashMap;
use std::path::Path;

use bauta_backbones::checkpoint::{Mismatch, read_tensors, write_tensors};
use bauta_files::write_whole;
use serde::Serialize;
use tch::Tensor;

use crate::{Ema, Objective, Optimizer, Progress, TrainError};

pub(crate) const MODEL: &str = "model.safetensors";
pub(crate) const CONFIG: &str = "config.json";
const TRAINING: &str = "training.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.safetensors";

/// Writes a checkpoint's files into an empty folder.
pub(crate) fn write<O: Objective>(
    folder: &Path,
    objective: &O,
    optimizer: &[(String, Tensor)],
    ema: Option<&Ema>,
    progress: &Progress,
) -> Result<(), TrainError> {
    let parameters = objective.parameters();
    match ema {
        None => parameters.save(&folder.join(MODEL))?,
        Some(ema) => {
            let averages: HashMap<_, _> = ema.state().collect();
            let averaged = parameters.iter().map(|parameter| {
                let name = parameter.name.as_str();
                // Parameters that are not trained have no average.
                (name, averages.get(name).copied().unwrap_or(&parameter.tensor))
            });
            write_tensors(&folder.join(MODEL), averaged)?;
            parameters.save(&folder.join(TRAINING))?;
        }
    }
    write_list(&folder.join(OPTIMIZER), optimizer)?;
    let own = objective.state();
    if !own.is_empty() {
        write_list(&folder.join(STATE), &own)?;
    }
    if let Some(preprocessing) = objective.preprocessing() {
        preprocessing.write(folder)?;
    }
    write_json(&folder.join(CONFIG), &objective.config())?;
    write_progress(folder, progress)
}

/// Writes a checkpoint's `state.json`.
pub(crate) fn write_progress(folder: &Path, progress: &Progress) -> Result<(), TrainError> {
    write_json(&folder.join("state.json"), progress)
}

fn write_list(path: &Path, tensors: &[(String, Tensor)]) -> Result<(), TrainError> {
    Ok(write_tensors(path, tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)))?)
}

/// Restores the model and the objective's own state, as the end of a phase leaves them.
pub(crate) fn load_model<O: Objective>(folder: &Path, objective: &mut O) -> Result<(), TrainError> {
    objective.parameters().load(&folder.join(MODEL))?;
    load_own(folder, objective)
}

/// Restores everything that the next step depends on.
pub(crate) fn load<O: Objective>(
    folder: &Path,
    objective: &mut O,
    optimizer: &mut Optimizer,
    ema: Option<&mut Ema>,
) -> Result<(), TrainError> {
    let (model, training) = (folder.join(MODEL), folder.join(TRAINING));
    let has_averages = training.is_file();
    objective.parameters().load(if has_averages { &training } else { &model })?;
    if let Some(ema) = ema {
        if !has_averages {
            let reason = "holds no averaged weights: it was trained without `ema`; resume without \
                          it";
            return Err(TrainError::Checkpoint { path: folder.into(), reason: reason.into() });
        }
        ema.load_state(&read_tensors(&model)?).map_err(misfit(&model, "model"))?;
    }
    load_optimizer(folder, optimizer)?;
    load_own(folder, objective)
}

/// Restores only the optimiser's state.
pub(crate) fn load_optimizer(folder: &Path, optimizer: &mut Optimizer) -> Result<(), TrainError> {
    let path = folder.join(OPTIMIZER);
    optimizer.load_state(&read_tensors(&path)?).map_err(misfit(&path, "optimiser"))
}

fn load_own<O: Objective>(folder: &Path, objective: &mut O) -> Result<(), TrainError> {
    let path = folder.join(STATE);
    // An empty state has no file.
    let saved = if path.is_file() { read_tensors(&path)? } else { HashMap::new() };
    tch::no_grad(|| objective.load_state(&saved)).map_err(misfit(&path, "objective's state"))
}

fn misfit(path: &Path, what: &str) -> impl FnOnce(Mismatch) -> TrainError {
    move |mismatch| TrainError::Checkpoint {
        path: path.into(),
        reason: format!("does not fit the {what}: {mismatch}"),
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), TrainError> {
    let mut text = serde_json::to_vec_pretty(value).expect("plain values have a JSON form");
    text.push(b'\n');
    write_whole(path, &text).map_err(TrainError::io(path))
}
