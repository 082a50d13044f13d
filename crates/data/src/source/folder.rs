//! A folder of pictures of any size: JPEG, PNG and WebP files, or `.npy` arrays.
//!
//! Pictures in subfolders are labelled by the subfolder's name; pictures that lie
//! directly in the folder, or in one subfolder only, have no labels.

mod part;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use self::part::Part;
use super::layout::{Kind, Layout, layout, list, several};
use super::listing::{any_below, files_below, has_extension, is_picture, shown};
use super::npy;
use crate::dataset::Split;
use crate::error::DataError;
use crate::image::{Decoding, Image};
use crate::regular;
use crate::source::{Source, Statistics};

const PICTURES: Kind = Kind { wanted: is_picture, called: "pictures" };
const ARRAYS: Kind = Kind { wanted: is_array, called: ".npy files" };

fn is_array(path: &Path) -> bool {
    has_extension(path, &["npy"])
}

/// Pictures in files, in the order of their paths.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
    paths: Vec<PathBuf>,
    labels: Option<Vec<u32>>,
    /// Names of the classes' folders, in their order.
    folders: Vec<OsString>,
    /// The same for people.
    classes: Vec<String>,
    decoding: Decoding,
    /// Channels of every picture.
    channels: usize,
    statistics: Statistics,
}

impl Folder {
    /// Lists the pictures of one split, decoded to RGB.
    ///
    /// # Errors
    /// As [`open_splits`](crate::open_splits), and when there is no such split.
    pub fn open(split: Split, root: &Path) -> Result<Self, DataError> {
        let mut notes = Vec::new();
        match split {
            Split::Train => Self::training(root, Decoding::default(), &mut notes).map(|(of, _)| of),
            Split::Test => {
                let (_, test) = Self::splits(root, Decoding::default(), &mut notes)?;
                test.ok_or_else(|| no_test(root))
            }
        }
    }

    /// Lists every picture below a folder, whatever its subfolders are called.
    ///
    /// The pictures have no labels; [`Source::describe`] says where each lies.
    ///
    /// # Errors
    /// When there are none, or a folder or link below cannot be read.
    pub fn all(root: &Path, decoding: Decoding) -> Result<Self, DataError> {
        let kind = kind_below(root)?;
        let files = files_below(root, kind.wanted)?;
        Self::unlabelled(root, files.paths, kind, decoding)
    }

    /// Lists both splits, the second where there is one.
    pub(crate) fn splits(
        root: &Path,
        decoding: Decoding,
        notes: &mut Vec<String>,
    ) -> Result<(Self, Option<Self>), DataError> {
        let (train, test) = Self::training(root, decoding, notes)?;
        let Some(folder) = test else { return Ok((train, None)) };
        let test = train.joined(Part::read(&folder, train.kind(), notes)?)?;
        Ok((train, Some(test)))
    }

    /// Lists the training split; also says where the test split lies, if anywhere.
    fn training(
        root: &Path,
        decoding: Decoding,
        notes: &mut Vec<String>,
    ) -> Result<(Self, Option<PathBuf>), DataError> {
        let kind = kind_below(root)?;
        let (folder, test) = match layout(root, kind, notes)? {
            Layout::Whole => (root.to_path_buf(), None),
            Layout::Splits { train: Some(train), test } => (train, test),
            Layout::Splits { train: None, test } => {
                return Err(DataError::Absent {
                    path: root.to_path_buf(),
                    wanted: format!("pictures to train on beside {}", list(&test)),
                    remedy: WANTED.to_owned(),
                });
            }
        };
        let part = Part::read(&folder, kind, notes)?;
        let train = match part.classes(notes) {
            Some(classes) => Self::labelled(root, part, classes, kind, decoding)?,
            None => Self::unlabelled(root, part.into_pictures(), kind, decoding)?,
        };
        Ok((train, test))
    }

    fn unlabelled(
        root: &Path,
        paths: Vec<PathBuf>,
        kind: Kind,
        decoding: Decoding,
    ) -> Result<Self, DataError> {
        let (mut channels, mut statistics) =
            (decoding.channels.count(), Statistics::of_photos(decoding.channels));
        if kind.called == ARRAYS.called {
            let path = paths.first().expect("a folder has pictures");
            channels = npy::read(path, decoding.max_pixels)?.channels();
            statistics = Statistics::neutral(channels);
        }
        let (labels, folders, classes) = (None, Vec::new(), Vec::new());
        let root = root.to_path_buf();
        Ok(Self { root, paths, labels, folders, classes, decoding, channels, statistics })
    }

