//! The `checkpoints` folder of a run: the folders `step-N/`, the link `last` to the newest one, and
//! the models that finished phases keep.
//!
//! A checkpoint is written to a temporary folder, flushed and renamed; then a phase that ends
//! copies the model it keeps, and then `last` is replaced in one rename. So `last` names a complete
//! checkpoint at every instant, and if that checkpoint ends a phase, the kept model exists.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use bauta_backbones::Preprocessing;
use bauta_files::{partial, rename_whole, write_whole};

use crate::TrainError;
use crate::checkpoint::{CONFIG, MODEL};

/// How many checkpoints stay: the newest and the one before.
const KEPT: usize = 2;

/// The `checkpoints` folder of a run.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// The checkpoints of the run in `run_folder`.
    pub(crate) fn of(run_folder: &Path) -> Self {
        Self { folder: run_folder.join("checkpoints") }
    }

    /// The link to the newest checkpoint.
    pub(crate) fn last(&self) -> PathBuf {
        self.folder.join("last")
    }

    /// The newest complete checkpoint, if there is one.
    pub(crate) fn newest(&self) -> Option<PathBuf> {
        let last = self.last();
        last.join("state.json").is_file().then_some(last)
    }

    /// The model folder of a finished phase.
    pub(crate) fn kept(&self, phase: &str) -> PathBuf {
        self.folder.join(phase)
    }

    /// Prepares a new start of the run by removing the link to the newest checkpoint.
    pub(crate) fn forget(&self) -> Result<(), TrainError> {
        if !self.folder.is_dir() {
            return Ok(());
        }
        remove(&self.last())?;
        flush(&self.folder)
    }

    /// Saves the files that `write` puts into a folder as a checkpoint and points `last` to it;
    /// with `keep`, also copies the model to `checkpoints/KEEP`.
    ///
    /// If writing the checkpoint or the copy fails, `last` stays as it was.
    pub(crate) fn save(
        &self,
        step: u64,
        keep: Option<&str>,
        write: impl FnOnce(&Path) -> Result<(), TrainError>,
    ) -> Result<PathBuf, TrainError> {
        if !self.folder.is_dir() {
            fs::create_dir_all(&self.folder).map_err(TrainError::io(&self.folder))?;
            flush(self.folder.parent().unwrap_or(Path::new(".")))?;
        }
        let whole = self.folder.join(format!("step-{step}"));
        make_folder(&whole, write)?;
        if let Some(phase) = keep {
            self.keep(&whole, phase)?;
        }
        self.point_last(&format!("step-{step}"))?;
        self.prune(step)?;
        Ok(whole)
    }

    /// Copies a checkpoint's model to `checkpoints/PHASE`, a model folder that no later
    /// checkpoint replaces.
    pub(crate) fn keep(&self, checkpoint: &Path, phase: &str) -> Result<(), TrainError> {
        make_folder(&self.kept(phase), |folder| {
            for file in [MODEL, CONFIG, Preprocessing::FILE] {
                let from = checkpoint.join(file);
                if file == Preprocessing::FILE && !from.exists() {
                    continue;
                }
                let bytes = fs::read(&from).map_err(TrainError::io(&from))?;
                let to = folder.join(file);
                write_whole(&to, &bytes).map_err(TrainError::io(&to))?;
            }
            Ok(())
        })
    }

    #[cfg(unix)]
    fn point_last(&self, name: &str) -> Result<(), TrainError> {
        let last = self.last();
        let link = partial(&last);
        remove(&link)?;
        std::os::unix::fs::symlink(name, &link).map_err(TrainError::io(&link))?;
        rename_whole(&link, &last).map_err(TrainError::io(&last))
    }

    /// Removes all but the newest checkpoints, and what an interruption left half-written.
    fn prune(&self, step: u64) -> Result<(), TrainError> {
        let mut steps = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(TrainError::io(&self.folder))? {
            let entry = entry.map_err(TrainError::io(&self.folder))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.ends_with(".partial") {
                remove(&entry.path())?;
            }
            match name.strip_prefix("step-").map(str::parse::<u64>) {
                Some(Ok(found)) if found <= step => steps.push(found),
                // Later steps belong to an earlier start of the run.
                Some(Ok(_)) => remove(&entry.path())?,
                _ => {}
            }
        }
        steps.sort_unstable_by(|a, b| b.cmp(a));
        for old in steps.iter().skip(KEPT) {
            remove(&self.folder.join(format!("step-{old}")))?;
        }
        Ok(())
    }
}

/// Makes a folder: `write` fills a temporary one, which is flushed and renamed.
fn make_folder(
    whole: &Path,
    write: impl FnOnce(&Path) -> Result<(), TrainError>,
) -> Result<(), TrainError> {
    let beside = partial(whole);
    remove(&beside)?;
    fs::create_dir(&beside).map_err(TrainError::io(&beside))?;
    let made = write(&beside).and_then(|()| {
        flush(&beside)?;
        remove(whole)?;
        rename_whole(&beside, whole).map_err(TrainError::io(whole))
    });
    if made.is_err() {
        // The first error is the one to report.
        let _ = remove(&beside);
    }
    made
}

/// Flushes the entries of a folder to disk.
fn flush(folder: &Path) -> Result<(), TrainError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(TrainError::io(folder))
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
