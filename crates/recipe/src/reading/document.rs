//! Settings before they have types: a tree of values that remember where they stand.
//!
//! The layers (file, its `[quick]` table, overrides) are merged here, so that
//! the typed reading that follows can name the place of each value.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::bounds::{MOST_FILE, MOST_KEY, MOST_OVERRIDE, shown};
use super::error::{Place, SettingsError};

/// A value and where it was written.
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// A TOML value. Dates are read as the text that stands in the file.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Array(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

impl Node {
    /// Parses a whole file.
    pub(crate) fn parse(text: &str, file: &Path) -> Result<Self, SettingsError> {
        let reader = FileReader::new(text, file);
        if text.len() > MOST_FILE {
            return Err(SettingsError::Syntax {
                place: Place::File(reader.file),
                message: format!("the file has more than {MOST_FILE} bytes"),
            });
        }
        let table = DeTable::parse(text).map_err(|error| SettingsError::Syntax {
            place: error.span().map_or(Place::File(reader.file.clone()), |s| reader.at(s.start)),
            message: error.message().to_owned(),
        })?;
        let place = Place::File(reader.file.clone());
        Ok(Self { value: reader.table(table.into_inner())?, place })
    }

    /// An empty table, named `what` in errors.
    pub(crate) fn empty(what: &str) -> Self {
        let place = Place::File(Path::new(what).into());
        Self { value: Value::Table(BTreeMap::new()), place }
    }

    /// The same values as a reduced form of their file, which is laid over the rest of it.
    pub(crate) fn reduced(self) -> Self {
        let place = match self.place {
            Place::Line { file, line } => Place::Reduced { file, line },
            place => place,
        };
        let value = match self.value {
            Value::Table(entries) => {
                let entries = entries.into_iter().map(|(key, node)| (key, node.reduced()));
                Value::Table(entries.collect())
            }
            value => value,
        };
        Self { value, place }
    }

    /// Takes the entries `keys` out of a table, into one of their own.
    pub(crate) fn split_off(&mut self, keys: &[&str]) -> Self {
        let entries = keys.iter().filter_map(|&key| Some((key.to_owned(), self.remove(key)?)));
        Self { value: Value::Table(entries.collect()), place: self.place.clone() }
    }

    /// Takes the entry `key` out of a table.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Self> {
        match &mut self.value {
            Value::Table(entries) => entries.remove(key),
            _ => None,
        }
    }

    /// Puts `node` at a dotted key: tables are merged, anything else replaced.
    pub(crate) fn set(&mut self, dotted: &str, node: Self) {
        let (head, rest) = match dotted.split_once('.') {
            Some((head, rest)) => (head, Some(rest)),
            None => (dotted, None),
        };
        if !matches!(self.value, Value::Table(_)) {
            *self = Self { value: Value::Table(BTreeMap::new()), place: node.place.clone() };
        }
        let Value::Table(entries) = &mut self.value else { unreachable!("made a table above") };
        match rest {
            Some(rest) => entries
                .entry(head.to_owned())
                .or_insert_with(|| Self {
                    value: Value::Table(BTreeMap::new()),
                    place: node.place.clone(),
                })
                .set(rest, node),
            None => match (entries.get_mut(head), node.value) {
                (Some(old), Value::Table(new)) if matches!(old.value, Value::Table(_)) => {
                    new.into_iter().for_each(|(key, node)| old.set(&key, node));
                }
                (_, value) => {
                    entries.insert(head.to_owned(), Self { value, place: node.place });
                }
            },
        }
    }

    /// The place to name for conflicting values: that of an override, which the user has just
    /// typed, or else of the first key that is written.
    pub(crate) fn place_of_any<K: AsRef<str>>(&self, keys: &[K]) -> &Place {
        let places: Vec<&Place> =
            keys.iter().filter_map(|key| self.place_of(key.as_ref())).collect();
        let overridden = places.iter().find(|place| matches!(place, Place::Override(_)));
        overridden.or(places.first()).copied().unwrap_or(&self.place)
    }

    /// The place of a dotted key, if it is written.
    pub(crate) fn place_of(&self, dotted: &str) -> Option<&Place> {
        dotted.split('.').try_fold(self, Self::entry).map(|node| &node.place)
    }

    fn entry<'a>(&'a self, key: &str) -> Option<&'a Self> {
        match &self.value {
            Value::Table(entries) => entries.get(key),
            _ => None,
        }
    }
}

