//! Sweeps: settings of a recipe that a user compares, without looking at the test split.

use std::cmp::Ordering;
use std::fmt::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::settings::{axis_settings, check_key, check_labels, invalid, take_entries, written};
use super::{Claim, ClaimError, Entry, Setting, Size};
use crate::error::RecipeError;
use crate::reading::document::{Node, Value, parse_override};
use crate::reading::{Layers, Place, SettingsError, read_text};
use crate::recipe::Recipe;
use crate::system_settings::RecipeSettings;
use crate::systems::Settings;

/// The key that holds out part of the training images, to measure on instead of the test split.
const VALIDATION: &str = "data.validation";

/// The fraction of the training images on which settings are compared.
const HELD_OUT: f64 = 0.1;

/// Whether the greatest or the least value of a metric is best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Best {
    /// The greatest, as for an accuracy.
    Greatest,
    /// The least, as for an error or a loss.
    Least,
}

impl Best {
    /// [`Ordering::Greater`] where `a` is better than `b`; neither is NaN.
    pub fn compare(self, a: f64, b: f64) -> Ordering {
        match self {
            Self::Greatest => a.total_cmp(&b),
            Self::Least => b.total_cmp(&a),
        }
    }
}

/// The settings of a recipe that are to be compared.
#[derive(Clone, Debug)]
pub struct Sweep<'a> {
    /// Name of a recipe in `recipes`, or path of a `.toml` file.
    pub recipe: &'a str,
    /// The folder of the recipes.
    pub recipes: &'a Path,
    /// The layers over the recipe in every run.
    pub layers: &'a Layers,
    /// The keys to vary, `key=a,b,c` each; every combination is a setting.
    pub axes: &'a [String],
    /// Seeds that each setting is run with.
    pub seeds: &'a [u64],
    /// The metric by which the best setting is found, the recipe's own if `None`.
    pub metric: Option<&'a str>,
    /// Whether its greatest or its least value is best.
    pub best: Best,
}

impl Sweep<'_> {
    /// The claim that plans these runs and finds the best setting.
    ///
    /// If the system has the key `data.validation`, a tenth of the training images is held out and
    /// measured on in place of the test split, unless the layers say otherwise; see
    /// [`Claim::is_validated`].
    ///
    /// # Errors
    /// [`ClaimError`] when the recipe cannot be read, an axis is not `key=a,b,c`, a key is unknown
    /// or varied twice, or a value is repeated.
    pub fn claim(&self, name: &str) -> Result<Claim, ClaimError> {
        let Self { recipe: wanted, recipes, layers, axes, seeds, metric, best } = *self;
        let path = crate::find(recipes, wanted)?;
        let recipe = <Recipe>::outline(&path)?;
        let place = Place::File(path.as_path().into());
        let known = Settings::keys_for(recipe.settings.system_name()).unwrap_or_default();
        let mut set = Vec::new();
        if known.iter().any(|key| key == VALIDATION) {
            let node = Node { value: Value::Float(HELD_OUT), place: place.clone() };
            set.push(Entry { key: VALIDATION.to_owned(), node });
        }
        lay_over(&mut set, &path, layers)?;
        let axes = axes.iter().map(|axis| read_axis(axis)).collect::<Result<Vec<_>, _>>()?;
        let (axis, settings) = combine(axes)?;
        Ok(Claim {
            name: name.to_owned(),
            source: String::new(),
            summary: format!("Settings of {wanted} compared, to choose the best."),
            note: None,
            recipe: wanted.to_owned(),
            metric: metric.map_or(recipe.about.metric, str::to_owned),
            seeds: seeds.to_vec(),
            axis,
            settings,
            paper: None,
            holds: Vec::new(),
            narrows: Vec::new(),
            best: Some(best),
            size: Size::Full,
            set,
            recipe_place: place,
        })
    }
}

impl Claim {
    /// Whether its runs measure on held-out training images and leave the test split alone.
    pub fn is_validated(&self) -> bool {
        self.set.iter().any(|entry| entry.key == VALIDATION)
    }

