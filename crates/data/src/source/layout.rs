//! Detection of the training and evaluation parts of a user's folder.
//!
//! ```text
//! ROOT/…                        all of it, where no subfolder is named for a split
//! ROOT/train/…  ROOT/val/…      or `training`; `valid`, `validation`, `test`, `testing`
//! ```
//!
//! A class can be called `train` or `test`, too. The choice is never silent: if pictures would be
//! left out, that is refused or noted, and a folder that can be read in two ways is refused.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use bauta_datasets::DataError;

use super::listing::{any_below, entries, shown};
use crate::regular::is_regular;

/// Names of a training split's folder, of which only one may exist.
pub(super) const TRAIN: [&str; 2] = ["train", "training"];

/// Names of a test split's folder; the first that exists is used.
pub(super) const TEST: [&str; 5] = ["val", "valid", "validation", "test", "testing"];

/// How a folder is divided.
#[derive(Debug, PartialEq)]
pub(crate) enum Layout {
    /// It has no splits.
    Whole,
    /// Subfolders are its splits; at least one exists.
    Splits { train: Option<PathBuf>, test: Option<PathBuf> },
}

/// The kind of files in a [`Layout`]: pictures, videos or shards.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// Whether a file is of the kind, by its name.
    pub(crate) wanted: fn(&Path) -> bool,
    /// Their name in messages.
    pub(crate) called: &'static str,
    /// What is reported as missing if there are none.
    pub(crate) missing: &'static str,
    /// The expected layout of a folder of them.
    pub(crate) layout: &'static str,
    /// Whether a sample is a folder of such files, rather than each of them.
    pub(crate) folders: bool,
}

impl Kind {
    /// Whether the samples are pictures, or folders of them.
    pub(crate) fn of_pictures(self) -> bool {
        (self.wanted)(Path::new("a.png"))
    }

    /// The error that a folder holds none of them.
    pub(crate) fn nothing(self, folder: &Path) -> DataError {
        DataError::Absent {
            path: folder.to_path_buf(),
            wanted: self.missing.to_owned(),
            remedy: self.layout.to_owned(),
        }
    }

    /// The error that there is nothing to evaluate on.
    pub(crate) fn no_test(self, root: &Path) -> DataError {
        DataError::Absent {
            path: root.to_path_buf(),
            wanted: format!("{} to evaluate on (val/ or test/)", self.called),
            remedy: self.layout.to_owned(),
        }
    }

    /// The error that there is nothing to train on besides a test split.
    pub(crate) fn no_train(self, root: &Path, test: Option<&PathBuf>) -> DataError {
        DataError::Absent {
            path: root.to_path_buf(),
            wanted: format!("{} to train on beside {}", self.called, list(test)),
            remedy: self.layout.to_owned(),
        }
    }
}

/// Determines how a folder is divided, and adds what the user should know to `notes`.
///
/// # Errors
/// When it is not a folder, or subfolders named for splits lie next to others with files of the
/// kind.
pub(crate) fn layout(
    root: &Path,
    kind: Kind,
    notes: &mut Vec<String>,
) -> Result<Layout, DataError> {
    let mut splits: Vec<PathBuf> = Vec::new();
    let (mut others, mut empty, mut loose) = (Vec::new(), Vec::new(), 0);
    for path in entries(root)? {
        if path.is_dir() {
            if any_below(&path, kind.wanted) {
                if is_split(&path) {
                    splits.push(path);
                } else {
                    others.push(path);
                }
            } else if is_split(&path) {
                empty.push(path);
            }
        } else if (kind.wanted)(&path) && is_regular(&path) {
            loose += 1;
        }
    }
    if splits.is_empty() {
        within(root, kind, &others, loose)?;
        check_names(root, &others)?;
        return Ok(Layout::Whole);
    }
    if others.is_empty() && loose == 0 {
        if !empty.is_empty() {
            let (called, empty) = (kind.called, list(&empty));
            notes.push(format!("{}: without {called}, and left out: {empty}", root.display()));
        }
        return divided(root, &splits, kind, notes);
    }
    let flat = |path: &PathBuf| has_files(path, kind) && !has_folders(path, kind);
    let names = list(splits.iter().chain(&others));
    if let [only] = &splits[..]
        && loose == 0
        && splits.iter().chain(&others).all(flat)
        && !others.iter().any(|other| resembles_split(other))
    {
        notes.push(format!(
            "{}: {names} are taken as classes; {} is one of them, not a split",
            root.display(),
            list([only])
        ));
        return Ok(Layout::Whole);
    }
    let left = if others.is_empty() {
        format!("{loose} {} directly in the folder", kind.called)
    } else {
        format!("{} in {}", kind.called, list(&others))
    };
    let problem = format!(
        "{} would be taken as {}, and {left} left out; if all are classes, put them into one \
         folder train/ (train/{}/ and so on), otherwise move away what is not part of the data",
        list(&splits),
        if splits.len() == 1 { "a split" } else { "the splits" },
        splits.iter().chain(&others).map(|path| name(path)).next().unwrap_or_default(),
    );
    Err(DataError::malformed(root, problem))
}

