//! The samples of one split, by subfolder.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bauta_datasets::DataError;

use crate::source::layout::{Kind, list, several};
use crate::source::listing::{Files, entries, files_below, has_extension, shown};

/// Samples by the direct subfolder of the split that contains them, at any depth.
pub(super) struct Part {
    pub(super) folder: PathBuf,
    pub(super) loose: Vec<PathBuf>,
    pub(super) by_class: BTreeMap<OsString, Vec<PathBuf>>,
}

impl Part {
    /// Lists the samples in the folder of a split.
    pub(super) fn read(
        folder: &Path,
        kind: Kind,
        notes: &mut Vec<String>,
    ) -> Result<Self, DataError> {
        let files = files_below(folder, kind.wanted)?;
        note_left_out(folder, &files, kind, notes)?;
        let (mut loose, mut by_class) = (Vec::new(), BTreeMap::<OsString, Vec<PathBuf>>::new());
        let mut paths = files.paths;
        if kind.folders {
            for path in &mut paths {
                path.pop();
            }
            paths.dedup();
            // A subfolder can be listed between two files of its folder.
            let mut seen = HashSet::new();
            paths.retain(|path| seen.insert(path.clone()));
        }
        for path in paths {
            let below = path.strip_prefix(folder).expect("it was found below");
            let mut parts = below.components();
            match (parts.next(), parts.next()) {
                (Some(class), Some(_)) => {
                    by_class.entry(class.as_os_str().to_owned()).or_default().push(path);
                }
                _ => loose.push(path),
            }
        }
        if loose.is_empty() && by_class.is_empty() {
            return Err(kind.nothing(folder));
        }
        check_aliases(folder, &by_class)?;
        let mut empty = empty_folders(folder, &by_class)?;
        empty.retain(|path| !loose.contains(path));
        if !empty.is_empty() {
            let folder = folder.display();
            let (called, empty) = (kind.called, list(&empty));
            notes.push(format!("{folder}: without {called}, and not counted as classes: {empty}"));
        }
        Ok(Self { folder: folder.to_path_buf(), loose, by_class })
    }

    /// The classes of a training split, if it has at least two.
    pub(super) fn classes(&self, kind: Kind, notes: &mut Vec<String>) -> Option<Vec<OsString>> {
        let (folder, called) = (self.folder.display(), kind.called);
        match (self.loose.len(), self.by_class.len()) {
            (0, 2..) => return Some(self.by_class.keys().cloned().collect()),
            (_, 0) => {}
            (0, _) => notes.push(format!(
                "{folder}: all {called} lie in one subfolder, so they have no classes"
            )),
            (loose, _) => notes.push(format!(
                "{folder}: {loose} {called} lie beside the subfolders, so all are taken without \
                 classes"
            )),
        }
        None
    }

    pub(super) fn into_paths(self) -> Vec<PathBuf> {
        let mut paths = self.loose;
        paths.extend(self.by_class.into_values().flatten());
        paths
    }
}

/// Notes which files of a folder are left out although they look like data.
///
/// # Errors
/// When a folder taken for one of pictures holds more arrays than pictures.
pub(super) fn note_left_out(
    folder: &Path,
    files: &Files,
    kind: Kind,
    notes: &mut Vec<String>,
) -> Result<(), DataError> {
    if !files.special.is_empty() {
        let names: Vec<String> =
            files.special.iter().map(|path| path.display().to_string()).collect();
        notes.push(format!(
            "{} are left out: pipes, sockets or devices with such a name",
            several(&names)
        ));
    }
    if !kind.of_pictures() {
        return Ok(());
    }
    let (arrays, foreign): (Vec<_>, Vec<_>) =
        files.foreign.iter().partition(|path| has_extension(path, &["npy"]));
    if let Some(picture) = files.paths.first()
        && arrays.len() > files.paths.len()
    {
        let problem = format!(
            "more .npy arrays ({}) than pictures ({}, such as {}); give each kind its own folder",
            arrays.len(),
            files.paths.len(),
            picture.display()
        );
        return Err(DataError::malformed(folder, problem));
    }
    for (left_out, what, remedy) in [
        (foreign, "pictures of other formats", "convert them to PNG or JPEG (.jpg)"),
        (arrays, ".npy arrays beside pictures", "give them a folder of their own"),
    ] {
        let names: Vec<_> = left_out.iter().map(|path| path.display().to_string()).collect();
        if !names.is_empty() {
            let (count, shown) = (names.len(), several(&names));
            notes.push(format!("{what} are left out: {count} ({shown}); {remedy}"));
        }
    }
    Ok(())
}

/// Refuses two classes that are one folder, through a link: each sample would be in both.
fn check_aliases(
    folder: &Path,
    by_class: &BTreeMap<OsString, Vec<PathBuf>>,
) -> Result<(), DataError> {
    let mut known = BTreeMap::new();
    for class in by_class.keys() {
        let Ok(target) = folder.join(class).canonicalize() else { continue };
        if let Some(other) = known.insert(target, class) {
            let (class, other) = (shown(class), shown(other));
            let problem =
                format!("its classes {other} and {class} are the same folder; remove one");
            return Err(DataError::malformed(folder, problem));
        }
    }
    Ok(())
}

/// Subfolders that hold none of the samples.
fn empty_folders(
    folder: &Path,
    by_class: &BTreeMap<OsString, Vec<PathBuf>>,
) -> Result<Vec<PathBuf>, DataError> {
    let mut folders = entries(folder)?;
    folders.retain(|path| {
        path.is_dir() && path.file_name().is_some_and(|name| !by_class.contains_key(name))
    });
    Ok(folders)
}
