//! A folder of recipes, and the names that they go by.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::error::RecipeError;
use crate::reading::nearest;

/// Finds the recipe that a user asks for: a path to a `.toml` file, or the name of one in `folder`.
///
/// # Errors
/// [`RecipeError::Unknown`] with the nearest name, [`RecipeError::Read`] when
/// `folder` or the named file cannot be read.
pub fn find(folder: &Path, name: &str) -> Result<PathBuf, RecipeError> {
    if name.ends_with(".toml") {
        let path = PathBuf::from(name);
        let found = fs::metadata(&path);
        return found.map(|_| path.clone()).map_err(|source| RecipeError::Read { path, source });
    }
    let known = names(folder)?;
    if known.iter().any(|known| known == name) {
        return Ok(folder.join(format!("{name}.toml")));
    }
    let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
    Err(RecipeError::Unknown { name: name.to_owned(), nearest, known })
}

/// The names of the recipes in `folder`, sorted.
///
/// # Errors
/// [`RecipeError::Read`] when the folder cannot be read.
pub fn names(folder: &Path) -> Result<Vec<String>, RecipeError> {
    let read = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
            }
        }
        names.sort();
        Ok(names)
    };
    read().map_err(|source| RecipeError::Read { path: folder.to_owned(), source })
}
