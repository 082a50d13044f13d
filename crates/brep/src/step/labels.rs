//! Labels of faces: numbers in the names of a STEP file's faces, or one per line in a separate
//! `.seg` file.

use std::fs;
use std::path::Path;

use crate::{BrepError, Feature};

/// Upper limit of the class numbers (exclusive).
pub const MOST_CLASSES: u32 = 10_000;

/// The labels of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// No labels.
    None,
    /// The class of each face.
    Numbers(Vec<u32>),
}

impl Labels {
    /// The labels of the faces with these names in a file: those of a `.seg` file in the same
    /// folder, or in `../seg` or `../labels` relative to it (Fusion 360, MFCAD); else the faces'
    /// names, if each is a number below [`MOST_CLASSES`] or the name of a class of generated parts.
    ///
    /// # Errors
    /// [`BrepError::Invalid`] when a `.seg` file is not text, has another number of labels, or has
    /// a line that is not a number below [`MOST_CLASSES`].
    pub fn of(path: &Path, names: &[String]) -> Result<Self, BrepError> {
        if let Some(text) = segmentation(path)? {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let numbers = lines.map(|line| {
                class(line).ok_or_else(|| BrepError::Invalid {
                    reason: format!(
                        "its .seg file has the line \"{}\"; a line must be a class below \
                         {MOST_CLASSES}",
                        short(line)
                    ),
                })
            });
            let numbers = numbers.collect::<Result<Vec<u32>, BrepError>>()?;
            if numbers.len() != names.len() {
                let (labels, faces) = (numbers.len(), names.len());
                let reason = format!("its .seg file has {labels} labels for {faces} faces");
                return Err(BrepError::Invalid { reason });
            }
            return Ok(Self::Numbers(numbers));
        }
        let classes = Feature::names();
        let number = |name: &String| -> Option<u32> {
            let named = || classes.iter().position(|class| class == name).map(|it| it as u32);
            class(name).or_else(named)
        };
        let numbers: Option<Vec<u32>> = names.iter().map(number).collect();
        Ok(numbers.filter(|numbers| !numbers.is_empty()).map_or(Self::None, Self::Numbers))
    }
}

/// The class with the number that a word gives.
fn class(word: &str) -> Option<u32> {
    word.parse().ok().filter(|&class| class < MOST_CLASSES)
}

/// The text of the `.seg` file of a STEP file, if there is one.
fn segmentation(path: &Path) -> Result<Option<String>, BrepError> {
    let (Some(stem), Some(folder)) = (path.file_stem(), path.parent()) else { return Ok(None) };
    let mut name = stem.to_owned();
    name.push(".seg");
    let places = [folder.to_owned(), folder.join("../seg"), folder.join("../labels")];
    let found = places.into_iter().map(|place| place.join(&name)).find(|file| file.is_file());
    let read = |file| {
        fs::read_to_string(file).map_err(|error| BrepError::Invalid {
            reason: format!("its .seg file cannot be read: {error}"),
        })
    };
    found.map(read).transpose()
}

fn short(line: &str) -> String {
    line.chars().take(40).collect()
}
