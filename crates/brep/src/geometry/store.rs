//! Collections of parts for training or testing, held in memory or read from a folder one at a
//! time.
//!
//! A folder of prepared parts contains `.part` files at any depth and, if its parts have labels,
//! `classes.txt` with the names of the classes of faces, one per line. If there are folders `train`
//! and `test`, these are the splits; the folder that contains a file is its family, unless it is the
//! folder of a split. Links to files and folders are followed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bauta_streams::{Purpose, StreamKey};
use rayon::prelude::*;

use super::generate::Parts;
use super::listing::files_below;
use super::{Part, Sampling};
use crate::{BrepError, Feature};

/// The extension of files of prepared parts.
pub const EXTENSION: &str = "part";

/// The file that names the classes of faces.
pub const CLASSES: &str = "classes.txt";

/// Parts by number.
#[derive(Clone, Debug)]
pub struct PartStore {
    parts: Held,
    /// The family of each part; empty if there is only one.
    families: Vec<u32>,
    /// Number of classes of faces; 0 if parts have no labels.
    classes: usize,
}

#[derive(Clone, Debug)]
enum Held {
    Memory(Vec<Part>),
    Files(Vec<PathBuf>),
}

/// Parts for training and for testing.
#[derive(Clone, Debug)]
pub struct PartSplits {
    /// The parts for training.
    pub train: PartStore,
    /// The parts for testing.
    pub test: PartStore,
    /// Names of the classes of faces, in the order of their numbers; empty without labels.
    pub classes: Vec<String>,
    /// Names of the families of parts, in the order of their numbers.
    pub families: Vec<String>,
}

/// The parts of a folder that are held out for testing.
#[derive(Clone, Debug)]
pub struct Holdout {
    /// The fraction of the parts, in (0, 1).
    pub fraction: f64,
    /// Whether whole designs are held out, up to that fraction of the parts in each family.
    ///
    /// A design is the set of parts whose names agree up to the first digit, and which differ in
    /// size only. Otherwise each part is selected by its own name.
    pub by_base_name: bool,
}

impl PartSplits {
    /// Generates parts on all cores: the first `train` for training, the next `test` for testing.
    ///
    /// # Errors
    /// [`BrepError::Setting`] for an invalid sampling.
    pub fn generate(
        parts: Parts,
        [train, test]: [usize; 2],
        sampling: &Sampling,
    ) -> Result<Self, BrepError> {
        let numbers = 0..(train + test) as u64;
        let made: Result<Vec<Part>, BrepError> =
            numbers.into_par_iter().map(|number| parts.prepared(number, sampling)).collect();
        let mut made = made?;
        let held = made.split_off(train);
        let classes = Feature::names();
        let store = |parts| PartStore {
            parts: Held::Memory(parts),
            families: Vec::new(),
            classes: classes.len(),
        };
        let [train, test] = [store(made), store(held)];
        Ok(Self { train, test, classes, families: Vec::new() })
    }

    /// Opens a folder of prepared parts. If it has no folders `train` and `test`, a fraction of the
    /// parts is held out for testing, chosen by their names alone: equal names stay together.
    ///
    /// # Errors
    /// [`BrepError::Read`] when the folder cannot be read, [`BrepError::Folder`] when a split has
    /// no parts, [`BrepError::Setting`] when all parts or none are held out.
    pub fn open(root: &Path, holdout: &Holdout, limit: Option<usize>) -> Result<Self, BrepError> {
        let classes = read_classes(root)?;
        let split = ["train", "test"].map(|split| root.join(split));
        let given = split.iter().all(|folder| folder.is_dir());
        let [mut train, test] = match given {
            true => [files(&split[0])?, files(&split[1])?],
            false => holdout.checked(files(root)?)?,
        };
        train.truncate(limit.unwrap_or(usize::MAX));
        for (what, list) in [("train on", &train), ("test on", &test)] {
            if list.is_empty() {
                let reason = format!("it has no .{EXTENSION} file to {what}");
                return Err(BrepError::Folder { path: root.to_owned(), reason });
            }
        }
        // A split is no family: parts directly in it have that of the whole folder.
        let of = |path: &PathBuf| -> String {
            let direct = split.iter().any(|folder| path.parent() == Some(folder.as_path()));
            family(if given && direct { &split[0] } else { path })
        };
        let mut families: BTreeMap<String, u32> =
            train.iter().chain(&test).map(|path| (of(path), 0)).collect();
        families.values_mut().zip(0..).for_each(|(number, place)| *number = place);
        let store = |paths: Vec<PathBuf>| PartStore {
            families: match families.len() {
                0 | 1 => Vec::new(),
                _ => paths.iter().map(|path| families[&of(path)]).collect(),
            },
            parts: Held::Files(paths),
            classes: classes.len(),
        };
        let [train, test] = [store(train), store(test)];
        Ok(Self { train, test, classes, families: families.into_keys().collect() })
    }
}

