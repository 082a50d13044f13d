//! A recipe: what every system has, and the system's own settings; read and written.

use std::path::Path;

use bauta_datasets::Package;
use serde::{Deserialize, Serialize};
use strum::VariantArray;
use toml::{Table, Value};

use crate::data_need::DataNeed;
use crate::error::RecipeError;
use crate::explain::explain;
use crate::folder::find;
use crate::paths;
use crate::reading::document::Node;
use crate::reading::{
    KeyDescription, Layers, Place, SettingsError, Violation, at_place, describe, ensure, keys_of,
    nearest, read, read_text,
};
use crate::system_settings::RecipeSettings;
use crate::systems::{Settings, System};
use crate::tables::{About, Teacher, TeacherKind, Train};

/// A recipe: what every system has, and the system's own settings.
///
/// `Recipe` alone has the settings of whichever system the file names; `Recipe<Mae>`, or one with
/// your own [`SystemSettings`](crate::SystemSettings), accepts only that system's files. Where the
/// compiler cannot infer which, state it: `let recipe: Recipe = Recipe::load(…)?`.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe<S = Settings> {
    /// Seed of every random stream of the run.
    pub seed: u64,
    /// What the recipe reproduces and what to expect of it.
    pub about: About,
    /// Optimiser and schedule.
    pub train: Train,
    /// Everything else, which belongs to the system.
    pub settings: S,
}

/// The keys that every recipe has, apart from `system`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Common {
    /// Seed of every random stream of the run.
    #[serde(default)]
    seed: u64,
    /// What the recipe reproduces and what to expect of it.
    #[serde(default)]
    about: About,
    /// Optimiser and schedule.
    train: Train,
}

impl<S: RecipeSettings> Recipe<S> {
    /// Reads and validates the recipe file at `path`.
    ///
    /// # Errors
    /// [`RecipeError`], which names the key, its file and line (or its override) and what is
    /// accepted.
    pub fn load(path: &Path, layers: &Layers) -> Result<Self, RecipeError> {
        let text = read_text(path)
            .map_err(|source| RecipeError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path, layers)
    }

    /// Reads and validates the recipe in `text`; `path` is only named in errors.
    ///
    /// The `[quick]` table holds dotted keys, `"train.epochs" = 1`, and is not part of the resolved
    /// recipe.
    ///
    /// # Errors
    /// As [`Recipe::load`].
    pub fn parse(text: &str, path: &Path, layers: &Layers) -> Result<Self, RecipeError> {
        Self::resolve(layers.over(text, path)?)
    }

    /// Reads a recipe's file in order to list it, not to run it: a value that it leaves to each
    /// run, such as `data.root` of a user's own pictures, may be missing.
    ///
    /// # Errors
    /// As [`Recipe::load`].
    pub fn outline(path: &Path) -> Result<Self, RecipeError> {
        let text = read_text(path)
            .map_err(|source| RecipeError::Read { path: path.to_owned(), source })?;
        let document = Layers::default().over(&text, path)?;
        let recipe = Self::unchecked(&document)?;
        match recipe.check() {
            Err(violation) if !violation.left_open => Err(at_place(violation, &document).into()),
            _ => Ok(recipe),
        }
    }

    /// Reads and validates the merged layers.
    pub(crate) fn resolve(document: Node) -> Result<Self, RecipeError> {
        let recipe = Self::unchecked(&document)?;
        recipe.check().map_err(|violation| at_place(violation, &document))?;
        Ok(recipe)
    }

    fn unchecked(document: &Node) -> Result<Self, RecipeError> {
        let mut settings = document.clone();
        let system = named_system(&settings.split_off(&["system"]), S::keys_for)?;
        let own = S::keys_for(&system).expect("a system of that name was just found");
        let known: Vec<String> = common_keys().into_iter().chain(own).collect();
        let common = settings.split_off(&["seed", "about", "train"]);
        let in_words = |error| explain(error, &system, &known, document);

        let settings = S::read(&system, &settings, &known);
        let (Common { seed, about, train }, settings) = match (read(&common, &known), settings) {
            (Ok(common), Ok(settings)) => (common, settings),
            (Err(error), Err(other)) => return Err(in_words(other.with(error))),
            (Err(error), Ok(_)) | (Ok(_), Err(error)) => return Err(in_words(error)),
        };
        let mut recipe = Self { seed, about, train, settings };
        recipe
            .train
            .refuse_unread(|key| document.place_of(key))
            .map_err(|violation| RecipeError::from(at_place(violation, document)))?;
        paths::check(document)?;
        recipe.train.keep_own();
        recipe.settings.complete_all();
        Ok(recipe)
    }

