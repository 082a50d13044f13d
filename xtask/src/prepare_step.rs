//! `prepare-step`: turns folders of STEP files into prepared parts, after Open CASCADE is found or
//! fetched; and prepares the shapes of packages that recipes train on.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use bauta_datasets::{cache_root, locate};
use bauta_recipe::{PartSource, Recipe, Settings};

use crate::cargo::{build_binary, cargo, complete};
use crate::open_cascade;
use crate::program::Arguments;
use crate::run::Bauta;
use crate::staging::{Staging, lock, move_into_place};
use crate::workspace::Workspace;

/// Builds the program and becomes it.
pub fn prepare_step(workspace: &Workspace, arguments: Arguments) -> Result<ExitCode> {
    let mut command = Command::new(build(workspace)?);
    command.args(arguments.rest);
    Bauta::become_it(command)
}

/// Prepares the shapes of a package for a recipe that trains on them, once.
pub fn prepare_for(workspace: &Workspace, recipe: &Recipe) -> Result<()> {
    let Settings::Brep(brep) = &recipe.settings else { return Ok(()) };
    let (Some(package), Some(name)) = (brep.data.package(), brep.data.cached()) else {
        return Ok(());
    };
    let cache = cache_root()?;
    let folder = cache.join(&name);
    if folder.is_dir() {
        return Ok(());
    }
    let _lock = lock(&cache.join(format!("{name}.lock")), "the same shapes")?;
    if folder.is_dir() {
        return Ok(());
    }
    let shapes = locate(package, &cache).context("the shapes were just fetched")?;
    let staging = Staging::new(folder.with_extension("partial"))?;
    let parts = staging.0.join("parts");
    eprintln!("Preparing the shapes in {}", shapes.display());
    let mut command = Command::new(build(workspace)?);
    command.arg(&shapes).arg("--out").arg(&parts).arg("--assemblies");
    if brep.data.name == PartSource::Kicad {
        // These parts have 130,000 faces, whose targets would take 1.6 GB with the defaults.
        command.args(["--targets", "200", "--candidates", "1000"]);
    }
    complete(&mut command)?;
    move_into_place(&parts, &folder)
}

/// Builds the program; it links Open CASCADE and no libtorch.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    let mut command = cargo(workspace, "build");
    command.args(["--package", "bauta-brep", "--no-default-features", "--features", "occt"]);
    match open_cascade::find_or_fetch()? {
        Some(root) => command.env("BAUTA_OCCT", root),
        // An empty one would be taken for a folder.
        None => command.env_remove("BAUTA_OCCT"),
    };
    build_binary(&mut command, "prepare-step")
}
