//! The `checkpoints` folder of a run: the folders `step-N/`, the link `last` to the newest one, and
//! the models that finished phases keep.
//!
//! A checkpoint is written to a temporary folder, flushed and renamed; then a phase that ends
//! copies the model it keeps, and then `last` is replaced in one rename. So `last` names a complete
//! checkpoint at every instant, and if that checkpoint ends a phase, the kept model exists.
//!
//! Tools that copy folders may skip links or put copies in their place: a run that is resumed finds
//! its newest checkpoint again, and its next one makes `last` a link again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use bauta_backbones::Preprocessing;
use bauta_files::{partial, remove_partials, rename_whole, write_whole};

use crate::TrainError;
use crate::checkpoint::{CONFIG, MODEL};

/// How many checkpoints stay: the newest and the one before.
const KEPT: usize = 2;

/// What `last` points to, for lack of a checkpoint, after a new start in a folder with earlier ones.
const NONE: &str = ".none";

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

    /// Prepares a new start of the run: the checkpoints of an earlier one no longer count.
    pub(crate) fn forget(&self) -> Result<(), TrainError> {
        match self.folder.is_dir() {
            // Without a link, they would be taken for those of a run that has lost it.
            true => self.point_last(NONE),
            false => Ok(()),
        }
    }

    /// Points `last` to the newest complete checkpoint if the link is lost or leads nowhere, but not
    /// after [`Self::forget`].
    pub(crate) fn recover(&self) -> Result<(), TrainError> {
        let forgotten = fs::read_link(self.last()).is_ok_and(|to| to == Path::new(NONE));
        if forgotten || self.newest().is_some() || !self.folder.is_dir() {
            return Ok(());
        }
        let whole = |step: &u64| self.step(*step).join("state.json").is_file();
        let Some(step) = self.steps()?.into_iter().filter(whole).max() else { return Ok(()) };
        tracing::warn!(
            "{} is missing or leads to no checkpoint; the run goes on from step-{step}",
            self.last().display()
        );
        self.point_last(&format!("step-{step}"))
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
        let whole = self.step(step);
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
        // A rename does not replace a folder, which stands here in a copy that followed the link.
        if fs::symlink_metadata(&last).is_ok_and(|found| found.is_dir()) {
            let aside = partial(&self.folder.join("copy-of-last"));
            remove(&aside)?;
            fs::rename(&last, &aside).map_err(TrainError::io(&last))?;
            rename_whole(&link, &last).map_err(TrainError::io(&last))?;
            return remove(&aside);
        }
        rename_whole(&link, &last).map_err(TrainError::io(&last))
    }

    /// The folder of the checkpoint after this many steps of the run.
    fn step(&self, step: u64) -> PathBuf {
        self.folder.join(format!("step-{step}"))
    }

    /// The steps that have a folder, in no order.
    fn steps(&self) -> Result<Vec<u64>, TrainError> {
        let mut steps = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(TrainError::io(&self.folder))? {
            let name = entry.map_err(TrainError::io(&self.folder))?.file_name();
            let name = name.to_str().and_then(|name| name.strip_prefix("step-"));
            steps.extend(name.and_then(|step| step.parse::<u64>().ok()));
        }
        Ok(steps)
    }

    /// Removes all but the newest checkpoints, and what an interruption left half-written.
    fn prune(&self, step: u64) -> Result<(), TrainError> {
        remove_partials(&self.folder).map_err(TrainError::io(&self.folder))?;
        // Later steps belong to an earlier start of the run.
        let (mut steps, later): (Vec<u64>, Vec<u64>) =
            self.steps()?.into_iter().partition(|&found| found <= step);
        steps.sort_unstable_by(|a, b| b.cmp(a));
        for old in later.iter().chain(steps.iter().skip(KEPT)) {
            remove(&self.step(*old))?;
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
