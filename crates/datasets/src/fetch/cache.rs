//! The cache folder: one folder per data set, written under a temporary name and renamed.
//!
//! ```text
//! ROOT/cifar10/            the files, and `.complete`, written last
//! ROOT/cifar10.lock        held while one process fetches
//! ROOT/cifar10.partial/    work in progress; whoever holds the lock may remove it
//! ```

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::origin::Package;
use crate::error::DataError;

/// The file that says which package a folder holds, and the sizes of all its files.
const MARKER: &str = ".complete";

/// Finds the cache's root: `BAUTA_DATA`, or `bauta/data` in the user's cache folder.
///
/// On Linux the latter is `$XDG_CACHE_HOME/bauta/data` or `~/.cache/bauta/data`. The path is always
/// absolute, because registries' clients run in other folders: a relative `BAUTA_DATA` starts from
/// the current one.
/// Only binaries and tests should read the environment; libraries take the path as an argument.
///
/// # Errors
/// When `BAUTA_DATA` is not set and the user has no home folder, or it is relative and the current
/// folder is gone.
pub fn cache_root() -> Result<PathBuf, DataError> {
    root_of(std::env::var_os("BAUTA_DATA"))
}

fn root_of(named: Option<OsString>) -> Result<PathBuf, DataError> {
    if let Some(root) = named.filter(|root| !root.is_empty()).map(PathBuf::from) {
        return std::path::absolute(&root).map_err(DataError::io(&root));
    }
    let user = directories::BaseDirs::new().ok_or_else(|| DataError::Setting {
        key: "BAUTA_DATA",
        value: "unset".to_owned(),
        rule: "no home folder is known; set it to a folder for data sets".to_owned(),
    })?;
    Ok(user.cache_dir().join("bauta").join("data"))
}

/// Finds a data set that was fetched before and is complete.
///
/// This is cheap: it compares the files' sizes with those recorded when they were verified.
pub fn locate(package: &Package, root: &Path) -> Option<PathBuf> {
    let folder = root.join(package.name);
    let marker = fs::read_to_string(folder.join(MARKER)).ok()?;
    let mut lines = marker.lines();
    let same = lines.next() == Some(&identity(package));
    let whole = lines.all(|line| {
        let Some((size, name)) = line.split_once(' ') else { return false };
        fs::metadata(folder.join(name)).is_ok_and(|file| file.len().to_string() == size)
    });
    (same && whole).then_some(folder)
}

/// Like [`locate`], for a data set that is required.
///
/// # Errors
/// [`DataError::Absent`] when it is missing or incomplete; the message says how to fetch it.
pub fn fetched(package: &Package, root: &Path) -> Result<PathBuf, DataError> {
    let name = package.name;
    locate(package, root).ok_or_else(|| DataError::Absent {
        path: root.to_path_buf(),
        wanted: format!("complete copy of {name}"),
        remedy: format!("`cargo xtask data fetch {name}` fetches it"),
    })
}

/// A data set's place in the cache, locked against other processes.
pub(super) struct Place<'a> {
    package: &'a Package,
    root: &'a Path,
    _lock: File,
}

impl<'a> Place<'a> {
    /// Takes the lock, and removes the leftovers of an interrupted fetch.
    ///
    /// # Errors
    /// [`DataError::Malformed`] when the place holds a folder that was not fetched, such as a
    /// user's own, which fetching would replace.
    pub(super) fn lock(
        package: &'a Package,
        root: &'a Path,
        waiting: &mut dyn FnMut(),
    ) -> Result<Self, DataError> {
        fs::create_dir_all(root).map_err(DataError::io(root))?;
        let path = root.join(format!("{}.lock", package.name));
        let lock = File::create(&path).map_err(DataError::io(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting();
                lock.lock().map_err(DataError::io(&path))?;
            }
            Err(TryLockError::Error(error)) => return Err(DataError::io(&path)(error)),
        }
        let place = Self { package, root, _lock: lock };
        remove(&place.partial())?;
        let folder = place.folder();
        let mut entries = fs::read_dir(&folder).into_iter().flatten();
        if !folder.join(MARKER).exists() && entries.next().is_some() {
            let problem = format!(
                "this folder was not fetched, and {} would replace it; move it, or name another \
                 folder for fetched data with BAUTA_DATA",
                package.name
            );
            return Err(DataError::malformed(&folder, problem));
        }
        Ok(place)
    }

    /// Creates the empty folder that the client downloads into.
    pub(super) fn downloads(&self) -> Result<PathBuf, DataError> {
        self.fresh("download")
    }

    /// Creates the empty folder that the archive is unpacked into.
    pub(super) fn unpacked(&self) -> Result<PathBuf, DataError> {
        self.fresh("unpacked")
    }

    /// Marks verified files as complete and moves them to their final place.
    pub(super) fn publish(&self, unpacked: &Path) -> Result<PathBuf, DataError> {
        let mut marker = identity(self.package) + "\n";
        for entry in WalkDir::new(unpacked).sort_by_file_name() {
            let entry = entry.map_err(|error| DataError::malformed(unpacked, error))?;
            if entry.file_type().is_file() {
                let size = entry.metadata().map_err(|e| DataError::malformed(unpacked, e))?.len();
                let name = entry.path().strip_prefix(unpacked).expect("it was found below");
                marker += &format!("{size} {}\n", name.display());
            }
        }
        let path = unpacked.join(MARKER);
        File::create(&path)
            .and_then(|mut file| file.write_all(marker.as_bytes()).and_then(|()| file.sync_all()))
            .map_err(DataError::io(&path))?;
        let folder = self.folder();
        // Any folder there was fetched, and is damaged or of another version: `locate` did not find
        // it.
        remove(&folder)?;
        fs::rename(unpacked, &folder).map_err(DataError::io(&folder))?;
        Ok(folder)
    }

    fn folder(&self) -> PathBuf {
        self.root.join(self.package.name)
    }

    fn partial(&self) -> PathBuf {
        self.root.join(format!("{}.partial", self.package.name))
    }

    fn fresh(&self, name: &str) -> Result<PathBuf, DataError> {
        let folder = self.partial().join(name);
        fs::create_dir_all(&folder).map_err(DataError::io(&folder))?;
        Ok(folder)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.partial()) {
            tracing::warn!(%error, "the next fetch will remove it");
        }
    }
}

/// Removes a folder and its contents, if it exists.
fn remove(folder: &Path) -> Result<(), DataError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(DataError::io(folder)(error))
        }
        _ => Ok(()),
    }
}

fn identity(package: &Package) -> String {
    let Package { registry, package, version, proof, inside, selection, .. } = package;
    let part = selection.map_or_else(String::new, |selection| format!(" {selection:?}"));
    format!("{} {package} {version} {inside}{part} {proof:?}", registry.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_root_starts_from_the_current_folder_and_an_empty_one_is_none() {
        let current = std::env::current_dir().unwrap();
        let root = |named: &str| root_of(Some(named.into())).unwrap();
        assert_eq!(root("my data"), current.join("my data"));
        assert_eq!(root("/my data"), Path::new("/my data"));
        assert_eq!(root(""), root_of(None).unwrap());
    }
}
