//! Files, or folders of files, with the classes of the folders that contain them.
//!
//! Samples in subfolders are labelled by the subfolder's name; samples directly in the folder, or
//! in one subfolder only, have no labels. The classes of a test split are the training split's,
//! matched by name.

mod part;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use bauta_datasets::DataError;

use self::part::{Part, note_left_out};
use super::layout::{Kind, Layout, layout, several};
use super::listing::{files_below, shown};

/// The samples of one split, in the order of their paths.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    root: PathBuf,
    paths: Vec<PathBuf>,
    labels: Option<Vec<u32>>,
    /// Names of the classes' folders, in their order.
    folders: Vec<OsString>,
    /// The same names for display.
    classes: Vec<String>,
}

impl Listed {
    /// Lists both splits, the second if there is one.
    pub(crate) fn splits(
        root: &Path,
        kind: Kind,
        notes: &mut Vec<String>,
    ) -> Result<(Self, Option<Self>), DataError> {
        let (train, test) = Self::training(root, kind, notes)?;
        let Some(folder) = test else { return Ok((train, None)) };
        let test = train.joined(&folder, kind, notes)?;
        Ok((train, Some(test)))
    }

    /// Lists the training split; also returns the folder of the test split, if there is one.
    pub(crate) fn training(
        root: &Path,
        kind: Kind,
        notes: &mut Vec<String>,
    ) -> Result<(Self, Option<PathBuf>), DataError> {
        let (folder, test) = match layout(root, kind, notes)? {
            Layout::Whole => (root.to_path_buf(), None),
            Layout::Splits { train: Some(train), test } => (train, test),
            Layout::Splits { train: None, test } => {
                return Err(kind.no_train(root, test.as_ref()));
            }
        };
        let part = Part::read(&folder, kind, notes)?;
        let train = match part.classes(kind, notes) {
            Some(classes) => Self::labelled(root, part, classes),
            None => Self::unlabelled(root, part.into_paths()),
        };
        Ok((train, test))
    }

    /// Lists every file of a kind below a folder, whatever its subfolders are called.
    pub(crate) fn all(root: &Path, kind: Kind, notes: &mut Vec<String>) -> Result<Self, DataError> {
        let files = files_below(root, kind.wanted)?;
        note_left_out(root, &files, kind, notes)?;
        Ok(Self::unlabelled(root, files.paths))
    }

    /// Wraps known samples, without classes.
    pub(crate) fn unlabelled(root: &Path, paths: Vec<PathBuf>) -> Self {
        let (labels, folders, classes) = (None, Vec::new(), Vec::new());
        Self { root: root.to_path_buf(), paths, labels, folders, classes }
    }

    fn labelled(root: &Path, part: Part, folders: Vec<OsString>) -> Self {
        let (mut paths, mut labels) = (Vec::new(), Vec::new());
        for (label, of_class) in part.by_class.into_values().enumerate() {
            labels.extend(std::iter::repeat_n(label as u32, of_class.len()));
            paths.extend(of_class);
        }
        let classes = folders.iter().map(|folder| shown(folder)).collect();
        let plain = Self::unlabelled(root, paths);
        Self { labels: Some(labels), folders, classes, ..plain }
    }

    /// Lists the test split of this training split, whose classes it shares by name.
    fn joined(
        &self,
        folder: &Path,
        kind: Kind,
        notes: &mut Vec<String>,
    ) -> Result<Self, DataError> {
        let part = Part::read(folder, kind, notes)?;
        let called = kind.called;
        let refuse = |problem: String| Err(DataError::malformed(folder, problem));
        if self.labels.is_none() {
            if part.loose.is_empty() && part.by_class.len() > 1 {
                let classes: Vec<String> = part.by_class.keys().map(|name| shown(name)).collect();
                return refuse(format!(
                    "its {called} lie in class folders ({}), but the training {called} do not; \
                     give both the same class folders, or neither",
                    several(&classes)
                ));
            }
            return Ok(Self::unlabelled(&self.root, part.into_paths()));
        }
        if !part.loose.is_empty() {
            return refuse(format!(
                "{} {called} lie directly in it, but the training {called} lie in class folders \
                 ({}); put these into class folders as well",
                part.loose.len(),
                several(&self.classes)
            ));
        }
        let (mut paths, mut labels, mut strange) = (Vec::new(), Vec::new(), Vec::new());
        for (class, of_class) in part.by_class {
            match self.folders.binary_search(&class) {
                Ok(label) => {
                    labels.extend(std::iter::repeat_n(label as u32, of_class.len()));
                    paths.extend(of_class);
                }
                Err(_) => strange.push(format!("`{}`", shown(&class))),
            }
        }
        if !strange.is_empty() {
            return refuse(format!(
                "none of the training {called} has its classes {}; the training classes are {}",
                several(&strange),
                several(&self.classes)
            ));
        }
        Ok(Self { paths, labels: Some(labels), ..self.clone() })
    }

    /// Paths of the samples.
    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Names of the classes; empty if there are none.
    pub(crate) fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The class of a sample, if there are classes.
    pub(crate) fn label(&self, index: usize) -> Option<u32> {
        self.labels.as_ref().map(|labels| labels[index])
    }

    /// A sample's path below the root, independent of where the root is.
    pub(crate) fn relative(&self, index: usize) -> &OsStr {
        let path = &self.paths[index];
        path.strip_prefix(&self.root).unwrap_or(path).as_os_str()
    }
}
