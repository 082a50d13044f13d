//! The files below a folder.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::BrepError;

/// The wanted files below a folder, in the order of their paths. Links are followed; hidden files
/// and folders are left out.
///
/// # Errors
/// [`BrepError::Read`] for a folder that cannot be read, a link to a folder that it lies in, and a
/// wanted link that leads nowhere.
pub(crate) fn files_below(
    folder: &Path,
    wanted: impl Fn(&Path) -> bool,
) -> Result<Vec<PathBuf>, BrepError> {
    let is_hidden = |name: &OsStr| name.as_encoded_bytes().starts_with(b".");
    let is_no_concern = |path: &Path| {
        path.is_symlink() && (!wanted(path) || path.file_name().is_some_and(is_hidden))
    };
    let mut paths = Vec::new();
    let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    for entry in walk.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name())) {
        match entry {
            Ok(entry) if entry.file_type().is_file() && wanted(entry.path()) => {
                paths.push(entry.into_path());
            }
            Ok(_) => {}
            // A link that leads nowhere.
            Err(error)
                if error.loop_ancestor().is_none() && error.path().is_some_and(is_no_concern) => {}
            Err(error) => return Err(BrepError::of_walk(folder, error)),
        }
    }
    Ok(paths)
}
