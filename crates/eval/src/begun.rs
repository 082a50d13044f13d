//! The settings that the work in a folder was started with, so that it continues with the same.

use std::fs;
use std::path::Path;

use bauta_files::{FolderLock, write_whole};
use bauta_train::TrainError;
use serde_json::Value;

use crate::{EvalError, TrainingRun};

/// Refuses a folder that already holds the checkpoints of a training or its `result`.
///
/// # Errors
/// [`EvalError::Unsuitable`], which names the folder.
pub(crate) fn check_unused(folder: &Path, result: &str) -> Result<(), EvalError> {
    if ["checkpoints", result].iter().any(|name| folder.join(name).exists()) {
        return Err(EvalError::Unsuitable(format!(
            "{} already holds a result; name another folder, or add --resume",
            folder.display()
        )));
    }
    Ok(())
}

impl TrainingRun<'_> {
    /// Writes the settings to the folder's `settings.json`; refuses to continue work started with
    /// other settings.
    ///
    /// # Errors
    /// [`TrainError::Busy`] when another process trains in the folder;
    /// [`EvalError::Begun`] when the settings differ; [`EvalError::Read`] and
    /// [`EvalError::Write`] when the file cannot be used.
    pub fn begin(&self, settings: &Value) -> Result<(), EvalError> {
        if FolderLock::is_held(self.folder) {
            return Err(TrainError::Busy(self.folder.into()).into());
        }
        let path = self.folder.join("settings.json");
        if !self.resume || !path.exists() {
            return fs::create_dir_all(self.folder)
                .and_then(|()| write_whole(&path, format!("{settings:#}\n").as_bytes()))
                .map_err(|source| EvalError::Write { path, source });
        }
        let read = fs::read(&path).and_then(|text| Ok(serde_json::from_slice::<Value>(&text)?));
        let begun = read.map_err(|source| EvalError::Read { path: path.clone(), source })?;
        if begun == *settings {
            Ok(())
        } else {
            Err(EvalError::Begun { folder: self.folder.into(), settings: path })
        }
    }
}
