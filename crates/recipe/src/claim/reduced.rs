//! The reduced forms of a claim: its tables `[quick]` and `[small]`.

use serde::{Deserialize, Serialize};

use super::file::{Label, check_seeds};
use super::settings::{axis_settings, entry_mut, invalid, take_entries};
use super::{Claim, Entry};
use crate::reading::document::Node;
use crate::reading::{Place, SettingsError};

/// How large a claim's runs are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// The claim as written.
    #[default]
    Full,
    /// With its `[small]` table: the smallest size at which training makes a difference; minutes to
    /// half an hour.
    Small,
    /// With its `[quick]` table, to see whether the experiment runs; a few minutes.
    Quick,
}

impl Size {
    /// The size that a command's two flags ask for.
    pub fn of(quick: bool, small: bool) -> Self {
        match (quick, small) {
            (true, _) => Self::Quick,
            (false, true) => Self::Small,
            (false, false) => Self::Full,
        }
    }

    /// Name of the table in the claim's file and of the command's flag; `None` for the full size.
    pub fn table(self) -> Option<&'static str> {
        match self {
            Self::Full => None,
            Self::Small => Some("small"),
            Self::Quick => Some("quick"),
        }
    }

    /// Name under which the runs of a claim are stored: `NAME`, `NAME-small`, `NAME-quick`.
    pub fn file_name(self, claim: &str) -> String {
        self.table().map_or_else(|| claim.to_owned(), |table| format!("{claim}-{table}"))
    }

    /// Splits a name from [`Size::file_name`] into the claim's name and the size.
    pub fn of_file_name(name: &str) -> (&str, Self) {
        let sizes = [Self::Small, Self::Quick];
        let found = sizes.into_iter().find_map(|size| {
            let claim = name.strip_suffix(size.table()?)?.strip_suffix('-')?;
            Some((claim, size))
        });
        found.unwrap_or((name, Self::Full))
    }
}

/// The part of a reduced form whose keys are fixed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reduction {
    #[serde(default)]
    recipe: Option<String>,
    #[serde(default)]
    seeds: Option<Vec<u64>>,
    #[serde(default)]
    settings: Option<Vec<Label>>,
}

/// The part of a reduced form whose keys are free: values of the axis, and keys of the recipe.
#[derive(Default)]
pub(super) struct Open {
    values: Option<Node>,
    set: Vec<Entry>,
}

impl Open {
    /// Takes this part out of a table of the claim.
    pub(super) fn take(document: &mut Node, table: &str) -> Result<Self, SettingsError> {
        let Some(node) = entry_mut(document, table) else { return Ok(Self::default()) };
        Ok(Self { values: node.remove("values"), set: take_entries(node, "set")? })
    }
}

impl Claim {
    /// Lays a reduced form, written at `place`, over the claim.
    pub(super) fn reduced(
        mut self,
        size: Size,
        reduction: Reduction,
        Open { values, set }: Open,
        place: &Place,
    ) -> Result<Self, SettingsError> {
        let table = size.table().unwrap_or_default();
        if let Some(seeds) = reduction.seeds {
            check_seeds(&format!("{table}.seeds"), &seeds, place)?;
            self.seeds = seeds;
        }
        if let Some(recipe) = reduction.recipe {
            self.recipe = recipe;
            self.recipe_place = place.clone();
        }
        match (&self.axis, values, reduction.settings) {
            (Some(key), Some(values), None) => {
                self.settings = axis_settings(key, &format!("{table}.values"), values)?;
            }
            (None, None, Some(names)) => {
                let known: Vec<String> = self.settings.iter().map(|s| s.label.clone()).collect();
                if let Some(Label(found)) = names.iter().find(|name| !known.contains(&name.0)) {
                    let known = known.join(", ");
                    let message = format!("{table}.settings: {found:?} is not one of {known}");
                    return Err(invalid(place, message));
                }
                self.settings.retain(|s| names.iter().any(|name| name.0 == s.label));
                if self.settings.is_empty() {
                    return Err(invalid(place, format!("{table}.settings is empty")));
                }
            }
            (_, None, None) => {}
            (Some(_), ..) => {
                let message = format!(
                    "{table}.settings needs [[setting]] tables; this claim has an [axis]: use \
                     {table}.values"
                );
                return Err(invalid(place, message));
            }
            (None, ..) => {
                let message = format!(
                    "{table}.values needs an [axis]; this claim has [[setting]] tables: use \
                     {table}.settings"
                );
                return Err(invalid(place, message));
            }
        }
        self.set.extend(set);
        self.size = size;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_off_what_runs_are_filed_under() {
        for size in [Size::Full, Size::Small, Size::Quick] {
            assert_eq!(Size::of_file_name(&size.file_name("mae-target")), ("mae-target", size));
        }
        assert_eq!(Size::of_file_name("unquick"), ("unquick", Size::Full));
    }
}
