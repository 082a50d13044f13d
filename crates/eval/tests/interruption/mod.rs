//! Watches that end a training, or keep what a kill would leave.

#![allow(dead_code, reason = "each test uses its part")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bauta_eval::Watch;
use bauta_train::Event;

/// The bytes of a run's last weights.
pub fn weights(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("checkpoints/last/model.safetensors")).expect("a checkpoint")
}

/// Stops training after a step.
pub struct StopAt(AtomicBool, u64);

impl StopAt {
    /// Stops after `step` steps.
    pub fn step(step: u64) -> Self {
        Self(AtomicBool::new(false), step)
    }
}

impl Watch for StopAt {
    fn stop(&self) -> &AtomicBool {
        &self.0
    }

    fn begin(&self, _: &str) {}

    fn training(&self, event: &Event<'_>, _: u64) {
        if let Event::Step { step } = event {
            self.0.store(*step >= self.1, Ordering::Relaxed);
        }
    }
}

/// Copies a run's folder once, when its first checkpoint has been written.
pub struct CopyAt {
    stop: AtomicBool,
    from: PathBuf,
    to: PathBuf,
}

impl CopyAt {
    /// Copies the run's folder `from` to `to`.
    pub fn first_checkpoint(from: &Path, to: &Path) -> Self {
        Self { stop: AtomicBool::new(false), from: from.into(), to: to.into() }
    }
}

impl Watch for CopyAt {
    fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    fn begin(&self, _: &str) {}

    fn training(&self, event: &Event<'_>, _: u64) {
        if matches!(event, Event::Checkpoint(_)) && !self.to.exists() {
            copy(&self.from, &self.to);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let kind = fs::symlink_metadata(from).expect("it was listed").file_type();
    if kind.is_symlink() {
        symlink(fs::read_link(from).expect("a link"), to).expect("a writable folder");
    } else if kind.is_dir() {
        fs::create_dir(to).expect("a writable folder");
        for entry in fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).expect("a writable folder");
    }
}
