//! What can be wrong with settings, said in one or two lines.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Place {
    /// A file as a whole, or the name of settings that have none: the key is missing or has its default.
    #[error("{}", .0.display())]
    File(Arc<Path>),
    /// A line of a file, counted from 1.
    #[error("{}:{line}", file.display())]
    Line {
        /// The file, as it was named by the caller.
        file: Arc<Path>,
        /// The line.
        line: u32,
    },
    /// An override, as it was written: `key=value`.
    #[error("--set {0}")]
    Override(Arc<str>),
}

impl Place {
    /// Whether what stands here was laid over what stands there: an override over a file,
    /// or one file over another.
    pub(crate) fn lies_over(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Override(_), Self::Override(_)) => false,
            (Self::Override(_), _) => true,
            (Self::Line { file, .. }, Self::Line { file: other, .. }) => file != other,
            _ => false,
        }
    }
}

/// Unusable settings. The message names the key, where it stands and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Not TOML.
    #[error("{place}: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        message: String,
    },
    /// An override that is not `key=value`.
    #[error("--set {0}: expected key=value, such as train.epochs=2")]
    Assignment(String),
    /// The reduced setting of a file that has none.
    #[error("{}: --quick needs a [quick] table, and this file has none", .0.display())]
    NoQuick(PathBuf),
    /// A key that nothing reads.
    #[error("{place}: unknown key {key}{}", did_you_mean(nearest))]
    UnknownKey {
        /// Where it was written.
        place: Place,
        /// The key.
        key: String,
        /// The known key most like it.
        nearest: Option<String>,
    },
    /// A key that must be given.
    #[error("{place}: missing key {key}")]
    MissingKey {
        /// The table or file that lacks it.
        place: Place,
        /// The key.
        key: String,
    },
    /// A table that must be given.
    #[error("{place}: missing table {key}")]
    MissingTable {
        /// The table or file that lacks it.
        place: Place,
        /// Its dotted name.
        key: String,
    },
    /// A name that the key does not take.
    #[error(
        "{place}: {key} {found:?} is not known{}; known: {}",
        did_you_mean(nearest), known.join(", ")
    )]
    UnknownValue {
        /// Where it was written.
        place: Place,
        /// The key.
        key: String,
        /// The name.
        found: String,
        /// The known name most like it.
        nearest: Option<String>,
        /// The names that it takes.
        known: Box<[String]>,
    },
    /// A value of the wrong type or outside the type's range.
    #[error("{place}: {}expected {expected}, found {found}", key_unless_shown(place, key))]
    Type {
        /// Where it was written.
        place: Place,
        /// The key.
        key: String,
        /// What the key takes.
        expected: String,
        /// What was written.
        found: String,
    },
    /// Values of the right types that make no sense.
    #[error("{place}: {message}")]
    Invalid {
        /// Where the offending value was written.
        place: Place,
        /// Names the key, its value and what would do.
        message: String,
    },
}

pub(crate) fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// An override shows its own key; repeating it would say it twice.
fn key_unless_shown(place: &Place, key: &str) -> String {
    match place {
        Place::Override(text) if text.split('=').next().is_some_and(|k| k.trim() == key) => {
            String::new()
        }
        _ => format!("{key}: "),
    }
}
