//! One run of a claim on disk: whose it is, and how far it got.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result};
use bauta_files::write_whole;
use bauta_recipe::claim::Cell;
use bauta_recipe::{Layers, Recipe};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use bauta_report::Summary;

use crate::run::{choose_device, choose_threads, device_name};

/// What must be the same for two runs to be compared: kept in a run's `cell.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Version of Bauta.
    pub version: String,
    /// SHA-256 of the program that makes the run.
    pub program: String,
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// Threads of libtorch and of the loader.
    pub threads: usize,
}

impl Fingerprint {
    /// That of a run which this process would make.
    ///
    /// # Errors
    /// When the recipe's device is not there, or the program cannot be read.
    pub fn of_this_program(cell: &Cell) -> Result<Self> {
        static PROGRAM: OnceLock<String> = OnceLock::new();
        let program = match PROGRAM.get() {
            Some(program) => program.clone(),
            None => {
                let path = std::env::current_exe().context("cannot find this program")?;
                let bytes = fs::read(&path)
                    .with_context(|| format!("cannot read this program, {}", path.display()))?;
                let digest = Sha256::digest(&bytes);
                let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                PROGRAM.get_or_init(|| hex).clone()
            }
        };
        let train = &cell.recipe.train;
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            program,
            device: device_name(choose_device(train.device)?),
            threads: choose_threads(train.threads),
        })
    }
}

/// How far a run got.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// It is not there.
    New,
    /// It was interrupted.
    Begun,
    /// It is finished.
    Finished(Box<Summary>),
    /// It is another's, for this reason.
    Foreign(String),
}

/// Looks at a run's folder.
pub fn state(folder: &Path, cell: &Cell, fingerprint: &Fingerprint) -> State {
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            if entries.next().is_none() {
                return State::New;
            }
        }
        Err(_) if !folder.exists() => return State::New,
        Err(error) => return State::Foreign(format!("cannot be read: {error}")),
    }
    let found = fs::read(folder.join("cell.json")).ok();
    match found.and_then(|text| serde_json::from_slice::<Fingerprint>(&text).ok()) {
        Some(found) if found == *fingerprint => {}
        Some(found) => return State::Foreign(difference(&found, fingerprint)),
        None => return State::Foreign("does not say which program made it".to_owned()),
    }
    let path = folder.join("recipe.toml");
    if path.exists() {
        match Recipe::load(&path, &Layers::default()) {
            Ok(recipe) if recipe == cell.recipe => {}
            _ => return State::Foreign("was made with other settings".to_owned()),
        }
        if let Ok(summary) = Summary::read(&folder.join("summary.json")) {
            return State::Finished(Box::new(summary));
        }
    }
    State::Begun
}

fn difference(found: &Fingerprint, wanted: &Fingerprint) -> String {
    if (&found.version, &found.program) != (&wanted.version, &wanted.program) {
        return "was made by another version of the program".to_owned();
    }
    format!(
        "was made on {} with {} threads, now it is {} with {}",
        found.device, found.threads, wanted.device, wanted.threads
    )
}

/// Makes the run's folder and says whose it is.
pub fn begin(folder: &Path, fingerprint: &Fingerprint) -> Result<()> {
    let text = serde_json::to_vec_pretty(fingerprint)?;
    fs::create_dir_all(folder)
        .and_then(|()| write_whole(&folder.join("cell.json"), &text))
        .with_context(|| format!("cannot write {}", folder.display()))
}

/// Moves a folder to the first free place in the claim's `earlier`.
pub fn put_aside(out: &Path, folder: &Path) -> Result<PathBuf> {
    let name = folder.file_name().context("a run's folder has a name")?.to_string_lossy();
    let earlier = out.join("earlier");
    let aside = (1..).map(|number| earlier.join(format!("{name}.{number}")));
    let aside = aside.into_iter().find(|path| !path.exists()).context("a number is free")?;
    fs::create_dir_all(&earlier)
        .and_then(|()| fs::rename(folder, &aside))
        .with_context(|| format!("cannot move {} to {}", folder.display(), aside.display()))?;
    Ok(aside)
}
