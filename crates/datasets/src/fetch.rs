//! Data sets and models from packages: download, verify, unpack, keep.
//!
//! The registries' own clients do the downloading, so that a user's mirror, proxy and credentials
//! work as usual. An archive is compared with the checksums of a table, unpacked next to its final
//! place and renamed, so a data set in the cache is always complete. A lock makes a second process
//! wait for the first, after which it finds the data set in the cache. A cached data set needs no
//! network.

mod apt_index;
mod cache;
mod client;
mod origin;
mod package;
mod unpack;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use self::cache::{cache_root, fetched, locate};
pub use self::origin::{Package, Proof, Registry, Selection};
pub use self::package::PACKAGES;
use crate::error::DataError;

/// What [`fetch`] is doing; for a progress bar.
#[derive(Clone, Debug, PartialEq)]
pub enum FetchEvent<'a> {
    /// The terms of the data set, before anything is downloaded.
    Licence(&'a str),
    /// Another process is fetching the same data set.
    Waiting,
    /// A registry's client has been started, with this command line.
    Started(&'a str),
    /// The archive has grown.
    Downloaded {
        /// Bytes so far.
        bytes: u64,
        /// Total bytes, according to the table.
        total: u64,
    },
    /// The checksums are being compared.
    Verifying,
    /// The archive is being unpacked.
    Unpacking,
    /// The complete data set is in this folder.
    Done(&'a Path),
}

/// Fetches a package's files into `root`, unless they are already there, and returns their folder.
///
/// # Errors
/// When the registry's client is missing or fails, when a checksum differs,
/// when the archive is truncated or unsafe to unpack or lacks files, or when the cache cannot be
/// written. Nothing half-written is left in place.
pub fn fetch(
    package: &Package,
    root: &Path,
    progress: &mut dyn FnMut(FetchEvent<'_>),
) -> Result<PathBuf, DataError> {
    if let Some(folder) = locate(package, root) {
        progress(FetchEvent::Done(&folder));
        return Ok(folder);
    }
    progress(FetchEvent::Licence(package.licence));
    let place = cache::Place::lock(package, root, &mut || progress(FetchEvent::Waiting))?;
    // Another process may have fetched it while this one waited.
    if let Some(folder) = locate(package, root) {
        progress(FetchEvent::Done(&folder));
        return Ok(folder);
    }
    let archive = client::download(package, &place.downloads()?, progress)?;
    install(package, &archive, &place, progress)
}

/// Verifies and unpacks an archive, and moves its files to their final place.
fn install(
    package: &Package,
    archive: &Path,
    place: &cache::Place<'_>,
    progress: &mut dyn FnMut(FetchEvent<'_>),
) -> Result<PathBuf, DataError> {
    progress(FetchEvent::Verifying);
    if let Proof::Archive { sha256, .. } = package.proof {
        verify(archive, sha256)?;
    }
    progress(FetchEvent::Unpacking);
    let unpacked = place.unpacked()?;
    unpack::unpack(package, archive, &unpacked)?;
    for (name, sha256) in package.proof.files() {
        let file = unpacked.join(name);
        if !file.is_file() {
            return Err(DataError::Absent {
                path: archive.to_path_buf(),
                wanted: format!("file {}{name}", package.inside),
                remedy: "this is not the expected package".to_owned(),
            });
        }
        if let Some(sha256) = sha256 {
            verify(&file, sha256)?;
        }
    }
    let folder = place.publish(&unpacked)?;
    progress(FetchEvent::Done(&folder));
    Ok(folder)
}

/// Compares a file with its lower-case hexadecimal sha256, and removes it when they differ.
fn verify(path: &Path, expected: &str) -> Result<(), DataError> {
    let mut file =
        BufReader::with_capacity(1 << 16, File::open(path).map_err(DataError::io(path))?);
    let mut hasher = Sha256::new();
    loop {
        let bytes = file.fill_buf().map_err(DataError::io(path))?;
        if bytes.is_empty() {
            break;
        }
        hasher.update(bytes);
        let read = bytes.len();
        file.consume(read);
    }
    let found: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found == expected {
        return Ok(());
    }
    fs::remove_file(path).map_err(DataError::io(path))?;
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Err(DataError::Checksum { file, expected: expected.to_owned(), found })
}

#[cfg(test)]
mod tests;
