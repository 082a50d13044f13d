//! `labels.txt`: the names that documents can use, if a folder lists them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bauta_datasets::DataError;

use super::document::{RawDocument, unmarked};
use crate::regular;

/// The labels that a folder's documents can have.
pub(super) struct LabelList {
    path: PathBuf,
    names: BTreeSet<String>,
}

impl LabelList {
    /// Reads the `labels.txt` of a folder, one name per line, if it exists.
    pub(super) fn of(folder: &Path) -> Result<Option<Self>, DataError> {
        let path = folder.join("labels.txt");
        if !path.exists() {
            return Ok(None);
        }
        let bytes = regular::read(&path)?;
        let text = std::str::from_utf8(unmarked(&bytes))
            .map_err(|_| DataError::malformed(&path, "it is not UTF-8"))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let names: BTreeSet<String> = lines.map(str::to_owned).collect();
        if names.is_empty() {
            return Err(DataError::malformed(&path, "it lists no labels; remove it, or add them"));
        }
        Ok(Some(Self { path, names }))
    }

    /// Refuses a document, read at `line` of `file`, with a label that is not listed.
    pub(super) fn check(
        &self,
        document: &RawDocument,
        file: &Path,
        line: u64,
    ) -> Result<(), DataError> {
        match document.labels.iter().find(|label| !self.names.contains(*label)) {
            None => Ok(()),
            Some(label) => {
                let list = self.path.display();
                let problem = format!("line {line}: label \"{label}\" is not one of {list}");
                Err(DataError::malformed(file, problem))
            }
        }
    }
}
