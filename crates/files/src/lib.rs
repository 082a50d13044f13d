//! Files and folders that are whole or not there.
//!
//! Whatever a run leaves may be read by another process at any instant, and must survive
//! a crash of the machine. So it is written under a name beside its own, flushed to the
//! disk, and renamed, and the rename is flushed too.
//!
//! ```
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("summary.json");
//! bauta_files::write_whole(&path, b"{}")?;
//! assert_eq!(std::fs::read(&path)?, b"{}");
//! # Ok::<(), std::io::Error>(())
//! ```

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes a file so that it exists whole or not at all.
///
/// # Errors
/// The first failure; the file's former content, if any, is untouched then.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = partial(path);
    let written = File::create(&partial)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| rename_whole(&partial, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&partial);
    }
    written
}

/// Renames a file or folder that is written and flushed, and flushes the rename.
///
/// # Errors
/// As [`fs::rename`], and when the folder cannot be flushed.
pub fn rename_whole(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    // A rename is durable once the folder that holds the new name is flushed.
    File::open(folder_of(to))?.sync_all()
}

/// The name beside `path` under which it is written: `summary.json.partial`.
pub fn partial(path: &Path) -> PathBuf {
    let mut name: OsString = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    folder_of(path).join(name)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_stays_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.json");
        for text in ["first", "second, which is longer"] {
            write_whole(&path, text.as_bytes()).expect("a writable folder");
            assert_eq!(fs::read_to_string(&path).expect("it was written"), text);
        }
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn a_failure_leaves_the_former_content_and_no_partial_file() {
        let folder = tempfile::tempdir().expect("a folder");
        // A folder of the name stands in the way of the rename.
        let path = folder.path().join("taken");
        fs::create_dir(&path).expect("a writable folder");
        fs::write(path.join("inside"), b"kept").expect("a writable folder");
        assert!(write_whole(&path, b"new").is_err());
        assert_eq!(fs::read(path.join("inside")).expect("still there"), b"kept");
        assert!(!partial(&path).exists());
        assert!(write_whole(&folder.path().join("no/such/folder"), b"").is_err());
    }
}
