//! Tables of results: recipes as rows, measures as columns, each over several seeds.
//!
//! A row's runs are those of a [`Claim`] with one setting and no relation, so they are made,
//! resumed and checked like a claim's. Other rows show another number of the same runs: a
//! baseline's, or another metric.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::file::check_seeds;
use super::settings::{check_number, entry_mut, invalid, take_entries};
use super::sweep::lay_over;
use super::{Best, Cell, Claim, ClaimError, Entry, Setting, Size, file_name};
use crate::commands::FineTuneSettings;
use crate::reading::document::{Node, Value};
use crate::reading::{Layers, Place, SettingsError, read as read_typed, read_text};
use crate::recipe::Recipe;

/// The untrained baseline: the same network with random weights, or fine-tuned from scratch.
pub const UNTRAINED: &str = "random_init";

/// The keys of a table's file, for suggestions.
const KEYS: [&str; 19] = [
    "summary",
    "note",
    "seeds",
    "column",
    "column.name",
    "column.metric",
    "column.finetune",
    "row",
    "row.name",
    "row.recipe",
    "row.set",
    "row.metric",
    "row.metrics",
    "row.finetune",
    "row.of",
    "row.baseline",
    "quick",
    "quick.seeds",
    "quick.finetune",
];

/// A table of results, with the runs that it needs.
#[derive(Clone, Debug)]
pub struct ResultTable {
    /// The file's name without its ending.
    pub name: String,
    /// What it compares, in a sentence.
    pub summary: String,
    /// What a reader must know to judge it.
    pub note: Option<String>,
    /// Whether every recipe is in its reduced form.
    pub quick: bool,
    /// Seeds of each row.
    pub seeds: Vec<u64>,
    /// The columns.
    pub columns: Vec<ResultColumn>,
    /// The rows.
    pub rows: Vec<ResultRow>,
}

/// A column of a [`ResultTable`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultColumn {
    /// Its heading.
    pub name: String,
    /// Where its numbers come from.
    pub measure: Measure,
}

/// Where the numbers of a column come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The metric of this name in a run's `summary.json`, of its evaluation or its training.
    Metric(String),
    /// The metric that each row names.
    Own,
    /// Fine-tuning of the trained network with these settings, `key=value` each.
    FineTune(Vec<String>),
}

/// A row of a [`ResultTable`].
#[derive(Clone, Debug)]
pub struct ResultRow {
    /// Its name.
    pub name: String,
    /// The runs that its numbers come from.
    pub origin: Origin,
    /// The metric that [`Measure::Own`] shows, by its name in `summary.json`.
    pub metric: String,
    /// Whether its network can be fine-tuned.
    pub finetune: bool,
    /// This row's names for the columns' metrics, where they differ.
    metrics: BTreeMap<String, String>,
}

/// The runs that a row's numbers come from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// The row's own runs.
    Runs(Box<Claim>),
    /// The runs of an earlier row.
    Row {
        /// Index of that row.
        place: usize,
        /// The prefix of a baseline's metrics, such as `random_init`; `None` for the trained
        /// network.
        baseline: Option<String>,
    },
}

