//! Checks the paths that a recipe names, by their text alone.

use std::path::Path;

use crate::reading::SettingsError;
use crate::reading::document::{Node, Value};

/// The last parts of the keys that take a path.
const KEYS: [&str; 5] = ["root", "init", "model", "encoder", "vocabulary"];

/// Refuses paths that are empty, and those whose `~` no shell has expanded.
///
/// # Errors
/// [`SettingsError::Invalid`] with the key, its place and what to do.
pub(crate) fn check(document: &Node) -> Result<(), SettingsError> {
    check_table("", document)
}

fn check_table(table: &str, node: &Node) -> Result<(), SettingsError> {
    let Value::Table(entries) = &node.value else { return Ok(()) };
    for (name, node) in entries {
        let key = if table.is_empty() { name.clone() } else { format!("{table}.{name}") };
        match &node.value {
            Value::String(path) if !table.is_empty() && KEYS.contains(&name.as_str()) => {
                if let Some(message) = fault(&key, path) {
                    return Err(SettingsError::Invalid { place: node.place.clone(), message });
                }
            }
            _ => check_table(&key, node)?,
        }
    }
    Ok(())
}

/// Why a text is not a usable path, if it is not.
fn fault(key: &str, path: &str) -> Option<String> {
    if path.trim().is_empty() {
        return Some(format!("{key} is empty; it must be a path"));
    }
    let rest = path.strip_prefix("~/")?;
    (!Path::new(path).exists()).then(|| {
        format!(
            "{key} is {path}, but no shell has expanded its ~; give the full path, such as \
             \"$HOME/{rest}\" where a shell reads it"
        )
    })
}
