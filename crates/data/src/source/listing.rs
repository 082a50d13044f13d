//! What a user's folder of pictures or shards holds.

use std::fs;
use std::path::{Path, PathBuf};

use crate::dataset::Split;
use crate::error::DataError;

/// Finds the folder of a split: `train`, or `val` or `test`, under `root`.
///
/// A folder with none of these is all training images.
pub(super) fn split_folder(split: Split, root: &Path) -> Result<PathBuf, DataError> {
    let has = |name: &&str| root.join(name).is_dir();
    let train = Some("train").filter(has);
    let test = ["val", "test"].into_iter().find(has);
    match (split, train, test) {
        (Split::Train, Some(name), _) | (Split::Test, _, Some(name)) => Ok(root.join(name)),
        (Split::Train, None, None) if root.is_dir() => Ok(root.to_path_buf()),
        (Split::Train, ..) => Err(DataError::Absent {
            path: root.to_path_buf(),
            wanted: "images to train on".to_owned(),
            remedy: "put them into its subfolder `train`".to_owned(),
        }),
        (Split::Test, ..) => Err(DataError::Absent {
            path: root.to_path_buf(),
            wanted: "images to evaluate on".to_owned(),
            remedy: "put them into its subfolder `val` (or `test`)".to_owned(),
        }),
    }
}

/// Lists what lies directly in a folder, by name, without hidden entries.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut paths = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>())
        .map_err(DataError::io(folder))?;
    paths.retain(|path| !is_hidden(path));
    paths.sort();
    Ok(paths)
}

/// Whether a name begins with a dot.
pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Whether a name ends like that of a JPEG, PNG or WebP file.
pub(crate) fn is_picture(path: &Path) -> bool {
    path.extension().and_then(|extension| extension.to_str()).is_some_and(|extension| {
        ["jpg", "jpeg", "png", "webp"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    })
}
