//! Claims: a paper's finding as a sweep that anyone can run.
//!
//! A claim is a TOML file with strict keys. It names a recipe, what is varied (one axis, or several
//! named settings), the seeds, the metric, the paper's numbers, and the relations that must hold at
//! our scale. Its `[quick]` table reduces all that to minutes, and `[small]`, if there is one, to
//! half an hour ([`Size`]). With `best`, no relation needs to hold: the best setting is reported,
//! as for a [`Sweep`]. A [`ResultTable`] compares the runs of several recipes. [`Claim::cells`]
//! plans the runs, one resolved and validated recipe for each setting and seed, before anything is
//! run. `docs/claims.md` shows every key of a claim, `docs/table.md` those of a table.
//!
//! ```
//! use bauta_recipe::claim::{Claim, Size};
//! use std::path::Path;
//!
//! let text = r#"
//! source = "He et al., arXiv 2111.06377, figure 5"
//! summary = "A high mask ratio gives better features."
//! recipe = "mae-cifar10"
//! metric = "linear_top1"
//! seeds = [0, 1, 2]
//!
//! [axis]
//! key = "mask.ratio"
//! values = [0.25, 0.5, 0.75]
//!
//! [paper]
//! what = "linear probe, ViT-L/16 on ImageNet-1K, %"
//! values = { "0.5" = 69.9, "0.75" = 73.5 }
//!
//! [[holds]]
//! better = 0.75
//! than = 0.25
//! by = 0.02
//!
//! [quick]
//! seeds = [0, 1]
//! values = [0.25, 0.75]
//! set = { "train.epochs" = 1 }
//! "#;
//! let claim = Claim::parse(text, Path::new("mae-mask-ratio.toml"), Size::Quick)?;
//! let labels: Vec<&str> = claim.settings.iter().map(|setting| setting.label()).collect();
//! assert_eq!((labels, claim.seeds.len()), (vec!["0.25", "0.75"], 2));
//!
//! let mistyped = text.replace("mask.ratio", "mask.ration");
//! let error = Claim::parse(&mistyped, Path::new("mae-mask-ratio.toml"), Size::Quick).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "mae-mask-ratio.toml:9: unknown key mask.ration; did you mean mask.ratio?"
//! );
//! # Ok::<(), bauta_recipe::claim::ClaimError>(())
//! ```

mod error;
mod file;
mod narrowing;
mod reduced;
mod results;
mod settings;
mod sweep;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::RecipeError;
use crate::reading::document::{Node, Value};
use crate::reading::{Place, SettingsError, nearest, read_text};
use crate::recipe::Recipe;

pub use error::ClaimError;
pub use narrowing::{Narrowing, NarrowingVerdict};
pub use reduced::Size;
pub use results::{Measure, Origin, ResultColumn, ResultRow, ResultTable, TableLayers, UNTRAINED};
pub use sweep::{Best, Sweep};
pub use verdict::{Margin, Relation, Spread, Verdict};

/// A paper's finding, and how to test it.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The file's name without its ending.
    pub name: String,
    /// Paper and table or figure.
    pub source: String,
    /// What the paper found, in a sentence.
    pub summary: String,
    /// What differs here from the paper's experiment.
    pub note: Option<String>,
    /// The recipe that every run varies.
    pub recipe: String,
    /// The metric that is compared, by its name in `summary.json`.
    pub metric: String,
    /// Seeds that each setting is run with.
    pub seeds: Vec<u64>,
    /// The key that is varied, unless the settings have names of their own.
    pub axis: Option<String>,
    /// What is compared.
    pub settings: Vec<Setting>,
    /// The paper's numbers.
    pub paper: Option<Paper>,
    /// What must hold.
    pub holds: Vec<Relation>,
    /// Pairs of metrics, the first of which must have the smaller range over the settings.
    pub narrows: Vec<Narrowing>,
    /// Whether the greatest or the least metric is best, if the best setting is sought.
    pub best: Option<Best>,
    /// How large the runs are.
    pub size: Size,
    set: Vec<Entry>,
    recipe_place: Place,
}

/// The paper's numbers, in its own unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Paper {
    /// Metric, model, data and unit.
    pub what: String,
    /// The numbers, by a setting's label.
    pub values: BTreeMap<String, f64>,
}

/// One value of the axis, or one named setting.
#[derive(Clone, Debug)]
pub struct Setting {
    label: String,
    number: Option<f64>,
    set: Vec<Entry>,
}

impl Setting {
    /// The setting's name in relations and tables.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The setting's value on the axis, if the axis is numeric.
    pub fn number(&self) -> Option<f64> {
        self.number
    }
}

