//! The settings that the work in a folder was started with, so that it continues with the same.

use std::fs;
use std::path::Path;

use bauta_files::{FolderLock, write_whole};
use bauta_train::TrainError;
use serde_json::Value;

use crate::{EvalError, TrainingRun};

/// Refuses a folder that already holds the checkpoints of a training, its `result`, or the picture
/// of the same name.
///
/// # Errors
/// [`EvalError::Unsuitable`], which names the folder.
pub(crate) fn check_unused(folder: &Path, result: &str) -> Result<(), EvalError> {
    let picture = Path::new(result).with_extension("png");
    let results = [Path::new("checkpoints"), Path::new(result), &picture];
    if results.iter().any(|name| folder.join(name).exists()) {
        return Err(EvalError::Unsuitable(format!(
            "{} already holds a result; name another folder, or add --resume",
            folder.display()
        )));
    }
    Ok(())
}

impl TrainingRun<'_> {
    /// Writes the settings to the folder's `settings.json`; refuses to continue work started with
    /// other settings, or the checkpoints of a run that has no such file.
    ///
    /// # Errors
    /// [`TrainError::Busy`] when another process trains in the folder;
    /// [`EvalError::Begun`] when the settings differ; [`EvalError::Unsuitable`] when there are
    /// checkpoints without settings; [`EvalError::Read`] and [`EvalError::Write`] when the file
    /// cannot be used.
    pub fn begin(&self, settings: &Value) -> Result<(), EvalError> {
        if FolderLock::is_held(self.folder) {
            return Err(TrainError::Busy(self.folder.into()).into());
        }
        let path = self.folder.join("settings.json");
        if !self.resume || !path.exists() {
            let held = fs::read_dir(self.folder.join("checkpoints"));
            if self.resume && held.is_ok_and(|mut checkpoints| checkpoints.next().is_some()) {
                // Its next checkpoints would replace them.
                return Err(EvalError::Unsuitable(format!(
                    "{} holds the checkpoints of another run (it has no settings.json); name \
                     another folder",
                    self.folder.display()
                )));
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_never_replaced_and_other_files_are_no_concern() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let check =
            || check_unused(place.path(), "segment.json").map_err(|error| error.to_string());
        check_unused(&at("new"), "segment.json").unwrap();
        // What a shell or an unfinished start leaves.
        for name in ["log.txt", "settings.json", "metrics.jsonl"] {
            fs::write(at(name), "").unwrap();
            check().unwrap();
        }
        for name in ["segment.json", "segment.png", "checkpoints"] {
            fs::create_dir(at(name)).unwrap();
            let refused = check().unwrap_err();
            assert!(refused.contains("already holds a result"), "{refused}");
            fs::remove_dir(at(name)).unwrap();
        }
        check().unwrap();
    }
}
