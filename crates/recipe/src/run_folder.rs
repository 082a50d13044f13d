//! A run's folders: where they lie, whether a run may use them, and its recipe there.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use bauta_files::write_whole;
use toml::Table;

use crate::reading::shown;
use crate::{Layers, Recipe, RecipeError, SystemSettings};

/// Where a run's files lie.
#[derive(Clone, Debug)]
pub struct Folders {
    /// The run's own folder.
    pub run: PathBuf,
    /// The folder of the recipes, where a teacher's recipe is found by name.
    pub recipes: PathBuf,
    /// The teachers that recipes train, kept for any run that names them.
    pub teachers: PathBuf,
}

impl Folders {
    /// Recipes lie in the folder of `recipe`, and teachers next to the run's folder.
    pub fn beside(recipe: &Path, run: &Path) -> Self {
        let folder_of = |path: &Path| match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let (recipes, teachers) = (folder_of(recipe), folder_of(run).join("teachers"));
        Self { run: run.to_owned(), recipes, teachers }
    }

    /// The folder of the run's checkpoints, if the run has begun and the folder is missing.
    pub fn lost_checkpoints(&self) -> Option<PathBuf> {
        let place = self.run.join("checkpoints");
        (self.run.join("recipe.toml").exists() && !place.exists()).then_some(place)
    }
}

impl<S: SystemSettings> Recipe<S> {
    /// Checks that this recipe can be run in a folder: it holds no run and nothing that a run would
    /// replace or remove, or, with `resume`, a run of this recipe.
    ///
    /// # Errors
    /// [`RecipeError::Occupied`] when it holds a run and `resume` is not set,
    /// [`RecipeError::BegunOtherwise`] when that is a run of another recipe,
    /// [`RecipeError::NotOfRun`] when it holds no run but files of the same names,
    /// [`RecipeError::RunFolder`] when it is no folder or cannot be read, and the errors of
    /// [`Recipe::load`] when its recipe cannot be read.
    pub fn check_run_folder(&self, folder: &Path, resume: bool) -> Result<(), RecipeError> {
        let recipe = folder.join("recipe.toml");
        if !recipe.exists() {
            let found = in_the_way(folder)
                .map_err(|source| RecipeError::RunFolder { folder: folder.to_owned(), source })?;
            let folder = folder.to_owned();
            return found.map_or(Ok(()), |file| Err(RecipeError::NotOfRun { folder, file }));
        }
        let folder = folder.to_owned();
        if !resume {
            return Err(RecipeError::Occupied { folder });
        }
        let begun = Self::load(&recipe, &Layers::default())?;
        if !begun.same_result(self) {
            let differences = self.differences_from(&begun)?;
            return Err(RecipeError::BegunOtherwise { folder, recipe, differences });
        }
        Ok(())
    }

    /// The keys that change the result and differ from those of the recipe that a run was begun
    /// with, with both values, in words: the first few of them and how many more there are.
    fn differences_from(&self, begun: &Self) -> Result<String, RecipeError> {
        let keys = begun.differing_keys(self)?;
        let [own, former] = [self.to_table()?, begun.to_table()?];
        let named = keys.iter().take(NAMED_DIFFERENCES).map(|key| {
            let [own, former] = [&own, &former].map(|table| value_of(table, key));
            format!("{key} is {own}, but the run was begun with {former}")
        });
        let mut named: Vec<String> = named.collect();
        if keys.len() > NAMED_DIFFERENCES {
            named.push(format!("and {} more", keys.len() - NAMED_DIFFERENCES));
        }
        Ok(named.join("; "))
    }
}

/// What a run replaces in its folder, besides event files and whatever is called `*.partial`.
const REPLACED: [&str; 6] =
    ["checkpoints", "metrics.jsonl", "pictures", "report.html", "sections.json", "summary.json"];

/// The name of something in a folder, which holds no run, that a run there would replace or remove.
fn in_the_way(folder: &Path) -> io::Result<Option<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // A run that was killed as it began may have left its recipe unfinished.
        let partial = name.ends_with(".partial") && name != "recipe.toml.partial";
        let events = name.starts_with("events.out.tfevents.");
        // An empty folder, such as a link to a larger disk, has nothing to lose.
        let empty = || fs::read_dir(entry.path()).is_ok_and(|mut inside| inside.next().is_none());
        if (REPLACED.contains(&name.as_str()) || events || partial) && !empty() {
            found.push(name);
        }
    }
    Ok(found.into_iter().min())
}

/// Maximum number of differing keys that a message names.
const NAMED_DIFFERENCES: usize = 5;

/// The value of a dotted key as a message shows it, or `none` if the key is missing.
fn value_of(table: &Table, key: &str) -> String {
    let mut names = key.split('.');
    let first = names.next().and_then(|name| table.get(name));
    let value = names.try_fold(first, |value, name| Some(value?.get(name)));
    value.flatten().map_or("none".to_owned(), |value| shown(&value.to_string()).to_string())
}

/// Creates a run's folder and writes its resolved recipe, unless it is there.
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
