//! Errors of recipes, each message one or two lines long.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::reading::{Place, SettingsError, did_you_mean, listed, shown};

/// An unusable recipe. The message names the key, where it stands and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// The file cannot be read.
    #[error("cannot read the recipe {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No recipe of this name.
    #[error(
        "no recipe named {}{}; the recipes are: {}",
        shown(name), did_you_mean(nearest), known.join(", ")
    )]
    Unknown {
        /// The name asked for.
        name: String,
        /// The known name most like it.
        nearest: Option<String>,
        /// Every known name.
        known: Vec<String>,
    },
    /// A key or table of other systems.
    #[error("{place}: {key} is {kind} of {owners}, not of {system}")]
    Foreign {
        /// Where it was written.
        place: Place,
        /// The key or the table.
        key: String,
        /// `a key` or `a table`.
        kind: &'static str,
        /// The systems that have it, in words.
        owners: String,
        /// The recipe's system.
        system: String,
    },
    /// Tables that the system reads and the recipe lacks.
    #[error("{place}: {}", missing_tables(tables, needed_by))]
    MissingTables {
        /// Where they would stand, or where the system is named.
        place: Place,
        /// The tables.
        tables: Vec<String>,
        /// What needs them, in words.
        needed_by: String,
    },
    /// An invalid key or value.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A folder that already holds a run, where resuming was not asked for.
    #[error("{} holds a run already; add --resume or name another --out", folder.display())]
    Occupied {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder that is not a run's and holds something that a run would replace or remove.
    #[error(
        "{} is not the folder of a run, for it has no recipe.toml, but it holds {file}, which a \
         run would replace; name another --out",
        folder.display()
    )]
    NotOfRun {
        /// The folder.
        folder: PathBuf,
        /// The name of what it holds.
        file: String,
    },
    /// A folder whose run was begun with another recipe.
    #[error(
        "{} was begun with another recipe ({}): {differences}; resume with the same --set and \
         --quick, or name another --out",
        folder.display(), recipe.display()
    )]
    BegunOtherwise {
        /// The folder.
        folder: PathBuf,
        /// Its recipe.
        recipe: PathBuf,
        /// The first keys that differ, with both values, in words.
        differences: String,
    },
    /// A folder that cannot be written.
    #[error("cannot write the run folder {}: {source}", folder.display())]
    RunFolder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A recipe built in code that TOML cannot express.
    #[error("the recipe cannot be written as TOML: {0}")]
    Write(#[from] toml::ser::Error),
}

fn missing_tables(tables: &[String], needed_by: &str) -> String {
    let (verb, which) =
        if tables.len() == 1 { ("is", "that table") } else { ("are", "these tables") };
    format!("{} {verb} missing: {needed_by} needs {which}", listed(tables))
}