    fn labelled(
        root: &Path,
        part: Part,
        folders: Vec<OsString>,
        kind: Kind,
        decoding: Decoding,
    ) -> Result<Self, DataError> {
        let (mut paths, mut labels) = (Vec::new(), Vec::new());
        for (label, pictures) in part.by_class.into_values().enumerate() {
            labels.extend(std::iter::repeat_n(label as u32, pictures.len()));
            paths.extend(pictures);
        }
        let classes = folders.iter().map(|folder| shown(folder)).collect();
        let plain = Self::unlabelled(root, paths, kind, decoding)?;
        Ok(Self { labels: Some(labels), folders, classes, ..plain })
    }

    /// Makes the test split to this training split: its classes are this one's, by name.
    fn joined(&self, part: Part) -> Result<Self, DataError> {
        let folder = part.folder.clone();
        let refuse = |problem: String| Err(DataError::malformed(&folder, problem));
        if self.labels.is_none() {
            if part.loose.is_empty() && part.by_class.len() > 1 {
                let classes: Vec<String> = part.by_class.keys().map(|name| shown(name)).collect();
                return refuse(format!(
                    "its pictures lie in class folders ({}), and the training pictures do not; \
                     give both the same class folders, or neither",
                    several(&classes)
                ));
            }
            let like = self.clone();
            return Ok(Self { paths: part.into_pictures(), ..like });
        }
        if !part.loose.is_empty() {
            return refuse(format!(
                "{} pictures lie directly in it, and the training pictures in class folders ({}); \
                 put each into the folder of its class here as well",
                part.loose.len(),
                several(&self.classes)
            ));
        }
        let (mut paths, mut labels, mut strange) = (Vec::new(), Vec::new(), Vec::new());
        for (class, pictures) in part.by_class {
            match self.folders.binary_search(&class) {
                Ok(label) => {
                    labels.extend(std::iter::repeat_n(label as u32, pictures.len()));
                    paths.extend(pictures);
                }
                Err(_) => strange.push(format!("`{}`", shown(&class))),
            }
        }
        if !strange.is_empty() {
            return refuse(format!(
                "no training picture is of its classes {}; the training classes are {}",
                several(&strange),
                several(&self.classes)
            ));
        }
        Ok(Self { paths, labels: Some(labels), ..self.clone() })
    }

    fn kind(&self) -> Kind {
        if self.paths.first().is_some_and(|path| is_array(path)) { ARRAYS } else { PICTURES }
    }

    /// A picture's path below the root, the same wherever the root lies.
    pub(crate) fn relative(&self, index: usize) -> &OsStr {
        let path = &self.paths[index];
        path.strip_prefix(&self.root).unwrap_or(path).as_os_str()
    }

    /// Whether the pictures' own statistics are unknown until they are measured.
    pub(crate) fn wants_measuring(&self) -> bool {
        is_array(&self.paths[0])
    }

    /// Normalises by these statistics.
    pub(crate) fn with_statistics(self, statistics: Statistics) -> Self {
        Self { statistics, ..self }
    }
}

/// What a folder of pictures looks like.
const WANTED: &str = "a data set is train/CLASS/*.jpg and val/CLASS/*.jpg, or CLASS/*.jpg with a \
                      part held out (holdout), or *.jpg without classes (also .png, .webp; \
                      docs/your-own-data.md)";

fn nothing(folder: &Path) -> DataError {
    DataError::Absent {
        path: folder.to_path_buf(),
        wanted: "JPEG, PNG, WebP or .npy files".to_owned(),
        remedy: WANTED.to_owned(),
    }
}

/// Says that there is nothing to evaluate on.
pub(crate) fn no_test(root: &Path) -> DataError {
    DataError::Absent {
        path: root.to_path_buf(),
        wanted: "pictures to evaluate on (val/ or test/)".to_owned(),
        remedy: WANTED.to_owned(),
    }
}

/// Pictures where there are any, and arrays otherwise.
fn kind_below(root: &Path) -> Result<Kind, DataError> {
    super::listing::entries(root)?;
    let has = |kind: &Kind| any_below(root, kind.wanted);
    [PICTURES, ARRAYS].into_iter().find(has).ok_or_else(|| nothing(root))
}

impl Source for Folder {
    fn len(&self) -> usize {
        self.paths.len()
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.as_ref().map(|labels| labels[index])
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        let path = &self.paths[index];
        let refuse = |problem| DataError::Image { image: self.describe(index), problem };
        if is_array(path) {
            let image = npy::read(path, self.decoding.max_pixels)?;
            if image.channels() != self.channels {
                let (found, wanted) = (image.channels(), self.channels);
                let first = self.paths[0].display();
                return Err(refuse(format!("it has {found} channels, and {first} has {wanted}")));
            }
            return Ok(image);
        }
        let file = regular::read(path)?;
        Image::decode_with(&file, self.decoding).map_err(refuse)
    }

    fn describe(&self, index: usize) -> String {
        shown(self.paths[index].as_os_str())
    }

    fn statistics(&self) -> Statistics {
        self.statistics.clone()
    }
}

#[cfg(test)]
mod tests;
