//! Errors of settings, each message one or two lines long.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::bounds::{shown, shown_message};

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Place {
    /// A file as a whole, or the name of settings that have none: the key is missing or has its
    /// default.
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
    /// A line, counted from 1, of a reduced form of a file, which is laid over the rest of it.
    #[error("{}:{line}", file.display())]
    Reduced {
        /// The file, as it was named by the caller.
        file: Arc<Path>,
        /// The line.
        line: u32,
    },
    /// An override, as it was written: `key=value`.
    #[error("--set {}", shown(.0))]
    Override(Arc<str>),
}

impl Place {
    /// Whether a value at this place was laid over one at `other`: an override over a file, one
    /// file over another, or a file's reduced form over the rest of it.
    pub(crate) fn lies_over(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Override(_), Self::Override(_)) => false,
            (Self::Override(_), _) => true,
            (Self::Reduced { .. }, Self::Line { .. }) => true,
            (
                Self::Line { file, .. } | Self::Reduced { file, .. },
                Self::Line { file: other, .. } | Self::Reduced { file: other, .. },
            ) => file != other,
            _ => false,
        }
    }
}

/// Unusable settings. The message names the key, where it stands and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Not TOML.
    #[error("{place}: {}", shown_message(message))]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        message: String,
    },
    /// An override that is not `key=value`.
    #[error("--set {}: expected key=value, such as train.epochs=2", shown(.0))]
    Assignment(String),
    /// A reduced form asked of a file that has none.
    #[error("{}: --quick needs a [quick] table, and this file has none", .0.display())]
    NoQuick(PathBuf),
    /// An unknown key.
    #[error("{place}: unknown key {}{}", shown(key), did_you_mean(nearest))]
    UnknownKey {
        /// Where it was written.
        place: Place,
        /// The key.
        key: String,
        /// The known key most like it.
        nearest: Option<String>,
    },
    /// Keys and tables that must be given: all that one table lacks.
    #[error("{place}: missing {}", missing_in_words(keys, tables))]
    Missing {
        /// The table or file that lacks them.
        place: Place,
        /// The dotted keys.
        keys: Vec<String>,
        /// The dotted names of the tables.
        tables: Vec<String>,
    },
    /// A name that the key does not take.
    #[error(
        "{place}: {key} {:?} is not known{}; known: {}",
        shown(found), did_you_mean(nearest), known.join(", ")
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
    #[error("{place}: {}expected {expected}, found {}", key_unless_shown(place, key), shown(found))]
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
    #[error("{place}: {}", shown_message(message))]
    Invalid {
        /// Where the offending value was written.
        place: Place,
        /// Names the key, its value and what is accepted.
        message: String,
    },
}

impl SettingsError {
    /// Merges two errors that both report something missing in the same place; otherwise returns
    /// the first.
    pub(crate) fn with(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::Missing { place, mut keys, mut tables },
                Self::Missing { place: its, keys: its_keys, tables: its_tables },
            ) if place == its => {
                keys.extend(its_keys);
                tables.extend(its_tables);
                Self::Missing { place, keys, tables }
            }
            (first, _) => first,
        }
    }
}

/// `key a`, `keys a and b`, `key a and table t`.
fn missing_in_words(keys: &[String], tables: &[String]) -> String {
    let part = |what: &str, names: &[String]| match names {
        [] => None,
        [one] => Some(format!("{what} {one}")),
        several => Some(format!("{what}s {}", listed(several))),
    };
    let parts = [part("key", keys), part("table", tables)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.as_slice() {
        [most @ .., last] if !most.is_empty() => format!("{} and {last}", most.join(", ")),
        one => one.concat(),
    }
}

pub(crate) fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// Nothing for an override of this key, which already shows it; otherwise the key and a colon.
fn key_unless_shown(place: &Place, key: &str) -> String {
    match place {
        Place::Override(text) if text.split('=').next().is_some_and(|k| k.trim() == key) => {
            String::new()
        }
        _ => format!("{key}: "),
    }
}
