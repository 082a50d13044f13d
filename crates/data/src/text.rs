//! Documents with labels: from files to the numbers that a text classifier reads.
//!
//! [`open_corpus`] reads documents in the layout that it detects (see [`CorpusName`] and
//! [`read_folder`]), removes those that would mislead ([`LeftOut`] counts them), keeps the labels
//! that occur often enough, and divides the documents into a training part, a *meta* part held out
//! of it, and a test part. A [`Vectorizer`] turns text into hashed words with tf-idf weights.
//!
//! ```
//! use bauta_data::text::{Corpus, CorpusOptions, RawDocument, Vectorizer};
//!
//! let document = |text: &str, labels: &[&str]| RawDocument {
//!     text: text.to_owned(),
//!     labels: labels.iter().map(|&label| label.to_owned()).collect(),
//!     ..RawDocument::default()
//! };
//! let mut raw: Vec<RawDocument> = (0..100)
//!     .map(|i| document(&format!("wheat and corn, lot {i}"), &["grain", "corn"]))
//!     .chain((0..100).map(|i| document(&format!("barrels of crude oil, lot {i}"), &["crude"])))
//!     .collect();
//! raw.push(document("", &["crude"]));
//! let options = CorpusOptions { holdout: 0.2, meta: 0.1, ..CorpusOptions::default() };
//! let corpus = Corpus::build(raw, &options)?;
//! assert_eq!(corpus.left_out.without_text, 1);
//! assert_eq!(corpus.labels.len(), 3);
//!
//! let texts: Vec<&str> = corpus.train.iter().map(|document| document.text.as_str()).collect();
//! let vectorizer = Vectorizer::fit(&texts, 4096)?;
//! let bag = vectorizer.bag("Crude OIL");
//! assert_eq!(bag.ids.len(), 2);
//! # Ok::<(), bauta_data::DataError>(())
//! ```

mod corpus;
mod csv_file;
mod document;
mod entity_typing;
mod folder;
mod json_lines;
mod label_list;
mod rcv1;
mod reuters_json;
mod reuters_sgml;
mod text_task;
mod tokens;
mod tree;
mod vectorizer;
mod word_pieces;

use std::path::Path;

use bauta_datasets::DataError;
pub use bauta_datasets::text::{
    CorpusName, CorpusOptions, TextDataset, TextTaskOptions, TreeOptions, bert_vocabulary,
};

pub use corpus::{Corpus, LeftOut};
pub use document::{Document, RawDocument};
pub use folder::read_folder;
pub use text_task::{ClassedText, TextTask};
pub use tokens::{for_each_word, word_hash};
pub use tree::LabelTree;
pub use vectorizer::{Bag, Vectorizer};
pub use word_pieces::{Encoded, Ends, WordPieces};

/// Opens the corpus in `root`; the layout is detected.
///
/// # Errors
/// When the files hold no documents, a file is malformed (the error names it and the line), or too
/// little is left to learn from.
pub fn open_corpus(root: &Path, options: &CorpusOptions) -> Result<Corpus, DataError> {
    Corpus::build(read_folder(root)?, options)
}
