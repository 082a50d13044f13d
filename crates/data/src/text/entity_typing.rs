//! Fine-grained entity typing: mentions in sentences, with types that are paths such as
//! `/person/artist`.
//!
//! The common files of FIGER, OntoNotes and BBN have one sentence per line, with `tokens` and
//! `mentions` of `start`, `end` (exclusive) and `labels`; ultra-fine typing has one mention per
//! line. Either way, each mention becomes a document: its sentence as it is, and its own words once
//! more with the prefix `m_`, so that a bag of words can tell them apart.

use bauta_datasets::Split;
use serde::Deserialize;

use super::document::RawDocument;

/// A sentence with its mentions.
#[derive(Deserialize)]
pub(super) struct Sentence {
    tokens: Vec<String>,
    mentions: Vec<Span>,
}

#[derive(Deserialize)]
struct Span {
    start: usize,
    end: usize,
    labels: Vec<String>,
}

/// A mention with the words around it.
#[derive(Deserialize)]
pub(super) struct Mention {
    #[serde(default)]
    left_context_token: Vec<String>,
    mention_span: String,
    #[serde(default)]
    right_context_token: Vec<String>,
    y_str: Vec<String>,
}

impl Sentence {
    /// One document per mention; those of a sentence stay together.
    pub(super) fn documents(self, part: Option<Split>) -> Result<Vec<RawDocument>, String> {
        let group = self.tokens.join(" ");
        let document = |span: Span| {
            let Span { start, end, labels } = span;
            if start >= end || end > self.tokens.len() {
                let count = self.tokens.len();
                return Err(format!("mention {start}..{end} is not a span of {count} tokens"));
            }
            let text = marked(&group, self.tokens[start..end].iter().map(String::as_str));
            Ok(RawDocument { text, labels, part, group: Some(group.clone()) })
        };
        self.mentions.into_iter().map(document).collect()
    }
}

impl Mention {
    /// Its document.
    pub(super) fn document(self, part: Option<Split>) -> RawDocument {
        let span = self.mention_span.clone();
        let words = [self.left_context_token, vec![self.mention_span], self.right_context_token];
        let group = words.concat().join(" ");
        let text = marked(&group, span.split_whitespace());
        RawDocument { text, labels: self.y_str, part, group: Some(group) }
    }
}

fn marked<'a>(sentence: &str, mention: impl Iterator<Item = &'a str>) -> String {
    mention.fold(sentence.to_owned(), |text, word| format!("{text} m_{word}"))
}
