//! Atomic writes: files and folders that appear whole or not at all.
//!
//! Another process can read the output of a run at any time, and the output must survive a crash of
//! the machine. Each file is therefore written under a temporary name in the same folder, flushed
//! to disk and renamed, and the rename is flushed as well.
//!
//! ```
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("summary.json");
//! bauta_files::write_whole(&path, b"{}")?;
//! assert_eq!(std::fs::read(&path)?, b"{}");
//! # Ok::<(), std::io::Error>(())
//! ```

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Writes a file atomically.
///
/// A file that a killed process has left under the [`partial`] name is removed first. A link of
/// that name is removed as well, never followed. Of two that write a file at the same time, usually
/// the one that began later writes it and the other gets an error; the name is checked just before
/// the rename, so this is no substitute for a lock.
///
/// # Errors
/// The first failure; the file then keeps its previous content, unless only flushing the rename
/// failed. [`io::ErrorKind::InvalidInput`] for a device or a pipe, which a rename would replace, and
/// [`io::ErrorKind::ResourceBusy`] when somebody else has begun to write the file meanwhile.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    refuse_special(path)?;
    let partial = partial(path);
    fill_and_rename(create_fresh(&partial)?, &partial, path, bytes)
}

/// Writes, flushes and renames a fresh file of the name `partial`.
fn fill_and_rename(mut file: File, partial: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    // Whoever else writes to `path` has replaced the file; a rename would show what is unfinished.
    if !is_named(&file, partial) {
        let reason = "another program is writing this file; try again when it has finished";
        return written.and(Err(io::Error::new(io::ErrorKind::ResourceBusy, reason)));
    }
    let written = written.and_then(|()| rename_whole(partial, path));
    if written.is_err() && is_named(&file, partial) {
        // The first error is the one to report.
        let _ = fs::remove_file(partial);
    }
    written
}

/// Whether a name still stands for an open file.
fn is_named(file: &File, name: &Path) -> bool {
    let of = |found: fs::Metadata| (found.dev(), found.ino());
    let (open, named) = (file.metadata().map(of), fs::symlink_metadata(name).map(of));
    open.is_ok_and(|open| named.is_ok_and(|named| open == named))
}

/// Refuses devices, pipes and sockets, also behind links.
fn refuse_special(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() && !found.is_dir() => {
            let reason = "it is a device or a pipe; name a file";
            Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
        }
        // What is missing can be written; other reasons are told by the write.
        _ => Ok(()),
    }
}

/// Checks that [`write_whole`] can write a file, before its content is computed; leaves nothing
/// behind.
///
/// # Errors
/// When `path` is a folder, a device or a pipe, or its parent folder is missing or not writable.
pub fn check_writable(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder, not a file"));
    }
    refuse_special(path)?;
    let partial = partial(path);
    create_fresh(&partial)?;
    fs::remove_file(&partial)
}

/// Creates an empty file, replacing any file or link of that name.
///
/// # Errors
/// When `path` is a folder, or the file cannot be created.
pub fn create_fresh(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Fails if the name has been taken in the meantime, and follows no link.
    File::create_new(path)
}

/// Removes the leftovers of killed processes directly in a folder, and returns their number.
///
/// These are the files and folders whose names end like a [`partial`] name. Call this only if
/// nobody else writes into the folder.
///
/// # Errors
/// When the folder cannot be read or an entry cannot be removed.
pub fn remove_partials(folder: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().ends_with(PARTIAL.as_bytes()) {
            continue;
        }
        // The type is the entry's own: a link to a folder is removed as a link.
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
        removed += 1;
    }
    Ok(removed)
}

