//! The settings that a claim compares, and the recipe keys that they set.

use super::{Entry, Setting};
use crate::reading::document::{Node, Value};
use crate::reading::{Place, SettingsError, nearest};
use crate::recipe::known_keys;

/// Maximum number of settings, and of seeds, of a claim.
const MOST_SETTINGS: usize = 1000;

/// The values of an axis as settings.
pub(super) fn axis_settings(
    key: &str,
    name: &str,
    values: Node,
) -> Result<Vec<Setting>, SettingsError> {
    let Value::Array(nodes) = values.value else {
        return Err(wrong(&values.place, name, "an array of values", &values.value));
    };
    let mut settings = Vec::new();
    for node in nodes {
        let number = match node.value {
            Value::Integer(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            Value::String(_) | Value::Boolean(_) => None,
            Value::Array(_) | Value::Table(_) => {
                let expected = "a number, a name, true or false";
                return Err(wrong(&node.place, name, expected, &node.value));
            }
        };
        let label = match &node.value {
            Value::String(text) => text.clone(),
            value => written(value),
        };
        settings.push(Setting { label, number, set: vec![Entry { key: key.to_owned(), node }] });
    }
    if settings.is_empty() {
        return Err(invalid(&values.place, format!("{name} is empty")));
    }
    check_labels(&settings, &values.place)?;
    Ok(settings)
}

/// The `set` of each `[[setting]]`, in order.
pub(super) fn named_sets(document: &mut Node) -> Result<Vec<Vec<Entry>>, SettingsError> {
    match entry_mut(document, "setting").map(|node| &mut node.value) {
        Some(Value::Array(nodes)) => {
            nodes.iter_mut().map(|node| take_entries(node, "set")).collect()
        }
        _ => Ok(Vec::new()),
    }
}

/// Takes out a table of recipe keys, nested or dotted, and checks that each key exists.
pub(super) fn take_entries(node: &mut Node, key: &str) -> Result<Vec<Entry>, SettingsError> {
    let Some(table) = node.remove(key) else { return Ok(Vec::new()) };
    if !matches!(table.value, Value::Table(_)) {
        return Err(wrong(&table.place, key, "a table of a recipe's keys", &table.value));
    }
    let mut entries = Vec::new();
    flatten("", table, &mut entries);
    for entry in &entries {
        check_key(&entry.key, &entry.node.place)?;
    }
    Ok(entries)
}

fn flatten(prefix: &str, node: Node, entries: &mut Vec<Entry>) {
    match node.value {
        Value::Table(children) => {
            for (key, child) in children {
                let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
                flatten(&key, child, entries);
            }
        }
        _ => entries.push(Entry { key: prefix.to_owned(), node }),
    }
}

/// Checks that a claim can vary a key: any of a recipe but the seed.
pub(super) fn check_key(key: &str, place: &Place) -> Result<(), SettingsError> {
    if key == "seed" {
        return Err(invalid(
            place,
            "seed cannot be set in a claim; list the seeds in seeds".to_owned(),
        ));
    }
    let known = known_keys();
    if known.iter().any(|known| known == key) {
        return Ok(());
    }
    let nearest = nearest(key, known.iter().map(String::as_str)).map(str::to_owned);
    Err(SettingsError::UnknownKey { place: place.clone(), key: key.to_owned(), nearest })
}

pub(super) fn check_labels(settings: &[Setting], place: &Place) -> Result<(), SettingsError> {
    check_number("settings", settings.len(), place)?;
    for (i, Setting { label, .. }) in settings.iter().enumerate() {
        if label.is_empty() {
            return Err(invalid(place, "a value has no name".to_owned()));
        }
        if settings[..i].iter().any(|earlier| earlier.label == *label) {
            return Err(invalid(place, format!("{label} is listed twice")));
        }
    }
    Ok(())
}

/// Checks the number of settings or seeds: each is a run, and is compared with all others.
pub(super) fn check_number(what: &str, number: usize, place: &Place) -> Result<(), SettingsError> {
    if number <= MOST_SETTINGS {
        return Ok(());
    }
    Err(invalid(
        place,
        format!("the claim has {number} {what}; it must have at most {MOST_SETTINGS}"),
    ))
}

pub(super) fn entry_mut<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    match &mut node.value {
        Value::Table(entries) => entries.get_mut(key),
        _ => None,
    }
}

pub(super) fn missing(place: &Place, key: &str) -> SettingsError {
    let keys = vec![key.to_owned()];
    SettingsError::Missing { place: place.clone(), keys, tables: Vec::new() }
}

pub(super) fn invalid(place: &Place, message: String) -> SettingsError {
    SettingsError::Invalid { place: place.clone(), message }
}

pub(super) fn wrong(place: &Place, key: &str, expected: &str, found: &Value) -> SettingsError {
    let found = match found {
        Value::Array(_) => "an array".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        value => written(value),
    };
    let (key, expected) = (key.to_owned(), expected.to_owned());
    SettingsError::Type { place: place.clone(), key, expected, found }
}

/// A value as TOML writes it.
pub(super) fn written(value: &Value) -> String {
    match value {
        Value::String(text) => toml::Value::from(text.as_str()).to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(value) => value.to_string(),
        Value::Array(nodes) => {
            let parts: Vec<String> = nodes.iter().map(|node| written(&node.value)).collect();
            format!("[{}]", parts.join(", "))
        }
        Value::Table(_) => "{ … }".to_owned(),
    }
}