/// One `--set key=value`: the value as TOML, or else the text itself.
pub(crate) fn parse_override(assignment: &str) -> Result<(String, Node), SettingsError> {
    let refuse = || SettingsError::Assignment(assignment.to_owned());
    if assignment.len() > MOST_OVERRIDE {
        return Err(refuse());
    }
    let (key, text) = assignment.split_once('=').ok_or_else(refuse)?;
    let key = key.trim();
    if key.split('.').any(|part| part.trim().is_empty()) {
        return Err(refuse());
    }
    let place = Place::Override(assignment.into());
    check_length(key, || place.clone())?;
    let value = match DeValue::parse(text.trim()) {
        Ok(value) => convert(value, &|_| place.clone())?.value,
        Err(_) => Value::String(text.to_owned()),
    };
    Ok((key.to_owned(), Node { value, place }))
}

/// Refuses a key longer than any known one before it is compared with them.
fn check_length(key: &str, place: impl FnOnce() -> Place) -> Result<(), SettingsError> {
    if key.len() <= MOST_KEY {
        return Ok(());
    }
    let key = shown(key).into_owned();
    Err(SettingsError::UnknownKey { place: place(), key, nearest: None })
}

/// Turns byte offsets of one file into lines.
struct FileReader {
    file: Arc<Path>,
    /// The offsets at which lines end, in order.
    line_ends: Vec<usize>,
}

impl FileReader {
    fn new(text: &str, file: &Path) -> Self {
        Self { file: file.into(), line_ends: text.match_indices('\n').map(|(at, _)| at).collect() }
    }

    fn at(&self, offset: usize) -> Place {
        let line = 1 + self.line_ends.partition_point(|&end| end < offset);
        Place::Line { file: self.file.clone(), line: line as u32 }
    }

    fn table(&self, table: DeTable<'_>) -> Result<Value, SettingsError> {
        convert_table(table, &|offset| self.at(offset))
    }
}

fn convert(
    value: Spanned<DeValue<'_>>,
    at: &dyn Fn(usize) -> Place,
) -> Result<Node, SettingsError> {
    let place = at(value.span().start);
    let too_large = |text: &str| SettingsError::Syntax {
        place: place.clone(),
        message: format!(
            "the number {} does not fit; whole numbers go from {} to {}",
            shown(text),
            i64::MIN,
            i64::MAX
        ),
    };
    let value = match value.into_inner() {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Integer(number) => Value::Integer(
            i64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| too_large(number.as_str()))?,
        ),
        DeValue::Float(number) => {
            Value::Float(number.as_str().parse().map_err(|_| too_large(number.as_str()))?)
        }
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Datetime(value) => Value::String(value.to_string()),
        DeValue::Array(values) => Value::Array(
            values.into_iter().map(|value| convert(value, at)).collect::<Result<_, _>>()?,
        ),
        DeValue::Table(table) => convert_table(table, at)?,
    };
    Ok(Node { value, place })
}

/// An entry has the place of its key, even a table from a dotted header.
fn convert_table(table: DeTable<'_>, at: &dyn Fn(usize) -> Place) -> Result<Value, SettingsError> {
    let mut entries = BTreeMap::new();
    for (key, value) in table {
        let place = at(key.span().start);
        check_length(key.get_ref(), || place.clone())?;
        entries.insert(key.into_inner().into_owned(), Node { place, ..convert(value, at)? });
    }
    Ok(Value::Table(entries))
}