/// Selects the training split and the first match for the test split, and notes what is left out.
///
/// # Errors
/// When two folders could be the training split, or both splits are one folder.
fn divided(
    root: &Path,
    splits: &[PathBuf],
    kind: Kind,
    notes: &mut Vec<String>,
) -> Result<Layout, DataError> {
    let ranked = |names: &[&str]| {
        let mut ranked: Vec<(usize, &PathBuf)> =
            splits.iter().filter_map(|path| Some((place(path, names)?, path))).collect();
        ranked.sort();
        ranked.into_iter().map(|(_, path)| path.clone()).collect::<Vec<_>>()
    };
    let trains = ranked(&TRAIN);
    if trains.len() > 1 {
        let problem = format!(
            "each of {} could be the training split; keep one, or put the {} of both into it",
            list(&trains),
            kind.called
        );
        return Err(DataError::malformed(root, problem));
    }
    let (train, test) = (trains.into_iter().next(), ranked(&TEST).into_iter().next());
    if let (Some(train), Some(test)) = (&train, &test)
        && train.canonicalize().is_ok_and(|train| test.canonicalize().is_ok_and(|of| of == train))
    {
        let problem = format!("{} and {} are the same folder", name(train), name(test));
        return Err(DataError::malformed(root, problem));
    }
    let unused = |path: &&PathBuf| Some(*path) != train.as_ref() && Some(*path) != test.as_ref();
    let left: Vec<&PathBuf> = splits.iter().filter(unused).collect();
    if !left.is_empty() {
        let used: Vec<&PathBuf> = train.iter().chain(&test).collect();
        notes.push(format!(
            "the {} in {} are left out; those in {} are used",
            kind.called,
            list(left),
            list(used)
        ));
    }
    Ok(Layout::Splits { train, test })
}

/// Refuses a folder whose only subfolder holds splits, which would become one set.
fn within(root: &Path, kind: Kind, others: &[PathBuf], loose: usize) -> Result<(), DataError> {
    let ([only], 0) = (others, loose) else { return Ok(()) };
    let has = |names: &[&str]| {
        let found = entries(only)?;
        Ok::<_, DataError>(found.iter().any(|path| {
            path.is_dir() && place(path, names).is_some() && any_below(path, kind.wanted)
        }))
    };
    if has(&TRAIN)? && has(&TEST)? {
        let problem = format!("the splits lie in {}; name that folder", only.display());
        return Err(DataError::malformed(root, problem));
    }
    Ok(())
}

/// Refuses subfolders whose names contain those of both splits, such as `train2017/` and
/// `val2017/`, which would become two classes.
fn check_names(root: &Path, folders: &[PathBuf]) -> Result<(), DataError> {
    let names: Vec<String> = folders.iter().map(|path| name(path)).collect();
    match of_both_splits(&names) {
        Some((train, test)) => {
            let problem = format!(
                "{train}/ and {test}/ look like splits, but would be taken as classes; name them \
                 train/ and val/, or, if they are classes, put all into one folder train/"
            );
            Err(DataError::malformed(root, problem))
        }
        None => Ok(()),
    }
}

/// Two names, one of which contains the word of a training split and the other that of a test
/// split, such as `train-000` and `imagenet_val2012`.
pub(super) fn of_both_splits(names: &[String]) -> Option<(&String, &String)> {
    let of = |splits: &[&str]| {
        names.iter().find(|name| {
            let name = name.to_lowercase();
            name.split(|c: char| !c.is_ascii_alphabetic()).any(|word| splits.contains(&word))
        })
    };
    of(&TRAIN).zip(of(&TEST)).filter(|(train, test)| train != test)
}

/// Whether a folder is named for a split.
fn is_split(path: &Path) -> bool {
    place(path, &TRAIN).or(place(path, &TEST)).is_some()
}

/// The index among `names` of a path's last part, ignoring case.
fn place(path: &Path, names: &[&str]) -> Option<usize> {
    let name = path.file_name().and_then(OsStr::to_str)?;
    names.iter().position(|known| name.eq_ignore_ascii_case(known))
}

/// Whether a folder's name starts like a split's, as `train_images` or `val2017`.
fn resembles_split(path: &Path) -> bool {
    let name = name(path).to_lowercase();
    ["train", "val", "test"].iter().any(|start| name.starts_with(start))
}

fn has_files(folder: &Path, kind: Kind) -> bool {
    entries(folder).is_ok_and(|all| all.iter().any(|path| (kind.wanted)(path) && is_regular(path)))
}

fn has_folders(folder: &Path, kind: Kind) -> bool {
    entries(folder)
        .is_ok_and(|all| all.iter().any(|path| path.is_dir() && any_below(path, kind.wanted)))
}

fn name(path: &Path) -> String {
    path.file_name().map(shown).unwrap_or_default()
}

/// Names of folders for a message: `bus/, car/ and 3 more`.
pub(crate) fn list<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> String {
    let names: Vec<String> = paths.into_iter().map(|path| name(path) + "/").collect();
    several(&names)
}

/// The first few names, and the number of others.
pub(crate) fn several<S: AsRef<str>>(names: &[S]) -> String {
    const SHOWN: usize = 5;
    let first: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