/// An exclusive lock on a folder, held through its file `.lock` as long as this value lives.
///
/// The file stays behind; the lock of a killed process is released.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Locks a folder; `None` if another process, or another part of this one, holds it.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn take(folder: &Path) -> io::Result<Option<Self>> {
        let file = File::create(folder.join(".lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether a folder is locked.
    pub fn is_held(folder: &Path) -> bool {
        let file = File::open(folder.join(".lock"));
        // A shared lock: it does not look held to others who ask at the same time, and network
        // file systems give no other to files that are open for reading.
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

/// Locks `path` through the file of that name plus `.lock` next to it, waiting while others hold
/// it.
///
/// The parent folder is created if necessary. The lock is held while the returned file is open.
///
/// # Errors
/// When the folder or the file cannot be created.
pub fn wait_for(path: &Path) -> io::Result<File> {
    fs::create_dir_all(folder_of(path))?;
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    let file = File::create(lock)?;
    file.lock()?;
    Ok(file)
}

/// Renames a file or folder that is already written and flushed, and flushes the rename.
///
/// # Errors
/// As [`fs::rename`], and when the folder cannot be flushed.
pub fn rename_whole(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    // A rename is durable once the folder that holds the new name is flushed.
    File::open(folder_of(to))?.sync_all()
}

/// The temporary name of `path` in the same folder: `summary.json.partial`.
pub fn partial(path: &Path) -> PathBuf {
    let mut name: OsString = path.file_name().unwrap_or_default().to_owned();
    name.push(PARTIAL);
    folder_of(path).join(name)
}

/// Suffix of the names of unfinished files and folders.
const PARTIAL: &str = ".partial";

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_a_file_can_be_written_is_known_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.json");
        check_writable(&path).expect("it can");
        fs::write(&path, "old").expect("it can");
        check_writable(&path).expect("it can be replaced");
        assert_eq!(fs::read(&path).expect("it is there"), b"old");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
        let refused = check_writable(folder.path()).expect_err("a folder");
        assert_eq!(refused.kind(), io::ErrorKind::IsADirectory);
        assert!(check_writable(&folder.path().join("none/a.json")).is_err());
    }

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
    fn of_two_writers_the_later_one_writes_and_nothing_unfinished_is_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.json");
        let partial = partial(&path);
        let first = create_fresh(&partial).expect("a writable folder");
        let mut second = create_fresh(&partial).expect("a writable folder");
        second.write_all(b"the seco").expect("a writable file");
        let refused = fill_and_rename(first, &partial, &path, b"the first").expect_err("late");
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        assert!(!path.exists() && partial.exists());
        fill_and_rename(second, &partial, &path, b"nd").expect("nobody is in the way");
        assert_eq!(fs::read(&path).expect("it was written"), b"the second");
        assert!(!partial.exists());
    }

    #[test]
    fn what_is_no_file_is_not_replaced_by_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let (socket, link) = (folder.path().join("socket"), folder.path().join("link"));
        let _open = std::os::unix::net::UnixListener::bind(&socket).expect("a writable folder");
        std::os::unix::fs::symlink(&socket, &link).expect("a writable folder");
        for path in [&socket, &link] {
            for refused in [check_writable(path), write_whole(path, b"text")] {
                assert_eq!(refused.expect_err("a socket").kind(), io::ErrorKind::InvalidInput);
            }
            assert!(!fs::metadata(path).expect("still there").is_file());
        }
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);
    }

    #[test]
    fn a_link_of_the_partial_name_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, other) = (folder.path().join("e.json"), folder.path().join("other"));
        fs::write(&other, "mine").expect("a writable folder");
        std::os::unix::fs::symlink(&other, partial(&path)).expect("a writable folder");
        write_whole(&path, b"new").expect("the link is in nobody's way");
        assert_eq!(fs::read(&other).expect("still there"), b"mine");
        assert_eq!(fs::read(&path).expect("it was written"), b"new");
        assert!(!path.is_symlink());
    }

    #[test]
    fn what_killed_processes_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("step-3.partial")).expect("a writable folder");
        fs::create_dir(at("kept")).expect("a writable folder");
        for name in ["step-3.partial/x", "a.json.partial", "a.json", "kept/y"] {
            fs::write(at(name), "text").expect("a writable folder");
        }
        std::os::unix::fs::symlink(at("kept"), at("link.partial")).expect("a writable folder");
        assert_eq!(remove_partials(folder.path()).expect("a readable folder"), 3);
        assert_eq!(fs::read(at("kept/y")).expect("still there"), b"text");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);
        // A new write replaces the leftover of one that was killed.
        fs::write(partial(&at("a.json")), "half").expect("a writable folder");
        write_whole(&at("a.json"), b"whole").expect("a writable folder");
        assert_eq!(fs::read(at("a.json")).expect("it was written"), b"whole");
    }

    #[test]
    fn a_folder_is_held_by_one_until_it_lets_go() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(!FolderLock::is_held(folder.path()));
        let first = FolderLock::take(folder.path()).expect("a writable folder");
        assert!(first.is_some() && FolderLock::is_held(folder.path()));
        assert!(FolderLock::take(folder.path()).expect("a writable folder").is_none());
        drop(first);
        assert!(!FolderLock::is_held(folder.path()));
        // Another process is asking.
        let asking = File::open(folder.path().join(".lock")).expect("it was made");
        asking.try_lock_shared().expect("nobody holds it");
        assert!(!FolderLock::is_held(folder.path()));
        drop(asking);
        assert!(FolderLock::take(folder.path()).expect("a writable folder").is_some());
        assert!(FolderLock::take(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_failure_leaves_the_former_content_and_no_partial_file() {
        let folder = tempfile::tempdir().expect("a folder");
        // A folder of that name makes the rename fail.
        let path = folder.path().join("taken");
        fs::create_dir(&path).expect("a writable folder");
        fs::write(path.join("inside"), b"kept").expect("a writable folder");
        assert!(write_whole(&path, b"new").is_err());
        assert_eq!(fs::read(path.join("inside")).expect("still there"), b"kept");
        assert!(!partial(&path).exists());
        assert!(write_whole(&folder.path().join("no/such/folder"), b"").is_err());
    }

    #[test]
    fn whoever_waits_goes_on_when_the_other_lets_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("teachers/a");
        let held = wait_for(&path).expect("a writable folder");
        let other = File::open(folder.path().join("teachers/a.lock")).expect("it was made");
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(held);
        assert!(other.try_lock().is_ok());
        drop(other);
        drop(wait_for(&path).expect("nobody holds it"));
    }
}
