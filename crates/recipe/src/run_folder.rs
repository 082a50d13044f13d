//! A run's folder before the first step: whose it is, and its recipe.

use std::fs;
use std::path::Path;

use bauta_files::write_whole;

use crate::{Layers, Recipe, RecipeError, SystemSettings};

impl<S: SystemSettings> Recipe<S> {
    /// Checks that this recipe may be run in a folder: it holds no run, or this one where it is
    /// to go on.
    ///
    /// # Errors
    /// [`RecipeError::Occupied`] when it holds a run that is not to go on,
    /// [`RecipeError::BegunOtherwise`] when that is another recipe's, and what
    /// [`Recipe::load`] says when its recipe cannot be read.
    pub fn check_run_folder(&self, folder: &Path, resume: bool) -> Result<(), RecipeError> {
        let recipe = folder.join("recipe.toml");
        if !recipe.exists() {
            return Ok(());
        }
        let folder = folder.to_owned();
        if !resume {
            return Err(RecipeError::Occupied { folder });
        }
        if !Self::load(&recipe, &Layers::default())?.same_result(self) {
            return Err(RecipeError::BegunOtherwise { folder, recipe });
        }
        Ok(())
    }
}

/// Makes a run's folder and writes its resolved recipe, unless it is there.
///
/// # Errors
/// [`RecipeError::RunFolder`] when they cannot be written.
pub fn prepare_run_folder(folder: &Path, recipe: &str) -> Result<(), RecipeError> {
    let path = folder.join("recipe.toml");
    if path.exists() {
        return Ok(());
    }
    fs::create_dir_all(folder)
        .and_then(|()| write_whole(&path, recipe.as_bytes()))
        .map_err(|source| RecipeError::RunFolder { folder: folder.to_owned(), source })
}
