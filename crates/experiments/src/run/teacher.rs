//! The teacher's weights: found in a folder, or trained first by another recipe.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use bauta_data::ModelName;
use bauta_files::wait_for;
use bauta_recipe::{Recipe, Teacher, TeacherKind};
use bauta_report::TeacherWeights;
use sha2::{Digest, Sha256};

use super::{Aim, Folders, Launch, Run, RunEnd, choose_threads};

impl Run<'_> {
    /// The weights of the teacher that a recipe's table names; `None` for a kind without any.
    ///
    /// A teacher of kind `recipe` is trained, or its training is resumed, if it is not finished
    /// yet. It is kept by Bauta's version and all its settings, so it is trained once for all runs.
    ///
    /// # Errors
    /// When the teacher is missing or cannot be trained; the message says what to do.
    pub fn teacher(&mut self, table: &Teacher) -> Result<Option<PathBuf>> {
        let path = match table.kind {
            TeacherKind::Pixels | TeacherKind::Random => return Ok(None),
            TeacherKind::Folder => folder(table)?,
            TeacherKind::Recipe => self.trained(table)?,
            TeacherKind::EfficientnetLite0 => {
                ModelName::EfficientNetLite0.weights(&bauta_data::cache_root()?)?
            }
        };
        self.teacher = Some(TeacherWeights::read(&path)?);
        Ok(Some(path))
    }

    /// Trains the recipe that the table names, unless this has already been done.
    fn trained(&self, table: &Teacher) -> Result<PathBuf> {
        let Folders { recipes, teachers, .. } = self.launch.folders;
        let name = table.recipe.as_deref().and_then(|name| Path::new(name).file_stem());
        let name = name.context("teacher.recipe is missing")?.to_string_lossy();
        let recipe = Recipe::of_teacher(table, recipes).context("the teacher")?;
        let recipe = recipe.context("teacher.recipe is missing")?;
        let run = teachers.join(format!("{name}-{}", digest(&recipe)?));
        let last = run.join("checkpoints/last");
        if self.launch.aim == Aim::Size {
            let text = "is not trained yet; run this recipe first, or give teacher.kind=random";
            ensure!(last.is_dir(), "the teacher {name} {text}");
            return Ok(last);
        }
        // Another process may train it already.
        let lock = self.launch.ranks.leads().then(|| wait_for(&run)).transpose();
        let _lock = lock.with_context(|| format!("cannot write in {}", teachers.display()))?;
        tracing::info!(
            "the teacher is {}; if its training is not finished, it is finished first",
            run.display()
        );
        let folders = Folders { run, ..self.launch.folders.clone() };
        let launch =
            Launch { name: &name, folders: &folders, aim: Aim::Teach, resume: true, ..self.launch };
        let end = (self.launch.launch)(recipe, &launch)?;
        // The teacher may have used another number of threads.
        choose_threads(self.threads);
        if let RunEnd::Stopped(_) = end {
            bail!(
                "stopped while training the teacher; what is done is kept, go on with the same \
                 command"
            );
        }
        Ok(last)
    }
}

fn folder(table: &Teacher) -> Result<PathBuf> {
    let folder = table.model.clone().context("teacher.model is missing")?;
    ensure!(
        folder.join("config.json").is_file(),
        "teacher.model {} is not a model folder: it has no config.json; name a run's \
         checkpoints/last, or what `cargo xtask import` wrote",
        folder.display()
    );
    Ok(folder)
}

/// Twelve hexadecimal digits that identify version and settings.
pub(crate) fn digest(recipe: &Recipe) -> Result<String> {
    let text = format!("{}\n{}", env!("CARGO_PKG_VERSION"), recipe.to_toml()?);
    Ok(Sha256::digest(text).iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}
