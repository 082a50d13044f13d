//! A document: as it is read, with the names of its labels, and as it is learnt from.

use bauta_datasets::Split;

/// A document as a file holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawDocument {
    /// Its text.
    pub text: String,
    /// The names of its labels, in any order.
    pub labels: Vec<String>,
    /// The part that its source puts it in; `None` where the source has no parts.
    pub part: Option<Split>,
    /// What it must stay together with: documents of one group are never divided between
    /// training and test. `None`: its text.
    pub group: Option<String>,
}

/// A document of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its text.
    pub text: String,
    /// The numbers of its labels, rising.
    pub labels: Vec<u32>,
}
