//! A run's folder before the first step: whose it is, and its recipe.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use bauta_files::write_whole;
use bauta_recipe::{Layers, Recipe, SystemSettings};

/// Refuses a folder that holds another run, or this one when it is not to go on.
pub(super) fn check<S: SystemSettings>(
    folder: &Path,
    recipe: &Recipe<S>,
    resume: bool,
) -> Result<()> {
    let path = folder.join("recipe.toml");
    if !path.exists() {
        return Ok(());
    }
    if !resume {
        bail!("{} holds a run already; add --resume or name another --out", folder.display());
    }
    if !Recipe::<S>::load(&path, &Layers::default())?.same_result(recipe) {
        bail!(
            "{} was begun with another recipe ({}); resume with the same --set and --quick, \
             or name another --out",
            folder.display(),
            path.display()
        );
    }
    Ok(())
}

/// Makes the folder and writes the resolved recipe, unless it is there.
pub(super) fn prepare(folder: &Path, recipe: &str) -> Result<()> {
    let path = folder.join("recipe.toml");
    if path.exists() {
        return Ok(());
    }
    fs::create_dir_all(folder)
        .and_then(|()| write_whole(&path, recipe.as_bytes()))
        .with_context(|| format!("cannot write the run folder {}", folder.display()))
}
