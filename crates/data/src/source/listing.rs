//! The contents of a user's folder of pictures or shards.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use bauta_datasets::DataError;
use walkdir::WalkDir;

/// Lists the entries directly in a folder, sorted by name, without hidden ones.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    if folder.is_file() {
        return Err(DataError::malformed(folder, "is a file; name the folder that it lies in"));
    }
    let mut paths = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>())
        .map_err(DataError::io(folder))?;
    paths.retain(|path| !is_hidden(path));
    paths.sort();
    Ok(paths)
}

/// Files of the wanted kind at any depth below a folder.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Sorted by path, folders and files of one folder in the order of their names.
    pub(crate) paths: Vec<PathBuf>,
    /// Pipes, sockets and devices with a wanted name.
    pub(crate) special: Vec<PathBuf>,
    /// Pictures of formats that are not read, and arrays among pictures.
    pub(crate) foreign: Vec<PathBuf>,
}

/// Lists the files below a folder whose names are `wanted`; links are followed, hidden
/// entries left out.
///
/// # Errors
/// When a folder cannot be read, or a link is broken or circular.
pub(crate) fn files_below(
    folder: &Path,
    wanted: impl Fn(&Path) -> bool,
) -> Result<Files, DataError> {
    let mut files = Files::default();
    for entry in walk(folder) {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        if !entry.file_type().is_dir() && wanted(entry.path()) {
            let regular = entry.file_type().is_file();
            let list = if regular { &mut files.paths } else { &mut files.special };
            list.push(entry.into_path());
        } else if entry.file_type().is_file() && is_foreign(entry.path()) {
            files.foreign.push(entry.into_path());
        }
    }
    Ok(files)
}

/// Whether there is a file below a folder whose name is `wanted`.
pub(crate) fn any_below(folder: &Path, wanted: impl Fn(&Path) -> bool) -> bool {
    walk(folder)
        .filter_map(Result::ok)
        .any(|entry| entry.file_type().is_file() && wanted(entry.path()))
}

fn walk(folder: &Path) -> impl Iterator<Item = walkdir::Result<walkdir::DirEntry>> {
    WalkDir::new(folder)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter()
        // The folder itself can have any name.
        .filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.path()))
}

fn unreadable(folder: &Path, error: &walkdir::Error) -> DataError {
    let path = error.path().unwrap_or(folder);
    let problem = match error.loop_ancestor() {
        Some(ancestor) => format!("links back to {}; remove the link", ancestor.display()),
        None if path.symlink_metadata().is_ok_and(|about| about.is_symlink()) => {
            let target = fs::read_link(path).unwrap_or_default();
            format!("is a link to {}, which does not exist; remove or fix it", target.display())
        }
        None => error.io_error().map_or_else(|| error.to_string(), ToString::to_string),
    };
    DataError::malformed(path, problem)
}

/// Whether an entry is not part of the data: its name starts with a dot, or is that of a folder in
/// which macOS keeps what zip files cannot hold, or a Synology its thumbnails.
pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(is_hidden_name)
}

/// The same for a name.
pub(super) fn is_hidden_name(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || name == "__MACOSX" || name == "@eaDir"
}

/// Extensions of pictures that are not read, and of arrays.
const FOREIGN: [&str; 16] = [
    "avif", "bmp", "gif", "heic", "heif", "jfif", "jp2", "jpe", "jxl", "npy", "pbm", "pgm", "pnm",
    "ppm", "tif", "tiff",
];

/// Whether a path has the extension of a picture format that is not read, or of an array.
pub(crate) fn is_foreign(path: &Path) -> bool {
    has_extension(path, &FOREIGN)
}

/// Whether a path has the extension of a JPEG, PNG or WebP file.
pub(crate) fn is_picture(path: &Path) -> bool {
    has_extension(path, &["jpg", "jpeg", "png", "webp"])
}

/// Whether a path has one of these extensions, ignoring case.
pub(crate) fn has_extension(path: &Path, known: &[&str]) -> bool {
    path.extension()
        .and_then(OsStr::to_str)
        .is_some_and(|extension| known.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

/// A name for display: bytes that are not UTF-8 appear as `\xE9`, so that different names can be
/// told apart.
pub(crate) fn shown(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_encoded_bytes().utf8_chunks() {
        text += chunk.valid();
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")));
    }
    text
}