/// A key with the value that is laid over the recipe's.
#[derive(Clone, Debug)]
struct Entry {
    key: String,
    node: Node,
}

/// One run of a claim.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Index in [`Claim::settings`].
    pub setting: usize,
    /// The run's seed.
    pub seed: u64,
    /// Name of the run's folder.
    pub name: String,
    /// The resolved recipe.
    pub recipe: Recipe,
}

impl Claim {
    /// Reads the claim at `path` at the given size.
    ///
    /// # Errors
    /// [`ClaimError`], which names the key, its file and line, and what is accepted.
    pub fn load(path: &Path, size: Size) -> Result<Self, ClaimError> {
        let text =
            read_text(path).map_err(|source| ClaimError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path, size)
    }

    /// Reads the claim in `text`; `path` names it, and is shown in errors.
    ///
    /// The whole file is checked, including the parts that the size leaves out.
    ///
    /// # Errors
    /// As [`Claim::load`].
    pub fn parse(text: &str, path: &Path, size: Size) -> Result<Self, ClaimError> {
        Ok(file::read(text, path, size)?)
    }

    /// The runs: every setting with the first seed, then with the second, and so on.
    ///
    /// # Errors
    /// [`ClaimError`] when the recipe is not in `recipes`, or a setting gives an invalid recipe;
    /// the message names the claim's line.
    pub fn cells(&self, recipes: &Path) -> Result<Vec<Cell>, ClaimError> {
        let path = crate::find(recipes, &self.recipe).map_err(|error| SettingsError::Invalid {
            place: self.recipe_place.clone(),
            message: error.to_string(),
        })?;
        let text =
            read_text(&path).map_err(|source| RecipeError::Read { path: path.clone(), source })?;
        let mut document = Node::parse(&text, &path)?;
        document.remove("quick");
        let (mut cells, mut names) = (Vec::new(), BTreeSet::new());
        for &seed in &self.seeds {
            for (place, setting) in self.settings.iter().enumerate() {
                let recipe = self.resolve(&document, setting, seed)?;
                let name = format!("{}-seed{seed}", file_name(&setting.label));
                if !names.insert(name.clone()) {
                    let message = format!("two settings would share the folder {name}; rename one");
                    let place = self.recipe_place.clone();
                    return Err(SettingsError::Invalid { place, message }.into());
                }
                cells.push(Cell { setting: place, seed, name, recipe });
            }
        }
        Ok(cells)
    }

    fn resolve(
        &self,
        document: &Node,
        setting: &Setting,
        seed: u64,
    ) -> Result<Recipe, RecipeError> {
        let mut document = document.clone();
        for entry in self.set.iter().chain(&setting.set) {
            document.set(&entry.key, entry.node.clone());
        }
        // A seed above 2⁶³ − 1, which TOML cannot express, becomes negative here and is refused
        // below.
        let value = Value::Integer(seed as i64);
        document.set("seed", Node { value, place: self.recipe_place.clone() });
        Recipe::resolve(document)
    }

    /// Every key that the claim lays over the recipe in each run, with the value that all runs
    /// have; a key that a reduced form or a setting sets again is not given with the former value.
    pub fn fixed(&self) -> impl Iterator<Item = (&str, String)> {
        let again = move |place: usize, key: &str| {
            let of_settings = self.settings.iter().flat_map(|setting| &setting.set);
            self.set[place + 1..].iter().chain(of_settings).any(|later| later.key == key)
        };
        let entries = self.set.iter().enumerate();
        entries
            .filter(move |(place, entry)| !again(*place, &entry.key))
            .map(|(_, entry)| (entry.key.as_str(), settings::written(&entry.node.value)))
    }
}

/// A label as a file name: characters other than ASCII letters, digits and `._-` become `_`.
fn file_name(label: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    label.chars().map(keep).collect()
}

/// Finds the claim that a user asks for: a path to a `.toml` file, or the name of one in `folder`.
///
/// # Errors
/// [`ClaimError::Unknown`] with the nearest name, [`ClaimError::Read`] when the
/// folder or the named file cannot be read.
pub fn find(folder: &Path, name: &str) -> Result<PathBuf, ClaimError> {
    if name.ends_with(".toml") {
        let path = PathBuf::from(name);
        let found = fs::metadata(&path);
        return found.map(|_| path.clone()).map_err(|source| ClaimError::Read { path, source });
    }
    let known = crate::names(folder)?;
    if known.iter().any(|known| known == name) {
        return Ok(folder.join(format!("{name}.toml")));
    }
    let nearest = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
    Err(ClaimError::Unknown { name: name.to_owned(), nearest, known })
}
