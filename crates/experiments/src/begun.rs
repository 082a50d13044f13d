//! What a command that trains was begun with, so that it goes on with the same.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bauta_eval::EvalError;
use bauta_files::write_whole;
use serde_json::Value;

/// Writes the settings of what begins to the folder's `settings.json`; refuses to go on with
/// what was begun by others.
///
/// # Errors
/// When the settings differ, or the folder cannot be written.
pub(crate) fn begin(folder: &Path, settings: &Value, resume: bool) -> Result<()> {
    let path = folder.join("settings.json");
    if resume && path.exists() {
        let begun: Value = serde_json::from_slice(&fs::read(&path)?)
            .with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(
            begun == *settings,
            "{} was begun with other settings ({}); resume with the same arguments, or name \
             another folder",
            folder.display(),
            path.display()
        );
        return Ok(());
    }
    fs::create_dir_all(folder)
        .and_then(|()| write_whole(&path, format!("{settings:#}\n").as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Says how what was stopped goes on: in the folder that is `kept`, with --resume.
pub(crate) fn stopped(error: EvalError, kept: Option<&Path>) -> anyhow::Error {
    match (error, kept) {
        (error @ (EvalError::TrainingStopped { .. } | EvalError::Stopped), Some(_)) => {
            anyhow::anyhow!("{error}; go on with the same command and --resume")
        }
        (EvalError::TrainingStopped { step }, None) => anyhow::anyhow!(
            "stopped at step {step} of training; nothing is kept, because no folder was named"
        ),
        (error, _) => error.into(),
    }
}
