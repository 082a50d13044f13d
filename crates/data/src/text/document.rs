//! Documents: as they are read, with the names of their labels, and as a corpus holds them.

use bauta_datasets::Split;

/// A document as a file holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawDocument {
    /// Its text.
    pub text: String,
    /// The names of its labels, in any order.
    pub labels: Vec<String>,
    /// The part that its source puts it in; `None` if the source has no parts.
    pub part: Option<Split>,
    /// Its group: documents of one group are never divided between training and test. If `None`,
    /// its text is its group.
    pub group: Option<String>,
}

/// A document of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its text.
    pub text: String,
    /// The numbers of its labels, ascending.
    pub labels: Vec<u32>,
}

/// A file's bytes without the byte order mark that some editors put before UTF-8.
pub(super) fn unmarked(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}
