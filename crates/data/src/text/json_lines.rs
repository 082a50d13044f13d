//! JSON lines: one object per line, with `text` and `labels`, or with mentions of entities.

use std::path::Path;

use bauta_datasets::{DataError, Split};
use serde::Deserialize;

use super::document::{RawDocument, unmarked};
use super::entity_typing::{Mention, Sentence};
use super::folder::part_named;
use super::label_list::LabelList;
use crate::regular;

/// The kinds of lines, distinguished by their keys.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Document(Plain),
    Sentence(Sentence),
    Mention(Mention),
}

#[derive(Deserialize)]
struct Plain {
    text: String,
    labels: Vec<String>,
    split: Option<String>,
    group: Option<String>,
}

/// Reads a file's documents; `part` applies to lines that name none.
pub(super) fn read(
    file: &Path,
    part: Option<Split>,
    list: Option<&LabelList>,
) -> Result<Vec<RawDocument>, DataError> {
    let bytes = regular::read(file)?;
    let mut documents = Vec::new();
    for (line, bytes) in (1_u64..).zip(unmarked(&bytes).split(|&byte| byte == b'\n')) {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let problem =
            |problem: String| DataError::malformed(file, format!("line {line}: {problem}"));
        // Distinguished from a line with other keys: a truncated line is not JSON at all.
        let value: serde_json::Value = serde_json::from_slice(bytes)
            .map_err(|error| problem(format!("it is not JSON: {error}")))?;
        let read: Line = serde_json::from_value(value).map_err(|_| {
            problem(
                "it must be an object with text (words) and labels (a list of names), or with \
                 tokens and mentions (start, end, labels), or with mention_span and y_str"
                    .to_owned(),
            )
        })?;
        let own = match read {
            Line::Document(plain) => {
                let part = match &plain.split {
                    None => part,
                    Some(name) => Some(part_named(name).ok_or_else(|| {
                        problem(format!("split \"{name}\" must be train or test"))
                    })?),
                };
                let Plain { text, labels, group, .. } = plain;
                vec![RawDocument { text, labels, part, group }]
            }
            Line::Sentence(sentence) => sentence.documents(part).map_err(problem)?,
            Line::Mention(mention) => vec![mention.document(part)],
        };
        if let Some(list) = list {
            own.iter().try_for_each(|document| list.check(document, file, line))?;
        }
        documents.extend(own);
    }
    Ok(documents)
}