    fn check(&self) -> Result<(), Violation> {
        self.train.check()?;
        let (key, system) = ("train.checkpoint_blocks", self.settings.system_name());
        let there = !self.train.checkpoint_blocks || self.settings.checkpoints_blocks();
        ensure(there, &[key], || {
            format!("{key} is true; it must be false: system {system} has no transformer blocks")
        })?;
        self.settings.check_all(&self.train)?;
        self.about.check()
    }

    /// Checks what types cannot say, for recipes built or changed in code;
    /// [`Recipe::load`] has already done it.
    ///
    /// # Errors
    /// [`SettingsError::Invalid`] for the first value that makes no sense.
    pub fn validate(&self) -> Result<(), RecipeError> {
        let violation = |Violation { message, .. }| SettingsError::Invalid {
            place: Place::File(Path::new("recipe").into()),
            message,
        };
        Ok(self.check().map_err(violation)?)
    }

    /// Writes the fully resolved recipe, every default spelled out, in the order `system`,
    /// `seed`, `about`, the system's tables, `train`, `eval`.
    ///
    /// [`Recipe::parse`] reads it back to an equal recipe.
    ///
    /// # Errors
    /// [`RecipeError::Write`] for a recipe built in code that TOML cannot
    /// express, such as a seed above 2⁶³ − 1.
    pub fn to_toml(&self) -> Result<String, RecipeError> {
        Ok(toml::to_string(&self.to_table()?)?)
    }

    pub(crate) fn to_table(&self) -> Result<Table, toml::ser::Error> {
        let mut text = Table::new();
        let mut put = |key: &str, value| text.insert(key.to_owned(), value);
        put("system", Value::from(self.settings.system_name()));
        put("seed", Value::try_from(self.seed)?);
        put("about", Value::try_from(&self.about)?);
        let mut settings = Table::try_from(&self.settings)?;
        let eval = settings.remove("eval");
        settings.into_iter().for_each(|(key, value)| drop(put(&key, value)));
        put("train", Value::Table(self.train.written()?));
        eval.and_then(|eval| put("eval", eval));
        Ok(text)
    }

    /// The data sets that a run reads.
    pub fn data(&self) -> Vec<DataNeed> {
        self.settings.needs()
    }

    /// The teacher, if there is one.
    pub fn teacher(&self) -> Option<&Teacher> {
        self.settings.taught_by()
    }

    /// What must be in the cache before a run: data sets, and the weights of a teacher.
    pub fn packages(&self) -> Vec<&'static Package> {
        let data = self.data().into_iter().filter_map(|need| need.package);
        data.chain(self.teacher().and_then(Teacher::package)).collect()
    }

    /// Whether a run of `other` gives the same weights and measurements: the recipes are
    /// equal but for [`WITHOUT_EFFECT`]. A run may be resumed with such a recipe.
    pub fn same_result(&self, other: &Self) -> bool {
        self == other || self.differing_keys(other).is_ok_and(|keys| keys.is_empty())
    }

    /// The resolved recipe as TOML without the keys of [`WITHOUT_EFFECT`]: the same text for
    /// recipes that [give the same result](Self::same_result).
    ///
    /// # Errors
    /// As [`Recipe::to_toml`].
    pub fn settings_of_result(&self) -> Result<String, RecipeError> {
        let mut table = self.to_table()?;
        WITHOUT_EFFECT.iter().for_each(|key| remove(&mut table, key));
        Ok(toml::to_string(&table)?)
    }

    /// The dotted keys in which the recipes differ, without those of [`WITHOUT_EFFECT`], in
    /// the order of [`Recipe::to_toml`].
    ///
    /// # Errors
    /// As [`Recipe::to_toml`].
    pub fn differing_keys(&self, other: &Self) -> Result<Vec<String>, RecipeError> {
        let mut differing = Vec::new();
        let [own, its] = [self.to_table()?, other.to_table()?];
        differences("", Some(&Value::Table(own)), Some(&Value::Table(its)), &mut differing);
        differing.retain(|key| !has_no_effect(key));
        Ok(differing)
    }

    /// The same recipe with other settings.
    pub fn map<T>(self, settings: impl FnOnce(S) -> T) -> Recipe<T> {
        let Self { seed, about, train, settings: own } = self;
        Recipe { seed, about, train, settings: settings(own) }
    }
}

impl Recipe {
    /// The system that reads the recipe.
    pub fn system(&self) -> System {
        self.settings.system()
    }

