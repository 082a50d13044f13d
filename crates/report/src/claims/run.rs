//! One run of a claim on disk: its origin and progress.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{env, fs, io};

use bauta_files::{FolderLock, write_whole};
use bauta_recipe::claim::Cell;
use bauta_recipe::{Layers, Recipe};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ReportError;
use crate::summary::{Summary, thread_count};

/// Properties that must be equal for two runs to be compared, kept in a run's `cell.json`.
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
    /// The fingerprint of a run that this process would make on `device` with this many threads.
    ///
    /// # Errors
    /// [`ReportError::NoProgram`] and [`ReportError::Read`] when the program cannot be read.
    pub fn of_this_program(device: String, threads: usize) -> Result<Self, ReportError> {
        static PROGRAM: OnceLock<String> = OnceLock::new();
        let program = match PROGRAM.get() {
            Some(program) => program.clone(),
            None => {
                let digest = digest_of_this_program()?;
                PROGRAM.get_or_init(|| digest).clone()
            }
        };
        Ok(Self { version: env!("CARGO_PKG_VERSION").to_owned(), program, device, threads })
    }
}

/// SHA-256 in hexadecimal digits.
fn digest_of_this_program() -> Result<String, ReportError> {
    let path = env::current_exe().map_err(ReportError::NoProgram)?;
    let bytes = fs::read(&path).map_err(ReportError::read(&path))?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// How far a run got.
#[derive(Debug, PartialEq)]
pub(super) enum State {
    /// It does not exist.
    New,
    /// It was interrupted.
    Begun,
    /// It is finished.
    Finished(Box<Summary>),
    /// It is a different run, for this reason.
    Foreign(String),
}

/// Reads the state of a run's folder.
pub(super) fn state(folder: &Path, cell: &Cell, fingerprint: &Fingerprint) -> State {
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
            Ok(recipe) if makes_the_same(&recipe, &cell.recipe) => {}
            _ => return State::Foreign("was made with other settings".to_owned()),
        }
        if let Ok(summary) = Summary::read(&folder.join("summary.json")) {
            return State::Finished(Box::new(summary));
        }
    }
    State::Begun
}

/// Whether two recipes make runs with the same summary. What changes no result can change the speed.
pub(super) fn makes_the_same(one: &Recipe, other: &Recipe) -> bool {
    let speed = |recipe: &Recipe| (recipe.train.checkpoint_blocks, recipe.train.shard_optimizer);
    one.same_result(other) && speed(one) == speed(other)
}

fn difference(found: &Fingerprint, wanted: &Fingerprint) -> String {
    if (&found.version, &found.program) != (&wanted.version, &wanted.program) {
        return "was made by another version of the program".to_owned();
    }
    format!(
        "was made on {} with {}, now it is {} with {}",
        found.device,
        thread_count(found.threads),
        wanted.device,
        thread_count(wanted.threads)
    )
}

/// Fails unless all runs below `folder` have the same fingerprint; device and threads may differ
/// where the claim itself varies them.
pub(super) fn check_alike(cells: &[Cell], folder: &Path) -> Result<(), ReportError> {
    let read = |cell: &Cell| {
        let path = folder.join(&cell.name).join("cell.json");
        let text = fs::read(&path).map_err(ReportError::read(&path))?;
        serde_json::from_slice::<Fingerprint>(&text)
            .map_err(|error| ReportError::Unusable { path, message: error.to_string() })
    };
    let asked = |cell: &Cell| (cell.recipe.train.device, cell.recipe.train.threads);
    let Some((first, others)) = cells.split_first() else { return Ok(()) };
    let wanted = read(first)?;
    for cell in others {
        let mut found = read(cell)?;
        if asked(cell) != asked(first) {
            (found.device, found.threads) = (wanted.device.clone(), wanted.threads);
        }
        if found != wanted {
            let same = (&found.version, &found.program) == (&wanted.version, &wanted.program);
            let how =
                if same { "on another device or other threads" } else { "by another program" };
            let message = format!(
                "was made {how} than {}; `reproduce` with the folder {} repeats the runs that are \
                 not its own",
                folder.join(&first.name).display(),
                folder.display()
            );
            return Err(ReportError::Unusable { path: folder.join(&cell.name), message });
        }
    }
    Ok(())
}

/// Creates the run's folder and writes its fingerprint.
pub(super) fn begin(folder: &Path, fingerprint: &Fingerprint) -> Result<(), ReportError> {
    let text = serde_json::to_vec_pretty(fingerprint).expect("names and numbers have a JSON form");
    fs::create_dir_all(folder)
        .and_then(|()| write_whole(&folder.join("cell.json"), &text))
        .map_err(ReportError::write(folder))
}

/// Creates the folder of a claim's runs or checks that it is one, writes the text of the claim into
/// it and locks it against other processes.
///
/// # Errors
/// When it cannot be written, holds something else, or another process makes runs there.
pub fn claim_folder(folder: &Path, claim: &[u8]) -> Result<FolderLock, ReportError> {
    let refuse = |message: &str| ReportError::Unusable {
        path: folder.to_owned(),
        message: message.to_owned(),
    };
    let copy = folder.join("claim.toml");
    let used = fs::create_dir_all(folder)
        .and_then(|()| holds_more_than_a_lock(folder))
        .map_err(ReportError::write(folder))?;
    if used && !copy.is_file() {
        return Err(refuse(
            "it is not empty and not the folder of a claim's runs; choose another with --out",
        ));
    }
    let lock = FolderLock::take(folder).map_err(ReportError::write(folder))?;
    let lock = lock.ok_or_else(|| {
        refuse(
            "another process is running a claim there; wait until it ends, or choose another --out",
        )
    })?;
    write_whole(&copy, claim).map_err(ReportError::write(folder))?;
    Ok(lock)
}

/// Whether a folder holds anything but the lock that is taken before the claim is written.
fn holds_more_than_a_lock(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        if entry?.file_name() != ".lock" {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Moves the folder of a run to the first free name in the claim's `earlier`.
pub(super) fn put_aside(claim: &Path, run: &str) -> Result<PathBuf, ReportError> {
    let (folder, earlier) = (claim.join(run), claim.join("earlier"));
    let mut places = (1_u64..).map(|number| earlier.join(format!("{run}.{number}")));
    let aside = places.find(|place| !place.exists()).expect("some number is free");
    fs::create_dir_all(&earlier)
        .and_then(|()| fs::rename(&folder, &aside))
        .map_err(|source| ReportError::Move { from: folder.clone(), to: aside.clone(), source })?;
    Ok(aside)
}
