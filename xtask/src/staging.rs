//! Folders of the cache that are either complete or absent.
//!
//! Work happens in a folder next to the target, under a lock, and ends with a rename.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::bytes;

/// Waits for the lock; the returned file holds it.
pub fn lock(path: &Path, what: &str) -> Result<File> {
    let refuse = || format!("cannot write {}", path.display());
    let file = File::create(path).with_context(refuse)?;
    if file.try_lock().is_err() {
        eprintln!("Another process is fetching {what}; waiting");
        file.lock().with_context(refuse)?;
    }
    Ok(file)
}

/// A folder of work in progress, removed when the work ends in any way.
pub struct Staging(pub PathBuf);

impl Staging {
    /// Creates the folder, empty.
    pub fn new(folder: PathBuf) -> Result<Self> {
        let staging = Self(folder);
        staging.remove(); // What a killed process has left.
        fs::create_dir(&staging.0)
            .with_context(|| format!("cannot write {}", staging.0.display()))?;
        Ok(staging)
    }

    /// Anything that cannot be removed now is removed by the next fetch.
    fn remove(&self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Renames the whole tree; a tree that stood there was incomplete.
pub fn move_into_place(site: &Path, target: &Path) -> Result<()> {
    if target.exists() {
        fs::remove_dir_all(target)
            .with_context(|| format!("cannot replace {}", target.display()))?;
    }
    fs::rename(site, target).with_context(|| format!("cannot write {}", target.display()))
}

/// Refuses to start if the disk is too full.
pub fn check_disk(what: &str, folder: &Path, needed: u64) -> Result<()> {
    match bytes::free_at(folder) {
        Some(free) if free < needed => bail!(
            "{what} needs {} in {} and {} are free; make room, \
             or set XDG_CACHE_HOME to a folder on a larger disk",
            bytes::show(needed),
            folder.display(),
            bytes::show(free)
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_moved_whole_over_a_broken_one() {
        let scratch = tempfile::tempdir().unwrap();
        let (site, target) = (scratch.path().join("site"), scratch.path().join("target"));
        fs::create_dir_all(site.join("torch")).unwrap();
        fs::create_dir_all(target.join("half")).unwrap();
        move_into_place(&site, &target).unwrap();
        assert!(target.join("torch").is_dir() && !target.join("half").exists() && !site.exists());
    }
}