    /// Writes a claim that has neither a paper's numbers nor relations, such as that of a
    /// [`Sweep`]; [`Claim::parse`] reads it back.
    pub fn to_toml(&self) -> String {
        let text = |text: &str| toml::Value::from(text).to_string();
        let mut out = String::new();
        let mut line = |key: &str, value: String| {
            writeln!(out, "{key} = {value}").expect("a string takes everything");
        };
        for (key, value) in [
            ("source", &self.source),
            ("summary", &self.summary),
            ("recipe", &self.recipe),
            ("metric", &self.metric),
        ] {
            line(key, text(value));
        }
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        line("seeds", format!("[{}]", seeds.join(", ")));
        if let Some(best) = self.best {
            let end = if best == Best::Greatest { "greatest" } else { "least" };
            line("best", text(end));
        }
        let table = |entries: &[Entry]| {
            let entry =
                |Entry { key, node }: &Entry| format!("{} = {}", text(key), written(&node.value));
            format!("{{ {} }}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        };
        line("set", table(&self.set));
        match &self.axis {
            Some(key) => {
                let value = |setting: &Setting| written(&setting.set[0].node.value);
                let values: Vec<String> = self.settings.iter().map(value).collect();
                line(
                    "axis",
                    format!("{{ key = {}, values = [{}] }}", text(key), values.join(", ")),
                );
            }
            None => {
                let setting = |setting: &Setting| {
                    format!("{{ name = {}, set = {} }}", text(&setting.label), table(&setting.set))
                };
                let settings: Vec<String> = self.settings.iter().map(setting).collect();
                line("setting", format!("[{}]", settings.join(", ")));
            }
        }
        line("quick", "{}".to_owned());
        out
    }
}

/// Lays the reduced form of the recipe at `path`, if requested, and the overrides over `set`.
pub(super) fn lay_over(
    set: &mut Vec<Entry>,
    path: &Path,
    layers: &Layers,
) -> Result<(), ClaimError> {
    let mut over: Vec<Entry> = Vec::new();
    if layers.quick {
        let text =
            read_text(path).map_err(|source| RecipeError::Read { path: path.into(), source })?;
        let quick = take_entries(&mut Node::parse(&text, path)?, "quick")?.into_iter();
        over.extend(quick.map(|Entry { key, node }| Entry { key, node: node.reduced() }));
        if over.is_empty() {
            return Err(SettingsError::NoQuick(path.into()).into());
        }
    }
    for assignment in &layers.set {
        let (key, node) = parse_override(assignment)?;
        check_key(&key, &node.place)?;
        over.push(Entry { key, node });
    }
    for entry in over {
        // A later layer replaces an earlier one.
        set.retain(|earlier| earlier.key != entry.key);
        set.push(entry);
    }
    Ok(())
}

/// Parses `key=a,b,c`.
fn read_axis(axis: &str) -> Result<(String, Vec<Setting>), SettingsError> {
    let place = Place::File(Path::new(&format!("--axis {axis}")).into());
    let Some((key, values)) = axis.split_once('=') else {
        let message = "expected KEY=A,B,C, such as train.base_lr=1e-3,2e-3".to_owned();
        return Err(invalid(&place, message));
    };
    let key = key.trim();
    check_key(key, &place)?;
    let node = |value: &str| Ok(parse_override(&format!("{key}={}", value.trim()))?.1);
    let nodes = values.split(',').map(node).collect::<Result<Vec<_>, SettingsError>>()?;
    let values = Node { value: Value::Array(nodes), place };
    Ok((key.to_owned(), axis_settings(key, key, values)?))
}

/// The key of one axis and its settings, or every combination of several.
fn combine(
    mut axes: Vec<(String, Vec<Setting>)>,
) -> Result<(Option<String>, Vec<Setting>), SettingsError> {
    let place = Place::File(Path::new("--axis").into());
    for (i, (key, _)) in axes.iter().enumerate() {
        if axes[..i].iter().any(|(earlier, _)| earlier == key) {
            return Err(invalid(&place, format!("{key} is given twice; list its values in one")));
        }
    }
    match axes.len() {
        0 => {
            Err(invalid(&place, "say what to vary, such as --axis mask.ratio=0.5,0.75".to_owned()))
        }
        1 => {
            let (key, settings) = axes.remove(0);
            Ok((Some(key), settings))
        }
        _ => {
            let none = Setting { label: String::new(), number: None, set: Vec::new() };
            let all = axes.iter().fold(vec![none], |before, (key, settings)| {
                let pairs = before.iter().flat_map(|b| settings.iter().map(move |s| (b, s)));
                pairs.map(|(before, setting)| before.and(key, setting)).collect()
            });
            check_labels(&all, &place)?;
            Ok((None, all))
        }
    }
}

impl Setting {
    /// This setting with a value of one more key.
    fn and(&self, key: &str, value: &Self) -> Self {
        let comma = if self.label.is_empty() { "" } else { ", " };
        let label = format!("{}{comma}{key} {}", self.label, value.label);
        let set = self.set.iter().chain(&value.set).cloned().collect();
        Self { label, number: None, set }
    }
}
