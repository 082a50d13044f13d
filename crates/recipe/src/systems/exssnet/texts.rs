//! The `texts` table: documents of one class each, one data set or folder per task.

use std::path::PathBuf;

use bauta_datasets::text::{TextDataset, TextTaskOptions, bert_vocabulary};
use serde::{Deserialize, Serialize};

use crate::data_need::DataNeed;
use crate::reading::{Violation, at_least_one, ensure, must_be, no_repeats, proper_fraction};

/// The documents of text tasks, and the frozen encoder that reads them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskTexts {
    /// The data sets, in the order in which they are learnt.
    #[serde(default)]
    pub names: Vec<TextDataset>,
    /// Instead of `names`: your own folder with one folder per task, learnt in the order of their
    /// names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Train on this many documents of each task, including those held out for validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The fraction held out for testing if the documents have no test part, in (0, 1).
    #[serde(default = "defaults::holdout")]
    pub holdout: f64,
    /// Word pieces of a document that are read, in 8..=512.
    #[serde(default = "defaults::tokens")]
    pub tokens: usize,
    /// The frozen encoder: a folder of a `BertModel` with its tokenizer; MiniLM-L6 if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<PathBuf>,
}

mod defaults {
    pub(super) fn holdout() -> f64 {
        0.2
    }
    pub(super) fn tokens() -> usize {
        64
    }
}

impl TaskTexts {
    /// How the documents become tasks.
    pub fn options(&self, validation: f64, test_limit: Option<usize>) -> TextTaskOptions {
        let Self { holdout, limit, .. } = *self;
        TextTaskOptions { holdout, validation, limit, test_limit }
    }

    /// What must be fetched: the data sets, and the encoder unless it is the user's.
    pub(super) fn needs(&self) -> Vec<DataNeed> {
        let need = |name: &'static str, package| DataNeed { name, package: Some(package) };
        let sets = self.names.iter().map(|&name| need(name.into(), name.package()));
        let encoder = self.encoder.is_none().then(|| {
            let package = bert_vocabulary();
            need(package.name, package)
        });
        sets.chain(encoder).collect()
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for the first value that makes no sense.
    pub fn check(&self) -> Result<(), Violation> {
        let keys = ["texts.names", "texts.root"];
        ensure(self.names.is_empty() == self.root.is_some(), &keys, || {
            format!(
                "texts.names and texts.root are {}; give one of them",
                if self.root.is_some() { "both given" } else { "both missing" }
            )
        })?;
        no_repeats("texts.names", &self.names)?;
        if let Some(limit) = self.limit {
            at_least_one("texts.limit", limit)?;
        }
        proper_fraction("texts.holdout", self.holdout)?;
        must_be((8..=512).contains(&self.tokens), "texts.tokens", self.tokens, "in 8..=512")
    }
}