impl PartStore {
    /// All parts of a folder, in the order of their paths.
    ///
    /// # Errors
    /// As [`PartSplits::open`].
    pub fn folder(root: &Path) -> Result<Self, BrepError> {
        let (paths, classes) = (files(root)?, read_classes(root)?.len());
        if paths.is_empty() {
            let reason = format!("it has no .{EXTENSION} file");
            return Err(BrepError::Folder { path: root.to_owned(), reason });
        }
        Ok(Self { parts: Held::Files(paths), families: Vec::new(), classes })
    }

    /// Number of parts.
    pub fn len(&self) -> usize {
        match &self.parts {
            Held::Memory(parts) => parts.len(),
            Held::Files(paths) => paths.len(),
        }
    }

    /// Whether there are no parts.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The part of this number.
    ///
    /// # Errors
    /// As [`Part::read`], and when a label is not among the named classes.
    pub fn get(&self, number: usize) -> Result<Cow<'_, Part>, BrepError> {
        let path = match &self.parts {
            Held::Memory(parts) => return Ok(Cow::Borrowed(&parts[number])),
            Held::Files(paths) => &paths[number],
        };
        let part = Part::read(path)?;
        match part.labels.iter().max() {
            Some(&label) if self.classes > 0 && label as usize >= self.classes => {
                let named = self.classes;
                let reason =
                    format!("a face has label {label}, and {CLASSES} names {named} classes");
                Err(BrepError::File { path: path.clone(), reason })
            }
            _ => Ok(Cow::Owned(part)),
        }
    }

    /// The path of a part's file, or the number of a generated part.
    pub fn describe(&self, number: usize) -> String {
        match &self.parts {
            Held::Memory(_) => format!("generated part {number}"),
            Held::Files(paths) => paths[number].display().to_string(),
        }
    }

    /// The family of a part; 0 if there is only one.
    pub fn family(&self, number: usize) -> u32 {
        self.families.get(number).copied().unwrap_or(0)
    }
}

fn read_classes(root: &Path) -> Result<Vec<String>, BrepError> {
    let path = root.join(CLASSES);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path).map_err(|source| BrepError::Read { path, source })?;
    Ok(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
}

/// Files of parts below a folder, in the order of their paths.
fn files(folder: &Path) -> Result<Vec<PathBuf>, BrepError> {
    files_below(folder, |path| path.extension().is_some_and(|found| found == EXTENSION))
}

fn family(path: &Path) -> String {
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
    folder.to_string_lossy().into_owned()
}

impl Holdout {
    /// As [`Self::divide`], with an error when one side of several parts is empty.
    fn checked(&self, paths: Vec<PathBuf>) -> Result<[Vec<PathBuf>; 2], BrepError> {
        let sides = self.divide(paths);
        let rule = match sides.each_ref().map(Vec::is_empty) {
            [false, true] => {
                "holds none of the parts out for testing; hold out more, give more parts, or put \
                 them into folders train and test"
            }
            [true, false] => {
                "holds all parts out for testing; hold out fewer, give more parts, or put them \
                 into folders train and test"
            }
            // Without any part, the folder is to blame.
            _ => return Ok(sides),
        };
        Err(BrepError::Setting { key: "holdout", value: self.fraction.to_string(), rule })
    }

    /// The parts for training and for testing, each in order.
    fn divide(&self, paths: Vec<PathBuf>) -> [Vec<PathBuf>; 2] {
        let held: BTreeSet<PathBuf> = match self.by_base_name {
            true => self.designs(&paths).into_iter().cloned().collect(),
            false => {
                paths.iter().filter(|path| place(&name(path)) < self.fraction).cloned().collect()
            }
        };
        let (test, train) = paths.into_iter().partition(|path| held.contains(path));
        [train, test]
    }

    /// The parts of the designs that are held out for testing.
    fn designs<'a>(&self, paths: &'a [PathBuf]) -> Vec<&'a PathBuf> {
        let mut families: BTreeMap<String, BTreeMap<String, Vec<&PathBuf>>> = BTreeMap::new();
        for path in paths {
            let designs = families.entry(family(path)).or_default();
            designs.entry(base(&name(path)).to_owned()).or_default().push(path);
        }
        let mut held = Vec::new();
        for designs in families.into_values() {
            let parts: usize = designs.values().map(Vec::len).sum();
            let mut room = (self.fraction * parts as f64) as usize;
            let mut designs: Vec<_> = designs.into_iter().collect();
            designs.sort_by(|(a, _), (b, _)| place(a).total_cmp(&place(b)));
            for (_, sizes) in designs {
                if sizes.len() <= room {
                    room -= sizes.len();
                    held.extend(sizes);
                }
            }
        }
        held
    }
}

