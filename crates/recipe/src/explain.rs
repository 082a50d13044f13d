//! Explains errors in a recipe's keys, given the keys of all systems.

use crate::error::RecipeError;
use crate::reading::document::Node;
use crate::reading::{SettingsError, is_table, listed, tables_of};
use crate::systems::System;
use strum::VariantArray;

/// The error to show for a recipe of `system`, whose keys are `own`.
pub(crate) fn explain(
    error: SettingsError,
    system: &str,
    own: &[String],
    document: &Node,
) -> RecipeError {
    match error {
        SettingsError::UnknownKey { place, key, nearest } => match foreign(&key, own) {
            Some(Foreign { key, kind, owners }) => {
                RecipeError::Foreign { place, key, kind, owners, system: system.to_owned() }
            }
            None => SettingsError::UnknownKey { place, key, nearest }.into(),
        },
        SettingsError::Missing { place, keys, tables } if keys.is_empty() => {
            let common = tables.iter().all(|table| table == "train");
            let needed_by =
                if common { "every recipe".to_owned() } else { format!("system \"{system}\"") };
            // A file without a line is of little help; the line that names the system is better.
            let nowhere = place == document.place && !common;
            let place = if nowhere { document.place_of_any(&["system"]).clone() } else { place };
            RecipeError::MissingTables { place, tables, needed_by }
        }
        error => error.into(),
    }
}

/// A key or table that other systems have.
struct Foreign {
    key: String,
    kind: &'static str,
    owners: String,
}

/// The key, or else the innermost of its tables, if other systems have it and `own` does not.
fn foreign(key: &str, own: &[String]) -> Option<Foreign> {
    let has =
        |keys: &[String], name: &str| keys.iter().any(|key| key == name) || is_table(name, keys);
    let names = std::iter::once(key).chain(tables_of(key).rev());
    for name in names.take_while(|name| !has(own, name)) {
        let owners: Vec<&System> =
            System::VARIANTS.iter().filter(|system| has(system.keys(), name)).collect();
        if let Some(first) = owners.first() {
            let kind = if is_table(name, first.keys()) { "a table" } else { "a key" };
            return Some(Foreign { key: name.to_owned(), kind, owners: in_words(&owners) });
        }
    }
    None
}

fn in_words(systems: &[&System]) -> String {
    let names: Vec<&str> = systems.iter().map(|&system| system.into()).collect();
    format!("{} {}", if names.len() == 1 { "system" } else { "systems" }, listed(&names))
}
