//! Reuters-21578's own files: stories in SGML, with the ModApte split.
//!
//! A small reader of exactly these files: elements do not nest within themselves, and `TEXT`
//! holds `TITLE` and `BODY`. Stories with `TOPICS="YES"` whose `LEWISSPLIT` is `TRAIN` or `TEST`
//! are used; files without `LEWISSPLIT` have no parts.

use std::path::{Path, PathBuf};

use bauta_datasets::{DataError, Split};

use super::document::RawDocument;
use super::reuters_json::cleaned;
use crate::regular;

/// Reads the stories of all files.
pub(super) fn read(files: &[PathBuf]) -> Result<Vec<RawDocument>, DataError> {
    let mut documents = Vec::new();
    for file in files {
        // The files are ASCII with stray bytes of Latin-1.
        let text: String = regular::read(file)?.iter().map(|&byte| char::from(byte)).collect();
        read_stories(file, &text, &mut documents)?;
    }
    Ok(documents)
}

fn read_stories(
    file: &Path,
    text: &str,
    documents: &mut Vec<RawDocument>,
) -> Result<(), DataError> {
    let mut rest = text;
    let line_of = |rest: &str| 1 + text[..text.len() - rest.len()].matches('\n').count();
    while let Some(start) = rest.find("<REUTERS") {
        rest = &rest[start..];
        let problem =
            |what: &str| DataError::malformed(file, format!("line {}: {what}", line_of(rest)));
        let end = rest.find("</REUTERS>").ok_or_else(|| problem("<REUTERS> is not closed"))?;
        let head = rest.find('>').ok_or_else(|| problem("<REUTERS is not closed"))?;
        let (tag, story) = (&rest[..head], &rest[head + 1..end]);
        let part = match attribute(tag, "LEWISSPLIT") {
            None => Some(None),
            Some("TRAIN") => Some(Some(Split::Train)),
            Some("TEST") => Some(Some(Split::Test)),
            Some(_) => None,
        };
        let with_topics = attribute(tag, "TOPICS").is_none_or(|value| value != "NO");
        if let (Some(part), true) = (part, with_topics) {
            let topics = element(story, "TOPICS").unwrap_or_default();
            let body = cleaned(&decoded(element(story, "BODY").unwrap_or_default()));
            let title = cleaned(&decoded(element(story, "TITLE").unwrap_or_default()));
            let text = if body.is_empty() { body } else { format!("{title}\n{body}") };
            documents.push(RawDocument { text, labels: items(topics), part, group: None });
        }
        rest = &rest[end + "</REUTERS>".len()..];
    }
    match documents.is_empty() {
        true => Err(DataError::malformed(file, "line 1: there is no <REUTERS> story in it")),
        false => Ok(()),
    }
}

/// `VALUE` of `NAME="VALUE"`.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    let value = &tag[start..];
    Some(&value[..value.find('"')?])
}

/// The contents of the first element with this name.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let start = text.find(&format!("<{name}>"))? + name.len() + 2;
    let inner = &text[start..];
    Some(&inner[..inner.find(&format!("</{name}>"))?])
}

/// The `<D>` items of a list.
fn items(list: &str) -> Vec<String> {
    let items = list.split("<D>").skip(1).filter_map(|item| item.split("</D>").next());
    items.map(|item| decoded(item).trim().to_owned()).collect()
}

fn decoded(text: &str) -> String {
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&#3;", "\u{3}");
    plain.replace("&#2;", " ").replace("&amp;", "&")
}
