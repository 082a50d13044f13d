//! Settings in layers: a file, its own `[quick]` table, then overrides.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::checks::{Checked, Violation};
use super::document::{Node, Value, parse_override};
use super::error::SettingsError;
use super::keys::keys_of;
use super::typed::read;
use crate::paths;

/// The layers over a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// Lay the file's own `[quick]` table over it.
    pub quick: bool,
    /// Overrides as `key=value`, later ones over earlier ones.
    ///
    /// A value is read as TOML, or else taken as a string: `train.epochs=2`,
    /// `data.image_size=[32, 64]`, `data.root=/srv/images`.
    pub set: Vec<String>,
}

impl Layers {
    /// The overrides alone.
    pub fn of(set: &[String]) -> Self {
        Self { quick: false, set: set.to_vec() }
    }

    /// Parses a file's text and lays everything over it; `path` is only named in errors.
    pub(crate) fn over(&self, text: &str, path: &Path) -> Result<Node, SettingsError> {
        let mut document = Node::parse(text, path)?;
        let quick = document.remove("quick");
        if self.quick {
            match quick {
                Some(Node { value: Value::Table(entries), .. }) => {
                    let entries = entries.into_iter();
                    entries.for_each(|(key, node)| document.set(&key, node.reduced()));
                }
                _ => return Err(SettingsError::NoQuick(path.to_owned())),
            }
        }
        set_all(&mut document, &self.set)?;
        Ok(document)
    }
}

/// Reads settings that have no file: the defaults of `T` under overrides, `key=value` each.
///
/// `what` names them where no override is at fault, as in "the settings of fine-tuning".
///
/// # Errors
/// [`SettingsError`], which names the override and what is accepted.
pub fn overrides<T: DeserializeOwned + Checked>(
    what: &str,
    set: &[String],
) -> Result<T, SettingsError> {
    let mut document = Node::empty(what);
    set_all(&mut document, set)?;
    let settings: T = read(&document, &keys_of::<T>(""))?;
    paths::check(&document)?;
    settings.check().map_err(|violation| at_place(violation, &document))?;
    Ok(settings)
}

/// The error for a violation, at the place of the keys that it names.
pub(crate) fn at_place(violation: Violation, document: &Node) -> SettingsError {
    let place = document.place_of_any(&violation.keys).clone();
    SettingsError::Invalid { place, message: violation.message }
}

fn set_all(document: &mut Node, assignments: &[String]) -> Result<(), SettingsError> {
    assignments.iter().try_for_each(|assignment| {
        let (key, node) = parse_override(assignment)?;
        document.set(&key, node);
        Ok(())
    })
}