/// A number in [0, 1) that depends only on a name.
fn place(name: &str) -> f64 {
    let sample = Purpose::named(name).value();
    let key = StreamKey { seed: 0, purpose: Purpose::named("brep holdout"), epoch: 0, sample };
    key.stream().uniform_in(0.0, 1.0)
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The name of a design: the part of a name that all its sizes share.
fn base(name: &str) -> &str {
    let end = name.find(|letter: char| letter.is_ascii_digit());
    end.filter(|&end| end > 0).map_or(name, |end| &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_one_design_have_one_base() {
        for (name, expected) in [
            ("SOIC-8_3.9x4.9mm_P1.27mm.step", "SOIC-"),
            ("LED_D5.0mm_Clear.step", "LED_D"),
            ("4ms_Power_Header.step", "4ms_Power_Header.step"),
            ("Buzzer.step", "Buzzer.step"),
        ] {
            assert_eq!(base(name), expected);
        }
    }

    #[test]
    fn each_family_is_tested_on_whole_designs() {
        let mut paths = Vec::new();
        for (family, designs) in [("Diode", 10), ("Relay", 3)] {
            for (design, size) in
                (0..designs).flat_map(|design| (0..6).map(move |size| (design, size)))
            {
                let letter = char::from(b'a' + design);
                paths.push(Path::new(family).join(format!("{letter}-{size}.step.part")));
            }
        }
        let split = |by_base_name| Holdout { fraction: 0.4, by_base_name }.divide(paths.clone());
        let [train, test] = split(true);
        assert_eq!(train.len() + test.len(), paths.len());
        let of = |family: &str| test.iter().filter(|path| path.starts_with(family)).count();
        assert_eq!([of("Diode"), of("Relay")], [24, 6]);
        let design = |path: &PathBuf| (family(path), base(&name(path)).to_owned());
        let tested: BTreeSet<_> = test.iter().map(design).collect();
        assert!(train.iter().all(|path| !tested.contains(&design(path))));
        // Selected by name, sizes of one design are in both splits.
        let [train, test] = split(false);
        let tested: BTreeSet<_> = test.iter().map(design).collect();
        assert!(train.iter().any(|path| tested.contains(&design(path))));
    }

    /// A folder with empty files of these names, which are not read until they are asked for.
    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    const FIFTH: Holdout = Holdout { fraction: 0.2, by_base_name: true };

    #[test]
    fn splits_are_no_families() {
        let flat = folder(&["train/a.part", "train/b.part", "test/c.part"]);
        let splits = PartSplits::open(flat.path(), &FIFTH, None).unwrap();
        assert_eq!([splits.train.len(), splits.test.len(), splits.families.len()], [2, 1, 1]);
        let deep = folder(&["train/nut/a.part", "train/bolt/b.part", "test/nut/c.part"]);
        let splits = PartSplits::open(deep.path(), &FIFTH, None).unwrap();
        assert_eq!(splits.families, ["bolt", "nut"]);
        assert_eq!([splits.train.family(1), splits.test.family(0)], [1, 1]);
        // Without a folder test, the folder train is a family like any other.
        let one = folder(&["train/a.part", "train/b.part", "nut/c.part", "nut/d.part"]);
        let half = Holdout { fraction: 0.5, ..FIFTH };
        let splits = PartSplits::open(one.path(), &half, None).unwrap();
        assert_eq!(splits.families, ["nut", "train"]);
    }

    #[test]
    fn too_few_parts_to_hold_any_out_are_told() {
        let few = folder(&["a.part", "b.part"]);
        let error = PartSplits::open(few.path(), &FIFTH, None).unwrap_err().to_string();
        assert!(error.starts_with("holdout = 0.2: holds none of the parts out"), "{error}");
        let none = folder(&["a.step"]);
        let error = PartSplits::open(none.path(), &FIFTH, None).unwrap_err().to_string();
        assert!(error.contains("it has no .part file to train on"), "{error}");
    }

    #[test]
    fn links_are_followed() {
        let parts = folder(&["a.part", "more/b.part"]);
        let links = folder(&["c.part"]);
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(parts.path().join(to), links.path().join(name)).unwrap();
        };
        link("a.part", "a.part");
        link("more", "more");
        assert_eq!(PartStore::folder(links.path()).unwrap().len(), 3);
        link("gone", "README");
        link("gone", ".#notes.part");
        assert_eq!(PartStore::folder(links.path()).unwrap().len(), 3);
        link("gone", "lost.part");
        let error = PartStore::folder(links.path()).unwrap_err().to_string();
        assert!(error.contains("lost.part"), "{error}");
    }
}
