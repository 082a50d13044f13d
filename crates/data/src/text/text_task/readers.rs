//! The files of the data sets of [`TextDataset`], and users' own folders.

use std::path::Path;

use bauta_datasets::{DataError, Split};
use serde::Deserialize;

use super::TextDataset;
use crate::regular;
use crate::source::listing::{entries, has_extension};
use crate::tasks::folders::folders_of;
use crate::text::document::RawDocument;
use crate::text::folder::read_folder;

/// The eight most frequent topics of the stories with a single topic.
const EIGHT: [&str; 8] = ["acq", "crude", "earn", "interest", "money-fx", "ship", "sugar", "trade"];

/// Reads a data set.
pub(super) fn read(dataset: TextDataset, root: &Path) -> Result<Vec<RawDocument>, DataError> {
    match dataset {
        TextDataset::BbcNews => class_folders(root, None, str::to_owned),
        TextDataset::Imdb => reviews(&root.join("reviews.json")),
        TextDataset::Spam => {
            let mut mails = class_folders(root, None, |folder| {
                if folder.starts_with("spam") { "spam" } else { "ham" }.to_owned()
            })?;
            mails.iter_mut().for_each(|mail| mail.text = body(&mail.text));
            Ok(mails)
        }
        TextDataset::Reuters8 => {
            let mut stories = read_folder(root)?;
            stories.retain(|story| matches!(&story.labels[..], [one] if EIGHT.contains(&&**one)));
            Ok(stories)
        }
    }
}

/// Reads a user's own folder of a task.
pub(super) fn read_own(folder: &Path) -> Result<Vec<RawDocument>, DataError> {
    let [train, test] = ["train", "test"].map(|part| folder.join(part));
    if train.is_dir() && test.is_dir() {
        let mut documents = class_folders(&train, Some(Split::Train), str::to_owned)?;
        documents.extend(class_folders(&test, Some(Split::Test), str::to_owned)?);
        return Ok(documents);
    }
    match folders_of(folder)?.is_empty() {
        true => read_folder(folder),
        false => class_folders(folder, None, str::to_owned),
    }
}

/// Reads one folder of `.txt` files per class, hidden files left out; `class` turns a folder's name
/// into that of its class.
fn class_folders(
    root: &Path,
    part: Option<Split>,
    class: impl Fn(&str) -> String,
) -> Result<Vec<RawDocument>, DataError> {
    let mut documents = Vec::new();
    for folder in folders_of(root)? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        for file in entries(&folder)?.iter().filter(|path| has_extension(path, &["txt"])) {
            let labels = vec![class(&name)];
            let text =
                decoded(regular::read(file)?).map_err(|what| DataError::malformed(file, what))?;
            documents.push(RawDocument { text, labels, part, group: None });
        }
    }
    if documents.is_empty() {
        return Err(DataError::Absent {
            path: root.to_owned(),
            wanted: "documents".to_owned(),
            remedy: "give it a folder of .txt files for each class".to_owned(),
        });
    }
    Ok(documents)
}

/// Decodes UTF-8, or ISO-8859-1 if it is not valid UTF-8.
///
/// # Errors
/// What to do about UTF-16, in which every letter would become a word of its own.
fn decoded(bytes: Vec<u8>) -> Result<String, &'static str> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("is UTF-16; save it as UTF-8");
    }
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| error.as_bytes().iter().map(|&byte| char::from(byte)).collect()))
}

#[derive(Deserialize)]
struct Review {
    #[serde(rename = "t")]
    text: String,
    #[serde(rename = "s")]
    is_for: u8,
}

fn reviews(file: &Path) -> Result<Vec<RawDocument>, DataError> {
    let reviews: Vec<Review> = serde_json::from_slice(&regular::read(file)?)
        .map_err(|error| DataError::malformed(file, error))?;
    let document = |Review { text, is_for }| RawDocument {
        text: without_tags(&text),
        labels: vec![if is_for == 1 { "for" } else { "against" }.to_owned()],
        ..RawDocument::default()
    };
    Ok(reviews.into_iter().map(document).collect())
}

/// An e-mail without HTML tags, and without its headers, whose relays and dates would reveal the
/// class.
fn body(mail: &str) -> String {
    let end = mail.find("\n\n").or_else(|| mail.find("\r\n\r\n"));
    without_tags(end.map_or("", |end| &mail[end..]))
}

/// A text without tags: an angle bracket before a letter, `/` or `!`, up to the closing one.
fn without_tags(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find('<') {
        let (before, tag) = rest.split_at(begin);
        plain.push_str(before);
        let is_tag =
            tag[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!');
        match tag.find('>').filter(|_| is_tag) {
            Some(end) => {
                plain.push(' ');
                rest = &tag[end + 1..];
            }
            None => {
                plain.push('<');
                rest = &tag[1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}