/// The layers over a table's file.
#[derive(Clone, Debug, Default)]
pub struct TableLayers {
    /// Use the reduced form of every recipe and of the table.
    pub quick: bool,
    /// Overrides of every recipe, `key=value` each.
    pub set: Vec<String>,
    /// Seeds in place of the file's, if any.
    pub seeds: Vec<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    summary: String,
    #[serde(default)]
    note: Option<String>,
    seeds: Vec<u64>,
    #[serde(default)]
    column: Vec<ColumnText>,
    #[serde(default)]
    row: Vec<RowText>,
    #[serde(default)]
    quick: QuickText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnText {
    name: String,
    #[serde(default)]
    metric: Option<String>,
    #[serde(default)]
    finetune: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowText {
    name: String,
    #[serde(default)]
    recipe: Option<String>,
    #[serde(default)]
    metric: Option<String>,
    #[serde(default)]
    metrics: BTreeMap<String, String>,
    #[serde(default)]
    finetune: Option<bool>,
    #[serde(default)]
    of: Option<String>,
    #[serde(default)]
    baseline: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct QuickText {
    seeds: Option<Vec<u64>>,
    finetune: Vec<String>,
}

impl ResultTable {
    /// Reads the table at `path`, whose recipes lie in the folder `recipes`.
    ///
    /// # Errors
    /// [`ClaimError`], which names the key, its file and line, and what is accepted.
    pub fn load(path: &Path, recipes: &Path, layers: &TableLayers) -> Result<Self, ClaimError> {
        let text =
            read_text(path).map_err(|source| ClaimError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path, recipes, layers)
    }

    /// Reads the table in `text`; `path` names it, and is shown in errors.
    ///
    /// # Errors
    /// As [`ResultTable::load`].
    pub fn parse(
        text: &str,
        path: &Path,
        recipes: &Path,
        layers: &TableLayers,
    ) -> Result<Self, ClaimError> {
        let mut document = Node::parse(text, path)?;
        let sets = row_sets(&mut document)?;
        let file: File = read_typed(&document, &KEYS.map(str::to_owned))?;
        let place = document.place.clone();
        let seeds = match (&layers.seeds[..], &file.quick.seeds) {
            ([], Some(quick)) if layers.quick => quick,
            ([], _) => &file.seeds,
            (asked, _) => asked,
        };
        for (key, seeds) in
            [("seeds", Some(&file.seeds)), ("quick.seeds", file.quick.seeds.as_ref())]
        {
            seeds.map_or(Ok(()), |seeds| check_seeds(key, seeds, &place))?;
        }
        check_seeds("seeds", seeds, &place)?;
        let mut table = Self {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            summary: file.summary,
            note: file.note,
            quick: layers.quick,
            seeds: seeds.to_vec(),
            columns: Vec::new(),
            rows: Vec::new(),
        };
        for column in file.column {
            let quick: &[String] = if layers.quick { &file.quick.finetune } else { &[] };
            let measure = measure(&column, quick, &place)?;
            table.columns.push(ResultColumn { name: column.name, measure });
        }
        FineTuneSettings::parse(&file.quick.finetune)?;
        for (row, (set, place)) in file.row.into_iter().zip(sets) {
            let row = table.row(row, set, &place, recipes, layers)?;
            table.rows.push(row);
        }
        table.check(&place)?;
        Ok(table)
    }

    fn row(
        &self,
        row: RowText,
        set: Vec<Entry>,
        place: &Place,
        recipes: &Path,
        layers: &TableLayers,
    ) -> Result<ResultRow, ClaimError> {
        let RowText { name, recipe, metric, metrics, finetune, of, baseline } = row;
        let refuse = |message: String| Err(invalid(place, format!("row {name}: {message}")).into());
        match (recipe, of) {
            (Some(recipe), None) if baseline.is_none() => {
                let claim = self.claim_of(&name, recipe, metric, set, place, recipes, layers)?;
                let (metric, finetune) = (claim.metric.clone(), finetune.unwrap_or(true));
                let origin = Origin::Runs(Box::new(claim));
                Ok(ResultRow { name, origin, metric, finetune, metrics })
            }
            (None, Some(of)) if set.is_empty() && metrics.is_empty() && finetune.is_none() => {
                let with_runs = |row: &ResultRow| matches!(row.origin, Origin::Runs(_));
                let place = self.rows.iter().position(|row| row.name == of && with_runs(row));
                let Some(place) = place else {
                    return refuse(format!("of = {of:?} is not an earlier row with a recipe"));
                };
                let above = &self.rows[place];
                let finetune =
                    above.finetune && baseline.as_deref().is_none_or(|name| name == UNTRAINED);
                let (origin, metrics) = (Origin::Row { place, baseline }, above.metrics.clone());
                let metric = metric.unwrap_or_else(|| above.metric.clone());
                Ok(ResultRow { name, origin, metric, finetune, metrics })
            }
            _ => refuse(
                "needs either recipe (optionally with set, metrics and finetune) or of (optionally \
                 with baseline)"
                    .to_owned(),
            ),
        }
    }

    /// The claim to which a row's runs belong.
    #[expect(clippy::too_many_arguments, reason = "what a row's file says, part by part")]
    fn claim_of(
        &self,
        name: &str,
        recipe: String,
        metric: Option<String>,
        mut set: Vec<Entry>,
        place: &Place,
        recipes: &Path,
        layers: &TableLayers,
    ) -> Result<Claim, ClaimError> {
        let path = crate::find(recipes, &recipe)
            .map_err(|error| invalid(place, format!("row {name}: {error}")))?;
        let about = <Recipe>::outline(&path)?.about;
        lay_over(&mut set, &path, &Layers { quick: layers.quick, set: layers.set.clone() })?;
        let label = name.to_owned();
        Ok(Claim {
            name: file_name(name),
            source: String::new(),
            summary: format!("{name} in the table {}.", self.name),
            note: None,
            recipe,
            metric: metric.unwrap_or(about.metric),
            seeds: self.seeds.clone(),
            axis: None,
            settings: vec![Setting { label, number: None, set: Vec::new() }],
            paper: None,
            holds: Vec::new(),
            narrows: Vec::new(),
            best: Some(Best::Greatest),
            size: Size::Full,
            set,
            recipe_place: place.clone(),
        })
    }

    fn check(&self, place: &Place) -> Result<(), SettingsError> {
        let rows = self.rows.iter().map(|row| &row.name).collect::<Vec<_>>();
        let columns = self.columns.iter().map(|column| &column.name).collect::<Vec<_>>();
        for (what, names) in [("row", rows), ("column", columns)] {
            if names.is_empty() {
                return Err(invalid(place, format!("the table has no [[{what}]]")));
            }
            check_number(&format!("{what}s"), names.len(), place)?;
            for (i, name) in names.iter().enumerate() {
                if names[..i].iter().any(|earlier| file_name(earlier) == file_name(name)) {
                    let message =
                        format!("two {what}s would use the folder name of {name}; rename one");
                    return Err(invalid(place, message));
                }
            }
        }
        Ok(())
    }

    /// The claim whose runs give a row its numbers.
    ///
    /// # Panics
    /// When there is no row at this index.
    pub fn claim(&self, row: usize) -> &Claim {
        match &self.rows[row].origin {
            Origin::Runs(claim) => claim,
            Origin::Row { place, .. } => self.claim(*place),
        }
    }

    /// The runs that give a row its numbers, seed by seed.
    ///
    /// # Errors
    /// [`ClaimError`] when the row gives an invalid recipe.
    ///
    /// # Panics
    /// When there is no row at this index.
    pub fn cells(&self, row: usize, recipes: &Path) -> Result<Vec<Cell>, ClaimError> {
        self.claim(row).cells(recipes)
    }
}

impl ResultColumn {
    /// Name of the column's fine-tuning folder inside a run's folder.
    pub fn folder(&self) -> String {
        format!("finetune-{}", file_name(&self.name))
    }
}

impl ResultRow {
    /// Name of a column's metric in the summary of this row's runs; `None` for a fine-tuning.
    pub fn metric_of(&self, measure: &Measure) -> Option<String> {
        let metric = match measure {
            Measure::Metric(metric) => self.metrics.get(metric).unwrap_or(metric),
            Measure::Own => &self.metric,
            Measure::FineTune(_) => return None,
        };
        Some(match &self.origin {
            Origin::Row { baseline: Some(baseline), .. } => format!("{baseline}.{metric}"),
            _ => metric.clone(),
        })
    }
}

fn measure(column: &ColumnText, quick: &[String], place: &Place) -> Result<Measure, SettingsError> {
    match (&column.metric, &column.finetune) {
        (Some(metric), None) => Ok(Measure::Metric(metric.clone())),
        (None, None) => Ok(Measure::Own),
        (None, Some(set)) => {
            FineTuneSettings::parse(set)?;
            Ok(Measure::FineTune(set.iter().chain(quick).cloned().collect()))
        }
        (Some(_), Some(_)) => {
            let message = format!("column {}: metric and finetune exclude each other", column.name);
            Err(invalid(place, message))
        }
    }
}

/// The `set` of each row and where the row stands.
fn row_sets(document: &mut Node) -> Result<Vec<(Vec<Entry>, Place)>, SettingsError> {
    let Some(Value::Array(rows)) = entry_mut(document, "row").map(|node| &mut node.value) else {
        return Ok(Vec::new());
    };
    rows.iter_mut().map(|row| Ok((take_entries(row, "set")?, row.place.clone()))).collect()
}