    /// The recipe that trains a teacher, by its name in the folder `recipes` or its path, with its
    /// overrides; `None` for teachers of another kind.
    ///
    /// # Errors
    /// [`RecipeError`] when there is no recipe of that name, it is not valid, or its own teacher
    /// would have to be trained first.
    pub fn of_teacher(teacher: &Teacher, recipes: &Path) -> Result<Option<Self>, RecipeError> {
        let Some(name) = &teacher.recipe else { return Ok(None) };
        let path = find(recipes, name)?;
        let recipe = Self::load(&path, &Layers::of(&teacher.set))?;
        if recipe.teacher().is_some_and(|own| own.kind == TeacherKind::Recipe) {
            let message = format!(
                "teacher.recipe {name} has a teacher that another recipe must train; run {name} \
                 first, then give its checkpoint with teacher.kind=folder and teacher.model=DIR"
            );
            let place = Place::File(path.into());
            return Err(SettingsError::Invalid { place, message }.into());
        }
        Ok(Some(recipe))
    }
}

/// The keys that cannot change a run's result: its provenance, how often it writes and measures,
/// and what it keeps in memory.
///
/// A table stands for all its keys.
pub const WITHOUT_EFFECT: [&str; 7] = [
    "about",
    "train.checkpoint_every",
    "train.checkpoint_blocks",
    "train.shard_optimizer",
    "train.log_every",
    "eval.every",
    "eval.features_in_memory",
];

fn has_no_effect(key: &str) -> bool {
    let inside = |table: &str| key.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'));
    WITHOUT_EFFECT.iter().any(|name| key == *name || inside(name))
}

/// Takes out a dotted key, if it is there.
fn remove(table: &mut Table, key: &str) {
    match key.split_once('.') {
        None => drop(table.remove(key)),
        Some((first, rest)) => {
            if let Some(Value::Table(inner)) = table.get_mut(first) {
                remove(inner, rest);
            }
        }
    }
}

/// Collects the dotted keys of values that differ, or that one side alone has.
fn differences(key: &str, one: Option<&Value>, other: Option<&Value>, keys: &mut Vec<String>) {
    let empty = Table::new();
    let table = |value: Option<&Value>| value.and_then(Value::as_table).cloned();
    match (table(one), table(other)) {
        (None, None) => {
            if one != other {
                keys.push(key.to_owned());
            }
        }
        (one, other) => {
            let (one, other) = (one.unwrap_or(empty.clone()), other.unwrap_or(empty));
            let added = other.keys().filter(|name| !one.contains_key(*name));
            for name in one.keys().chain(added) {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                differences(&key, one.get(name), other.get(name), keys);
            }
        }
    }
}

impl System {
    /// Every dotted key that a recipe of this system may hold.
    pub fn known_keys(self) -> Vec<String> {
        common_keys().into_iter().chain(self.keys().iter().cloned()).collect()
    }

    /// The same keys, with what each takes, whether it is required and what its default is.
    pub fn describe_keys(self) -> Vec<KeyDescription> {
        let system = KeyDescription {
            key: "system".to_owned(),
            takes: "text".to_owned(),
            required: true,
            default: None,
        };
        let own = self.describe_own_keys().into_iter();
        [system].into_iter().chain(describe::<Common>()).chain(own).collect()
    }
}

/// Every dotted key that a recipe of some system may hold, each once.
///
/// ```
/// assert!(bauta_recipe::known_keys().iter().any(|key| key == "mask.ratio"));
/// ```
pub fn known_keys() -> Vec<String> {
    let mut known = common_keys();
    for key in System::VARIANTS.iter().flat_map(|system| system.keys()) {
        if !known.contains(key) {
            known.push(key.clone());
        }
    }
    known
}

fn common_keys() -> Vec<String> {
    let keys = ["system".to_owned()].into_iter();
    keys.chain(keys_of::<Common>("")).collect()
}

/// The name in the entry `system`, if there are keys for it.
fn named_system(
    document: &Node,
    keys_for: impl Fn(&str) -> Result<Vec<String>, Vec<&'static str>>,
) -> Result<String, SettingsError> {
    #[derive(Deserialize)]
    struct Named {
        system: String,
    }
    let Named { system } = read(document, &[])?;
    let Err(known) = keys_for(&system) else { return Ok(system) };
    let place = document.place_of_any(&["system"]).clone();
    if system.parse::<System>().is_ok() {
        let message = format!("system is \"{system}\"; it must be \"{}\" here", known.join(", "));
        return Err(SettingsError::Invalid { place, message });
    }
    Err(SettingsError::UnknownValue {
        place,
        key: "system".to_owned(),
        nearest: nearest(&system, known.iter().copied()).map(str::to_owned),
        known: known.into_iter().map(str::to_owned).collect(),
        found: system,
    })
}
