//! Reads a claim's file: fixed keys through serde, the others by hand.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::reduced::{Open, Reduction};
use super::settings::{
    axis_settings, check_key, check_labels, check_number, entry_mut, invalid, missing, named_sets,
    take_entries, wrong,
};
use super::{Best, Claim, Margin, Narrowing, Paper, Relation, Setting, Size};
use crate::reading::document::{Node, Value};
use crate::reading::{Place, SettingsError, read as read_typed};

/// The keys of a claim, for suggestions.
const KEYS: [&str; 33] = [
    "source",
    "summary",
    "note",
    "recipe",
    "metric",
    "seeds",
    "best",
    "set",
    "axis",
    "axis.key",
    "axis.values",
    "setting",
    "setting.name",
    "setting.set",
    "paper",
    "paper.what",
    "paper.values",
    "holds.better",
    "holds.than",
    "holds.by",
    "holds.times",
    "holds.metric",
    "holds.than_metric",
    "narrows.metric",
    "narrows.than_metric",
    "quick.recipe",
    "quick.seeds",
    "quick.values",
    "quick.settings",
    "small.recipe",
    "small.seeds",
    "small.values",
    "small.settings",
];

/// The part of a claim whose keys are fixed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    source: String,
    summary: String,
    #[serde(default)]
    note: Option<String>,
    recipe: String,
    metric: String,
    seeds: Vec<u64>,
    #[serde(default)]
    best: Option<Best>,
    #[serde(default)]
    axis: Option<Axis>,
    #[serde(default)]
    setting: Vec<Named>,
    #[serde(default)]
    paper: Option<PaperText>,
    #[serde(default)]
    holds: Vec<Holds>,
    #[serde(default)]
    narrows: Vec<Narrowing>,
    quick: Reduction,
    #[serde(default)]
    small: Option<Reduction>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Axis {
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: Label,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PaperText {
    what: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Holds {
    better: Label,
    than: Label,
    #[serde(default)]
    by: Option<f64>,
    #[serde(default)]
    times: Option<f64>,
    #[serde(default)]
    metric: Option<String>,
    #[serde(default)]
    than_metric: Option<String>,
}

/// A label, given as text or as a value: 0.75 and "0.75" are the same label.
pub(super) struct Label(pub(super) String);

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Label;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or a name")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Label, E> {
                Ok(Label(text.to_owned()))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Label, E> {
                Ok(Label(number.to_string()))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Label, E> {
                Ok(Label(number.to_string()))
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Label, E> {
                Ok(Label(value.to_string()))
            }
        }
        deserializer.deserialize_any(Written)
    }
}

/// Reads and checks the claim at every size, and returns it at `size`.
pub(super) fn read(text: &str, path: &Path, size: Size) -> Result<Claim, SettingsError> {
    let mut document = Node::parse(text, path)?;
    // Entries whose keys are not fixed are taken out, and all other keys must be known.
    let set = take_entries(&mut document, "set")?;
    let values = entry_mut(&mut document, "axis").and_then(|axis| axis.remove("values"));
    let numbers = entry_mut(&mut document, "paper").and_then(|paper| paper.remove("values"));
    let named = named_sets(&mut document)?;
    let [open_quick, open_small] =
        [Open::take(&mut document, "quick")?, Open::take(&mut document, "small")?];
    let file: File = read_typed(&document, &KEYS.map(str::to_owned))?;
    let at = |key: &str| document.place_of_any(&[key]).clone();

    let key = file.axis.map(|axis| axis.key);
    let settings = match (&key, file.setting) {
        (Some(key), named) if named.is_empty() => {
            check_key(key, &at("axis.key"))?;
            let values = values.ok_or_else(|| missing(&at("axis"), "axis.values"))?;
            axis_settings(key, "axis.values", values)?
        }
        (None, names) if !names.is_empty() => {
            let settings = names.into_iter().zip(named).map(|(name, set)| Setting {
                label: name.name.0,
                number: None,
                set,
            });
            let settings: Vec<Setting> = settings.collect();
            check_labels(&settings, &at("setting"))?;
            settings
        }
        _ => {
            let message = "a claim needs an [axis] or [[setting]] tables, and not both";
            return Err(invalid(&document.place, message.to_owned()));
        }
    };
    check_seeds("seeds", &file.seeds, &at("seeds"))?;

    let places = element_places(&document, "holds");
    if file.holds.is_empty() && file.narrows.is_empty() && file.best.is_none() {
        let message = "holds is missing or empty: a claim needs a [[holds]] or [[narrows]] \
                       table, or best = \"greatest\" or \"least\""
            .to_owned();
        return Err(invalid(&at("holds"), message));
    }
    let holds = relations(file.holds, &places, &file.metric)?;
    let labels: Vec<&str> = settings.iter().map(Setting::label).collect();
    check_relations(&holds, &places, &labels, "the values")?;
    let paper = match (file.paper, numbers) {
        (Some(text), Some(numbers)) => {
            Some(Paper { what: text.what, values: paper_values(numbers, &labels)? })
        }
        (Some(_), None) => return Err(missing(&at("paper"), "paper.values")),
        (None, _) => None,
    };
    let claim = Claim {
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        source: file.source,
        summary: file.summary,
        note: file.note,
        recipe: file.recipe,
        metric: file.metric,
        seeds: file.seeds,
        axis: key,
        settings,
        paper,
        holds,
        narrows: file.narrows,
        best: file.best,
        size: Size::Full,
        set,
        recipe_place: at("recipe"),
    };
    let mut reductions = vec![(Size::Quick, file.quick, open_quick)];
    reductions.extend(file.small.map(|small| (Size::Small, small, open_small)));
    let mut sizes = vec![claim.clone()];
    for (size, reduction, open) in reductions {
        let table = size.table().unwrap_or_default();
        let reduced = claim.clone().reduced(size, reduction, open, &at(table))?;
        let labels: Vec<&str> = reduced.settings.iter().map(Setting::label).collect();
        let kept = format!("the values that [{table}] keeps");
        check_relations(&reduced.holds, &places, &labels, &kept)?;
        sizes.push(reduced);
    }
    sizes.into_iter().find(|claim| claim.size == size).ok_or_else(|| {
        let message =
            format!("{} has no [small] table; run it in full or with --quick", claim.name);
        invalid(&document.place, message)
    })
}

fn relations(
    holds: Vec<Holds>,
    places: &[Place],
    metric: &str,
) -> Result<Vec<Relation>, SettingsError> {
    let relation = |(holds, place): (Holds, &Place)| {
        let good = |number: f64, least: f64| number.is_finite() && number >= least;
        let margin = match (holds.by, holds.times) {
            (Some(by), None) if good(by, 0.0) => Margin::By(by),
            (None, Some(times)) if good(times, f64::MIN_POSITIVE) => Margin::Times(times),
            (Some(by), None) => {
                let message = format!("holds.by is {by}; it must be a finite number of at least 0");
                return Err(invalid(place, message));
            }
            (None, Some(times)) => {
                let message = format!("holds.times is {times}; it must be a finite number above 0");
                return Err(invalid(place, message));
            }
            _ => {
                let message = "holds needs either `by` (a difference) or `times` (a quotient)";
                return Err(invalid(place, message.to_owned()));
            }
        };
        let metric = holds.metric.unwrap_or_else(|| metric.to_owned());
        let than_metric = holds.than_metric.unwrap_or_else(|| metric.clone());
        Ok(Relation { better: holds.better.0, than: holds.than.0, margin, metric, than_metric })
    };
    holds.into_iter().zip(places).map(relation).collect()
}

/// Checks that relations name settings that are run, and compare two different values.
fn check_relations(
    holds: &[Relation],
    places: &[Place],
    labels: &[&str],
    what: &str,
) -> Result<(), SettingsError> {
    for (relation, place) in holds.iter().zip(places) {
        for (key, label) in [("better", &relation.better), ("than", &relation.than)] {
            if !labels.contains(&label.as_str()) {
                let message =
                    format!("holds.{key} {label} is not one of {what}: {}", labels.join(", "));
                return Err(invalid(place, message));
            }
        }
        if relation.better == relation.than && relation.metric == relation.than_metric {
            let message = format!("holds: {} is compared with itself", relation.better);
            return Err(invalid(place, message));
        }
    }
    Ok(())
}

fn paper_values(node: Node, labels: &[&str]) -> Result<BTreeMap<String, f64>, SettingsError> {
    let Value::Table(entries) = node.value else {
        let expected = "a table of numbers by value, such as { \"0.75\" = 73.5 }";
        return Err(wrong(&node.place, "paper.values", expected, &node.value));
    };
    let mut values = BTreeMap::new();
    for (label, node) in entries {
        let number = match node.value {
            Value::Integer(number) => number as f64,
            Value::Float(number) if number.is_finite() => number,
            _ => return Err(wrong(&node.place, "paper.values", "a number", &node.value)),
        };
        if !labels.contains(&label.as_str()) {
            let message =
                format!("paper.values: {label} is not one of the values: {}", labels.join(", "));
            return Err(invalid(&node.place, message));
        }
        values.insert(label, number);
    }
    Ok(values)
}

pub(super) fn check_seeds(key: &str, seeds: &[u64], place: &Place) -> Result<(), SettingsError> {
    if seeds.is_empty() {
        return Err(invalid(place, format!("{key} is empty")));
    }
    check_number("seeds", seeds.len(), place)?;
    let twice = seeds.iter().enumerate().find(|(i, seed)| seeds[..*i].contains(seed));
    twice.map_or(Ok(()), |(_, seed)| Err(invalid(place, format!("{key} contains {seed} twice"))))
}

fn element_places(document: &Node, key: &str) -> Vec<Place> {
    let Value::Table(entries) = &document.value else { return Vec::new() };
    match entries.get(key).map(|node| &node.value) {
        Some(Value::Array(nodes)) => nodes.iter().map(|node| node.place.clone()).collect(),
        _ => Vec::new(),
    }
}
