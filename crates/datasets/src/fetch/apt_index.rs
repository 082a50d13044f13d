//! Documents from Debian's package index, fetched with apt: descriptions with their tags.
//!
//! `apt-get update` downloads the index and the English descriptions of the machine's own Debian
//! release into a separate folder. A package with enough tags becomes a document: its description,
//! its tags (`facet::tag`), and its source package as the group, because packages built from one
//! source have similar descriptions.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::error::DataError;

/// Minimum number of tags of a document: libraries have a few automatic ones.
const FEWEST_TAGS: usize = 5;

/// Name of the file of documents.
const DOCUMENTS: &str = "debtags.jsonl";

/// The command that fills the folder `lists` below `folder`.
pub(super) fn update(folder: &Path) -> Result<Command, DataError> {
    for part in ["lists/partial", "cache/archives/partial"] {
        let part = folder.join(part);
        fs::create_dir_all(&part).map_err(DataError::io(&part))?;
    }
    let mut command = Command::new("apt-get");
    let option = |key: &str, value: &str| [String::from("-o"), format!("{key}={value}")];
    let place = |part: &str| folder.join(part).display().to_string();
    command
        .args(option("Dir::State::lists", &place("lists")))
        .args(option("Dir::Cache", &place("cache")))
        .args(option("Acquire::Languages", "en"))
        .args(option("Acquire::GzipIndexes", "false"))
        .arg("update");
    Ok(command)
}

/// Packs the documents of the lists into an archive like npm's.
pub(super) fn pack(folder: &Path) -> Result<PathBuf, DataError> {
    let documents = documents(&folder.join("lists"))?;
    let path = folder.join("index.tgz");
    let written = (|| {
        let file = GzEncoder::new(File::create(&path)?, Compression::default());
        let mut archive = tar::Builder::new(file);
        let mut header = tar::Header::new_gnu();
        header.set_size(documents.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("package/{DOCUMENTS}"), documents.as_bytes())?;
        archive.into_inner()?.finish()
    })();
    written.map_err(DataError::io(&path))?;
    Ok(path)
}

/// Fields of a paragraph, continuation lines joined.
type Fields = BTreeMap<String, String>;

/// All documents, one JSON object per line, sorted by package.
fn documents(lists: &Path) -> Result<String, DataError> {
    let mut descriptions: BTreeMap<String, String> = BTreeMap::new();
    let mut packages: BTreeMap<String, Fields> = BTreeMap::new();
    let mut files: Vec<PathBuf> = fs::read_dir(lists)
        .map_err(DataError::io(lists))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (index, english) = (name.ends_with("_Packages"), name.ends_with("_Translation-en"));
        if !index && !english {
            continue;
        }
        let text = fs::read(&file).map_err(DataError::io(&file))?;
        for fields in paragraphs(&String::from_utf8_lossy(&text)) {
            let Some(package) = fields.get("Package").cloned() else { continue };
            if index && fields.contains_key("Tag") {
                packages.entry(package).or_insert(fields);
            } else if let Some(text) = fields.get("Description-en") {
                descriptions.entry(package).or_insert_with(|| text.clone());
            }
        }
    }
    let mut lines = String::new();
    for (package, fields) in &packages {
        let special = |tag: &&str| *tag != "suite::TODO" && !tag.starts_with("special::");
        let tags = fields["Tag"].split(',').map(str::trim).filter(|tag| !tag.is_empty());
        let tags: Vec<&str> = tags.filter(special).collect();
        let text = descriptions.get(package).or_else(|| fields.get("Description"));
        let (Some(text), true) = (text, tags.len() >= FEWEST_TAGS) else { continue };
        let source = fields.get("Source").unwrap_or(package);
        let source = source.split_whitespace().next().unwrap_or(package);
        let line = json!({ "text": text, "labels": tags, "group": source });
        lines += &line.to_string();
        lines.push('\n');
    }
    if lines.is_empty() {
        return Err(DataError::Absent {
            path: lists.to_path_buf(),
            wanted: "packages with tags".to_owned(),
            remedy: "Debian's own archive (component main) has them; Ubuntu's has none".to_owned(),
        });
    }
    Ok(lines)
}

fn paragraphs(text: &str) -> impl Iterator<Item = Fields> + '_ {
    text.split("\n\n").map(|paragraph| {
        let mut fields = Fields::new();
        let mut last = String::new();
        for line in paragraph.lines() {
            if let Some(more) = line.strip_prefix([' ', '\t']) {
                if let Some(value) = fields.get_mut(&last) {
                    value.push('\n');
                    value.push_str(if more.trim() == "." { "" } else { more });
                }
            } else if let Some((key, value)) = line.split_once(':') {
                last = key.to_owned();
                fields.insert(last.clone(), value.trim().to_owned());
            }
        }
        fields
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_with_tags_become_documents() {
        let root = tempfile::tempdir().unwrap();
        fs::write(
            root.path().join("x_main_binary-amd64_Packages"),
            "Package: zed\nSource: zed-src (1.2)\nDescription: short words\nTag: a::b, c::d,\n e::f, \
             suite::TODO, g::h, i::j\n\nPackage: few\nDescription: d\nTag: a::b, special::x\n\n\
             Package: none\nDescription: d\n\nPackage: ant\nDescription: an ant\n\
             Tag: a::b, c::d, e::f, g::h, k::l\n",
        )
        .unwrap();
        fs::write(
            root.path().join("x_main_i18n_Translation-en"),
            "Package: zed\nDescription-md5: 1\nDescription-en: short words\n Long words.\n .\n More.\n",
        )
        .unwrap();
        let found = documents(root.path()).unwrap();
        let lines: Vec<serde_json::Value> =
            found.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [ant, zed] = &lines[..] else { panic!("{found}") };
        assert_eq!((&ant["text"], &ant["group"]), (&json!("an ant"), &json!("ant")));
        assert_eq!(zed["text"], "short words\nLong words.\n\nMore.");
        assert_eq!(zed["labels"], json!(["a::b", "c::d", "e::f", "g::h", "i::j"]));
        assert_eq!(zed["group"], "zed-src");

        let empty = tempfile::tempdir().unwrap();
        let error = documents(empty.path()).unwrap_err().to_string();
        assert!(error.contains("holds no packages with tags; Debian's own archive"), "{error}");
    }
}
