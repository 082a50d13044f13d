//! The output folder of a fine-tuning.

use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::FineTuneReport;
use super::task::FineTuned;
use crate::begun::check_unused;
use crate::{EvalError, TrainingRun, Watch};

/// An output folder that is kept, or a temporary one.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// The folder that is kept, if any.
    pub folder: Option<&'a Path>,
    /// Resume from its last checkpoint.
    pub resume: bool,
    /// Steps between checkpoints; with 0, one is written only at the end.
    pub checkpoint_every: u64,
    /// Steps between lines of metrics, at least 1.
    pub log_every: u64,
}

impl Kept<'_> {
    /// Refuses a folder that already holds a result, unless it is resumed.
    ///
    /// # Errors
    /// [`EvalError::Unsuitable`], which names the folder.
    pub fn check(&self) -> Result<(), EvalError> {
        match self.folder {
            Some(folder) if !self.resume => check_unused(folder, "result.json"),
            _ => Ok(()),
        }
    }

    /// Writes the settings to the folder and trains in it.
    ///
    /// # Errors
    /// As [`TrainingRun::begin`], and those of `train`.
    pub fn train(
        &self,
        settings: &Value,
        watch: &dyn Watch,
        train: impl FnOnce(TrainingRun<'_>) -> Result<FineTuned, EvalError>,
    ) -> Result<FineTuned, EvalError> {
        let failed = |source| EvalError::Write { path: std::env::temp_dir(), source };
        let passing = tempfile::tempdir().map_err(failed)?;
        let run = TrainingRun {
            resume: self.resume,
            checkpoint_every: self.checkpoint_every,
            log_every: self.log_every,
            ..TrainingRun::new(self.folder.unwrap_or(passing.path()), watch)
        };
        let begun = run.folder.exists();
        run.begin(settings)?;
        let trained = train(run);
        if trained.is_err() && !begun {
            forget_settings(run.folder);
        }
        trained
    }

    /// Writes the report to the folder that is kept, if any.
    ///
    /// # Errors
    /// [`EvalError::Write`] when the file cannot be written.
    pub fn keep<S: Serialize>(&self, report: &FineTuneReport<S>) -> Result<(), EvalError> {
        self.folder.map_or(Ok(()), |folder| report.write(&folder.join("result.json")))
    }
}

/// Removes the folder of a training refused before its first step if it holds only its settings.
fn forget_settings(folder: &Path) {
    let alone = fs::read_dir(folder).is_ok_and(|entries| entries.count() == 1);
    if alone && fs::remove_file(folder.join("settings.json")).is_ok() {
        // A folder that another process writes into is kept.
        let _ = fs::remove_dir(folder);
    }
}
