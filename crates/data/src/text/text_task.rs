//! Documents with one class each: a task of text classification.
//!
//! A task has documents to train on, a part of them held out for validation, and documents to test
//! on. Copies are removed before anything is divided, so none is in two parts.

mod readers;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use bauta_datasets::text::{TextDataset, TextTaskOptions};
use bauta_datasets::{DataError, Split};

use super::corpus::{folded, key};
use super::document::RawDocument;
use crate::source::holdout::place;
use crate::tasks::folders::task_folders;

/// A document and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassedText {
    /// The text.
    pub text: String,
    /// The class, from 0.
    pub class: u32,
}

/// A task of text classification.
#[derive(Clone, Debug, PartialEq)]
pub struct TextTask {
    /// Its name.
    pub name: String,
    /// Names of its classes, in their order.
    pub classes: Vec<String>,
    /// The training part.
    pub train: Vec<ClassedText>,
    /// The validation part, held out of training.
    pub validation: Vec<ClassedText>,
    /// The test part.
    pub test: Vec<ClassedText>,
    /// Documents without text, which were left out.
    pub without_text: usize,
    /// Copies, ignoring letter case and spaces, which were left out.
    pub duplicates: usize,
}

impl TextTask {
    /// Builds a task from documents that have one label each.
    ///
    /// Unless the source has parts, the part of a document depends only on its text. So does the
    /// order of each part, which is independent of the source's: the first documents are a fair
    /// sample.
    ///
    /// # Errors
    /// [`DataError::Setting`] for a fraction outside (0, 1) and a count of 0, and
    /// [`DataError::Input`] for a document without exactly one label, fewer than two classes, a
    /// class that is tested but never trained, or an empty part.
    pub fn build(
        name: &str,
        raw: Vec<RawDocument>,
        options: &TextTaskOptions,
    ) -> Result<Self, DataError> {
        for (key, value) in [("holdout", options.holdout), ("validation", options.validation)] {
            if !(value > 0.0 && value < 1.0) {
                return Err(DataError::setting(key, value, "must be in (0, 1)"));
            }
        }
        for (key, value) in [("limit", options.limit), ("test_limit", options.test_limit)] {
            if value == Some(0) {
                return Err(DataError::setting(key, 0, "must be at least 1"));
            }
        }
        let refused = |problem: String| DataError::Input(format!("task {name}: {problem}").into());
        if let Some(other) = raw.iter().find(|document| document.labels.len() != 1) {
            let (labels, text) = (other.labels.join(", "), beginning(&other.text));
            let problem = format!("\"{text}\" has labels [{labels}]; it must have one");
            return Err(refused(problem));
        }
        let read = raw.len();
        let mut raw = raw;
        raw.retain(|document| !document.text.trim().is_empty());
        let without_text = read - raw.len();
        // Test documents first: of two copies, the one in training is removed.
        raw.sort_by_key(|document| document.part != Some(Split::Test));
        let (read, mut known) = (raw.len(), HashSet::new());
        raw.retain(|document| known.insert(folded(&document.text)));
        let duplicates = read - raw.len();

        let parted = raw.iter().any(|document| document.part.is_some());
        let is_test = |document: &RawDocument| match document.part {
            Some(part) => part == Split::Test,
            None => !parted && place(&key("test", document)) < options.holdout,
        };
        let (test, train): (Vec<_>, Vec<_>) = raw.into_iter().partition(is_test);
        let test = in_fair_order(test, options.test_limit);
        let train = in_fair_order(train, options.limit);
        let is_held =
            |document: &RawDocument| place(&key("validation", document)) < options.validation;
        let (validation, train): (Vec<_>, Vec<_>) = train.into_iter().partition(is_held);

        let named: BTreeSet<String> =
            train.iter().map(|document| document.labels[0].clone()).collect();
        let classes: Vec<String> = named.into_iter().collect();
        if classes.len() < 2 {
            let found = classes.join(", ");
            return Err(refused(format!(
                "its training documents have classes [{found}]; it needs two ({duplicates} copies \
                 and {without_text} documents without text were left out)"
            )));
        }
        let numbers: HashMap<&str, u32> = classes.iter().map(String::as_str).zip(0..).collect();
        let part =
            |what: &str, documents: Vec<RawDocument>| -> Result<Vec<ClassedText>, DataError> {
                if documents.is_empty() {
                    let problem = format!("no document is left in its {what} part; give more");
                    return Err(refused(problem));
                }
                let numbered = documents.into_iter().map(|document| {
                    let class = &document.labels[0];
                    let Some(&number) = numbers.get(class.as_str()) else {
                        let known = classes.join(", ");
                        return Err(refused(format!(
                            "a document of its {what} part has class \"{class}\", which no \
                             training document has ({known})"
                        )));
                    };
                    Ok(ClassedText { text: document.text, class: number })
                });
                numbered.collect()
            };
        let (validation, test) = (part("validation", validation)?, part("test", test)?);
        let train = part("training", train)?;
        let name = name.to_owned();
        Ok(Self { name, classes, train, validation, test, without_text, duplicates })
    }

    /// Opens a data set whose files are in `root`.
    ///
    /// # Errors
    /// When a file is missing or malformed, and as [`Self::build`].
    pub fn open(
        dataset: TextDataset,
        root: &Path,
        options: &TextTaskOptions,
    ) -> Result<Self, DataError> {
        Self::build(dataset.into(), readers::read(dataset, root)?, options)
    }

    /// Opens one folder per task, in the order of their numbers or names.
    ///
    /// A task's folder has one folder of `.txt` files per class, optionally within `train` and
    /// `test`; or files that [`read_folder`](super::read_folder) reads, with one label per
    /// document.
    ///
    /// # Errors
    /// When there are no folders, their numbers have a gap, one holds no documents, and as
    /// [`Self::build`].
    pub fn of_folders(root: &Path, options: &TextTaskOptions) -> Result<Vec<Self>, DataError> {
        let folders = task_folders(root, "a folder of .txt files for each class")?;
        let open = |folder: &PathBuf| {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Self::build(&name, readers::read_own(folder)?, options)
        };
        folders.iter().map(open).collect()
    }
}

/// At most `limit` of the documents, in an order determined by their texts.
fn in_fair_order(mut documents: Vec<RawDocument>, limit: Option<usize>) -> Vec<RawDocument> {
    documents.sort_by_cached_key(|document| place(&key("order", document)).to_bits());
    documents.truncate(limit.unwrap_or(usize::MAX));
    documents
}

fn beginning(text: &str) -> String {
    text.chars().take(40).collect()
}
