//! Opening files, but only regular ones.
//!
//! A named pipe among pictures would block its reader forever, and a link to a device can be read
//! without end. Therefore anything that is not a regular file, links followed, is never opened.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bauta_datasets::DataError;

/// Whether a path leads to a regular file, links followed.
pub(crate) fn is_regular(path: &Path) -> bool {
    path.metadata().is_ok_and(|about| about.is_file())
}

/// Opens a regular file.
pub(crate) fn open(path: &Path) -> Result<File, DataError> {
    let about = path.metadata().map_err(DataError::io(path))?;
    if !about.is_file() {
        let kind = if about.is_dir() { "a folder" } else { "a pipe, socket or device" };
        let error = io::Error::other(format!("is {kind}, not a file; it was not opened"));
        return Err(DataError::io(path)(error));
    }
    File::open(path).map_err(DataError::io(path))
}

/// Reads the whole of a regular file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(DataError::io(path))?;
    Ok(bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::process::Command;

    use super::*;

    /// Creates a named pipe; `mkfifo` is part of POSIX.
    pub(crate) fn make_pipe(path: &Path) {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    #[test]
    fn only_files_are_opened_and_links_to_files() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::write(at("file"), b"text").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("zeros")).unwrap();
        std::os::unix::fs::symlink(at("nowhere"), at("broken")).unwrap();
        make_pipe(&at("pipe"));
        for name in ["file", "link"] {
            assert_eq!(read(&at(name)).unwrap(), b"text");
        }
        for name in ["zeros", "broken", "pipe", "."] {
            let error = read(&at(name)).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            assert!(!is_regular(&at(name)));
        }
    }
}
