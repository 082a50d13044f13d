//! Errors of serde on their way up, until key and place are known.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use super::error::{Place, SettingsError};
use super::keys::{dotted, is_table, tables_of};
use super::nearest::nearest;

/// What serde found wrong, without the key and the place.
#[derive(Debug)]
pub(super) enum Problem {
    UnknownKey,
    MissingKey(&'static str),
    UnknownValue { found: String, known: &'static [&'static str] },
    Type { expected: String, found: String },
    Other(String),
}

/// A problem on its way up, collecting its key and the innermost place.
#[derive(Debug)]
pub struct Fault {
    problem: Problem,
    /// The parts of the dotted key, innermost first.
    parts: Vec<String>,
    place: Option<Place>,
}

impl Fault {
    pub(super) fn new(problem: Problem) -> Self {
        Self { problem, parts: Vec::new(), place: None }
    }

    pub(super) fn within(mut self, part: &str, place: &Place) -> Self {
        self.parts.push(part.to_owned());
        self.place.get_or_insert_with(|| place.clone());
        self
    }

    /// Sets the place of the array or table that holds the value, unless a place is set.
    pub(super) fn placed(mut self, place: &Place) -> Self {
        self.place.get_or_insert_with(|| place.clone());
        self
    }

    /// The error to show, given the whole document's place and every known key; `lacking` lists all
    /// the keys that a table lacks.
    pub(super) fn into_error(
        self,
        document: &Place,
        known_keys: &[String],
        lacking: impl FnOnce(&str) -> Vec<String>,
    ) -> SettingsError {
        let place = self.place.unwrap_or_else(|| document.clone());
        let parts: Vec<&str> = self.parts.iter().rev().map(String::as_str).collect();
        let key = parts.join(".");
        match self.problem {
            Problem::UnknownKey => {
                // An override's first unknown part may be a table; its whole key says more.
                let key = match &place {
                    Place::Override(text) => text.split('=').next().unwrap_or(&key).trim(),
                    _ => &key,
                };
                let tables = known_keys.iter().flat_map(|key| tables_of(key));
                let nearest = nearest(key, known_keys.iter().map(String::as_str).chain(tables));
                let nearest = nearest.map(str::to_owned);
                SettingsError::UnknownKey { key: key.to_owned(), nearest, place: place.clone() }
            }
            Problem::MissingKey(name) => {
                let mut missing = lacking(&key);
                let first = dotted(&key, name);
                if !missing.contains(&first) {
                    missing = vec![first];
                }
                let (tables, keys) =
                    missing.into_iter().partition(|name| is_table(name, known_keys));
                SettingsError::Missing { place, keys, tables }
            }
            Problem::UnknownValue { found, known } => SettingsError::UnknownValue {
                place,
                key,
                nearest: nearest(&found, known.iter().copied()).map(str::to_owned),
                known: known.iter().map(|&name| name.to_owned()).collect(),
                found,
            },
            Problem::Type { expected, found } => {
                SettingsError::Type { place, key, expected, found }
            }
            Problem::Other(message) => {
                SettingsError::Invalid { place, message: format!("{key}: {message}") }
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.problem)
    }
}

impl std::error::Error for Fault {}

impl Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Problem::Other(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Problem::Type { expected: plain(expected, ""), found: show(found) })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Problem::Type { expected: plain(expected, " of at least 0"), found: show(found) })
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        let expected = plain(expected, "");
        Self::new(Problem::Type { expected, found: format!("{length} values") })
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownValue { found: found.to_owned(), known })
    }

    fn unknown_field(_: &str, _: &'static [&'static str]) -> Self {
        Self::new(Problem::UnknownKey)
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(Problem::MissingKey(key))
    }
}

/// Puts into words what serde expresses as Rust types.
fn plain(expected: &dyn Expected, range: &str) -> String {
    match expected.to_string().as_str() {
        "u64" | "usize" => format!("an integer{range}"),
        "u32" if range.is_empty() => "an integer".to_owned(),
        "u32" => format!("an integer from 0 to {}", u32::MAX),
        "f32" | "f64" => "a number".to_owned(),
        "path string" => "a path in quotes".to_owned(),
        words if words.starts_with("struct ") => "a table".to_owned(),
        words => match words.strip_prefix("an array of length ") {
            Some(length) => format!("an array of {length} values"),
            None => words.replace("a boolean", "true or false"),
        },
    }
}

pub(super) fn show(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Signed(value) => format!("integer {value}"),
        Unexpected::Unsigned(value) => format!("integer {value}"),
        Unexpected::Float(value) => format!("number {value}"),
        Unexpected::Str(text) => format!("string {text:?}"),
        Unexpected::Seq => "an array".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}
