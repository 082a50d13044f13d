//! The weights that teach a run: found in a folder, or trained first by another recipe.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail, ensure};
use bauta_data::ModelName;
use bauta_recipe::{Recipe, Teacher, TeacherKind};
use sha2::{Digest, Sha256};

use crate::prepared::Prepared;
use crate::run::{Places, prepare_folder, train};
use crate::systems::{ImageSystem, with_system};

/// The weights of the recipe's teacher; none where it names none or one that has none.
///
/// A teacher of kind `recipe` is trained, or trained on, where it is not there yet. It is
/// kept by Bauta's version and all its settings, so it is trained once for all runs.
///
/// # Errors
/// When the teacher is not there or cannot be trained; the message says what to do.
pub fn find(recipe: &Recipe, places: &Places, stop: &AtomicBool) -> Result<Option<PathBuf>> {
    let Some(teacher) = &recipe.teacher else { return Ok(None) };
    match teacher.kind {
        TeacherKind::Pixels | TeacherKind::Random => Ok(None),
        TeacherKind::Folder => {
            let folder = teacher.model.clone().context("teacher.model is missing")?;
            ensure!(
                folder.join("config.json").is_file(),
                "teacher.model {} is no model folder: it has no config.json; name a run's \
                 checkpoints/last, or what `cargo xtask import` wrote",
                folder.display()
            );
            Ok(Some(folder))
        }
        TeacherKind::Recipe => trained(teacher, places, stop).map(Some),
        TeacherKind::EfficientnetLite0 => {
            let weights = ModelName::EfficientNetLite0.weights(&bauta_data::cache_root()?);
            Ok(Some(weights.context("the teacher")?))
        }
    }
}

/// Trains the recipe that `teacher` names, unless it has been.
fn trained(teacher: &Teacher, places: &Places, stop: &AtomicBool) -> Result<PathBuf> {
    let name = teacher.recipe.as_deref().and_then(|name| Path::new(name).file_stem());
    let name = name.context("teacher.recipe is missing")?.to_string_lossy();
    let recipe = teacher.recipe(&places.recipes).context("the teacher")?;
    let recipe = recipe.context("teacher.recipe is missing")?;
    let folder = places.teachers.join(format!("{name}-{}", digest(&recipe)?));
    let prepared = Prepared::new(recipe)?;
    let _lock = lock(&places.teachers, &folder)?;
    with_system!(prepared.recipe.system, S => train_once::<S>(prepared, places, &folder, stop))
}

fn train_once<S: ImageSystem>(
    mut prepared: Prepared,
    places: &Places,
    folder: &Path,
    stop: &AtomicBool,
) -> Result<PathBuf> {
    prepared.teacher = find(&prepared.recipe, places, stop)?;
    prepare_folder(folder, &prepared.recipe, true)?;
    tracing::info!(
        "the teacher is {}; what is missing of its training comes first",
        folder.display()
    );
    let (_, outcome) = train::<S>(&prepared, folder, true, stop)?;
    if outcome.stopped {
        bail!(
            "stopped while training the teacher; what is done is kept, go on with the same command"
        );
    }
    Ok(folder.join("checkpoints/last"))
}

/// Waits until no other process trains this teacher.
fn lock(teachers: &Path, folder: &Path) -> Result<File> {
    let mut path = folder.to_owned().into_os_string();
    path.push(".lock");
    fs::create_dir_all(teachers)
        .and_then(|()| File::create(&path))
        .and_then(|file| file.lock().map(|()| file))
        .with_context(|| format!("cannot write in {}", teachers.display()))
}

/// Twelve digits that differ where version or settings do.
fn digest(recipe: &Recipe) -> Result<String> {
    let text = format!("{}\n{}", env!("CARGO_PKG_VERSION"), recipe.to_toml()?);
    Ok(Sha256::digest(text).iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}
