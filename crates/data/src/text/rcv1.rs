//! RCV1-v2 as LYRL2004 (Lewis, Yang, Rose and Li, JMLR 2004) distributes it: stemmed words in
//! `lyrl2004_tokens_*.dat`, topics in `rcv1-v2.topics.qrels`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bauta_datasets::{DataError, Split};

use super::document::RawDocument;
use crate::regular;

/// Reads the stories of the token files with the topics of the assignments.
pub(super) fn read(
    root: &Path,
    tokens: &[PathBuf],
    assignments: &[PathBuf],
) -> Result<Vec<RawDocument>, DataError> {
    let Some(topics_file) = assignments.first() else {
        return Err(DataError::Absent {
            path: root.to_path_buf(),
            wanted: "file rcv1-v2.topics.qrels".to_owned(),
            remedy: "it says which topics a story has; put it beside the token files".to_owned(),
        });
    };
    let mut topics: HashMap<u64, Vec<String>> = HashMap::new();
    for (number, line) in lines(topics_file)?.lines().enumerate() {
        let mut words = line.split_whitespace();
        let (Some(topic), Some(id), Some("1")) =
            (words.next(), words.next().and_then(|id| id.parse().ok()), words.next())
        else {
            let problem = format!("line {}: expected `TOPIC ID 1`, found `{line}`", number + 1);
            return Err(DataError::malformed(topics_file, problem));
        };
        topics.entry(id).or_default().push(topic.to_owned());
    }
    let mut documents = Vec::new();
    for file in tokens {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let part = if name.contains("train") { Split::Train } else { Split::Test };
        read_tokens(file, part, &topics, &mut documents)?;
    }
    Ok(documents)
}

fn lines(file: &Path) -> Result<String, DataError> {
    String::from_utf8(regular::read(file)?)
        .map_err(|_| DataError::malformed(file, "it is not UTF-8"))
}

/// Stories of the form `.I ID`, `.W`, then lines of words.
fn read_tokens(
    file: &Path,
    part: Split,
    topics: &HashMap<u64, Vec<String>>,
    documents: &mut Vec<RawDocument>,
) -> Result<(), DataError> {
    let text = lines(file)?;
    let mut story: Option<RawDocument> = None;
    for (number, line) in text.lines().enumerate() {
        let problem =
            |what: String| DataError::malformed(file, format!("line {}: {what}", number + 1));
        if let Some(id) = line.strip_prefix(".I ") {
            documents.extend(story.take());
            let id: u64 = id
                .trim()
                .parse()
                .map_err(|_| problem(format!("story id `{id}` is not a number")))?;
            let labels = topics.get(&id).cloned().unwrap_or_default();
            let part = Some(part);
            story = Some(RawDocument { text: String::new(), labels, part, group: None });
        } else if line.trim() != ".W" && !line.trim().is_empty() {
            let story = story
                .as_mut()
                .ok_or_else(|| problem("words before the first `.I ID` line".to_owned()))?;
            story.text.push_str(line);
            story.text.push(' ');
        }
    }
    documents.extend(story);
    Ok(())
}
