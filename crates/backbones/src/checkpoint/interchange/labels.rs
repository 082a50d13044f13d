//! Keys for names of classes and architectures, as in Hugging Face's files. They do not affect the
//! outputs, so a model is read whatever their values.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Hugging Face's default name of a class.
fn label(class: usize) -> String {
    format!("LABEL_{class}")
}

/// The default names of `classes` classes by index.
pub(super) fn id2label(classes: usize) -> BTreeMap<usize, String> {
    (0..classes).map(|class| (class, label(class))).collect()
}

/// The reverse of [`id2label`].
pub(super) fn label2id(classes: usize) -> BTreeMap<String, usize> {
    (0..classes).map(|class| (label(class), class)).collect()
}

/// Reads names by index; `None` if one of them is not a name or has no index.
pub(super) fn read_id2label<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeMap<usize, String>>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let entry =
        |(class, name): (&String, &Value)| Some((class.parse().ok()?, name.as_str()?.to_owned()));
    Ok(value.as_object().and_then(|names| names.iter().map(entry).collect()))
}

/// Reads indices by name, which some tools write as strings; `None` if one of them is not an index.
pub(super) fn read_label2id<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeMap<String, usize>>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let index = |value: &Value| match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|index| usize::try_from(index).ok()),
    };
    let entry = |(name, value): (&String, &Value)| Some((name.clone(), index(value)?));
    Ok(value.as_object().and_then(|names| names.iter().map(entry).collect()))
}

/// Reads the names of architectures; empty if the value is not a list of names.
pub(super) fn read_architectures<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let names = value.as_array().into_iter().flatten();
    Ok(names.filter_map(|name| name.as_str().map(str::to_owned)).collect())
}
