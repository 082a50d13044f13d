//! Document data sets by name, and their options.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::fetch::{PACKAGES, Package};

/// A corpus of labelled documents, by the name that recipes use.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum CorpusName {
    /// 21,578 news stories of 1987 with 119 topics, divided by their date.
    Reuters,
    /// Descriptions of Debian's packages with the tags that people gave them.
    Debtags,
    /// Generated documents: a tree of labels whose best thresholds are known.
    Tree,
    /// Your own documents: CSV, JSON lines, or another layout of `docs/your-own-data.md`.
    Documents,
}

impl CorpusName {
    /// Its package; `None` if it is generated or in a user's folder.
    pub fn package(self) -> Option<&'static Package> {
        PACKAGES.iter().find(|package| package.name == <&str>::from(self))
    }
}

/// Options for building a corpus from documents.
#[derive(Clone, Debug, PartialEq)]
pub struct CorpusOptions {
    /// Minimum number of training documents (meta part included) of a label that is learnt.
    pub min_train: usize,
    /// Minimum number of test documents of a label that is learnt.
    pub min_test: usize,
    /// The fraction held out for testing if the source has no official split, in (0, 1).
    pub holdout: f64,
    /// The fraction of the training documents that becomes the meta part, in (0, 1).
    pub meta: f64,
    /// Maximum number of training documents; the first ones are kept.
    pub limit: Option<usize>,
    /// Keep documents without any of the labels, as negatives for all of them.
    pub keep_unlabelled: bool,
}

impl Default for CorpusOptions {
    /// Every label that occurs in training and test, a fifth for testing, a tenth as meta part.
    fn default() -> Self {
        Self {
            min_train: 1,
            min_test: 1,
            holdout: 0.2,
            meta: 0.1,
            limit: None,
            keep_unlabelled: false,
        }
    }
}

/// Size and seed of a generated tree of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeOptions {
    /// Labels, at least 2.
    pub labels: usize,
    /// Number of children of a label.
    pub branching: usize,
    /// Documents, the last fifth of them test documents.
    pub documents: usize,
    /// Seed of the tree and its documents.
    pub seed: u64,
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self { labels: 24, branching: 3, documents: 8000, seed: 0 }
    }
}

/// A data set of documents with one class each, by the name that recipes use.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum TextDataset {
    /// 2,225 news articles of the BBC in five sections.
    BbcNews,
    /// 50,000 film reviews, for or against.
    Imdb,
    /// 6,046 e-mails without their headers, wanted or not.
    Spam,
    /// Stories of Reuters-21578 with exactly one of its eight most frequent topics.
    #[serde(rename = "reuters-8")]
    #[strum(serialize = "reuters-8")]
    Reuters8,
}

impl TextDataset {
    /// Its package.
    pub fn package(self) -> &'static Package {
        let wanted = match self {
            Self::Reuters8 => "reuters",
            other => other.into(),
        };
        let row = PACKAGES.iter().find(|package| package.name == wanted);
        row.expect("every data set has its row")
    }
}

/// Options for building a classification task from documents.
#[derive(Clone, Debug, PartialEq)]
pub struct TextTaskOptions {
    /// The fraction held out for testing if the source has no official split, in (0, 1).
    pub holdout: f64,
    /// The fraction of the training documents held out for validation, in (0, 1).
    pub validation: f64,
    /// Maximum number of training documents, including the validation part.
    pub limit: Option<usize>,
    /// Maximum number of test documents.
    pub test_limit: Option<usize>,
}

impl Default for TextTaskOptions {
    /// A fifth for testing, a tenth of the rest for validation, all documents.
    fn default() -> Self {
        Self { holdout: 0.2, validation: 0.1, limit: None, test_limit: None }
    }
}

/// The package of bert-base-uncased's `vocab.txt` and a `tokenizer.json` for it.
pub fn bert_vocabulary() -> &'static Package {
    PACKAGES.iter().find(|package| package.name == "minilm-l6").expect("the vocabulary has its row")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_recipes_write_and_have_a_row() {
        for &dataset in TextDataset::VARIANTS {
            assert_eq!(serde_json::to_string(&dataset).unwrap(), format!("\"{dataset}\""));
            assert!(!dataset.package().name.is_empty());
        }
        assert_eq!(bert_vocabulary().name, "minilm-l6");
    }
}
