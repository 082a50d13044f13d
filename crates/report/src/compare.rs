//! Finished runs side by side: settings that differ, metrics, curves.

mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::number::shown;
use crate::summary::Summary;
use crate::{MetricsLog, Record, ReportError};

pub use page::page;

/// A row of text cells: a name, then one cell per run.
pub type Line = (String, Vec<Option<String>>);

/// Runs side by side.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The runs' names: the shortest unique ends of their paths.
    pub names: Vec<String>,
    /// Keys of the recipes whose values differ.
    pub settings: Vec<Line>,
    /// Metrics of evaluations, baselines and training.
    pub metrics: Vec<(String, Vec<Option<f64>>)>,
    /// Differences other than in the recipes: version, device, threads.
    pub machines: Vec<Line>,
    /// The logs.
    pub logs: Vec<Vec<Record>>,
}

impl Comparison {
    /// Reads finished runs.
    ///
    /// # Errors
    /// For fewer than two folders, a folder named twice, and one that is not a finished run; the
    /// message says which.
    pub fn of(folders: &[PathBuf]) -> Result<Self, ReportError> {
        if folders.len() < 2 {
            return Err(ReportError::TooFewRuns);
        }
        let mut runs = Vec::new();
        for folder in folders {
            runs.push(read(folder)?);
        }
        let names = names(folders)?;
        let recipes: Vec<&BTreeMap<String, String>> = runs.iter().map(|run| &run.recipe).collect();
        let machines: Vec<BTreeMap<String, String>> =
            runs.iter().map(|run| machine(&run.summary)).collect();
        let metrics: Vec<BTreeMap<String, f64>> =
            runs.iter().map(|run| numbers(&run.summary)).collect();
        let keys: BTreeSet<&String> = metrics.iter().flat_map(BTreeMap::keys).collect();
        let row =
            |key: &String| (key.clone(), metrics.iter().map(|run| run.get(key).copied()).collect());
        Ok(Self {
            names,
            settings: differing(&recipes),
            metrics: keys.into_iter().map(row).collect(),
            machines: differing(&machines.iter().collect::<Vec<_>>()),
            logs: runs.into_iter().map(|run| run.log).collect(),
        })
    }
}

struct Run {
    summary: Summary,
    recipe: BTreeMap<String, String>,
    log: Vec<Record>,
}

fn read(folder: &Path) -> Result<Run, ReportError> {
    let recipe = folder.join("recipe.toml");
    if !recipe.is_file() {
        return Err(ReportError::NoRun(folder.into()));
    }
    let summary = folder.join("summary.json");
    if !summary.is_file() {
        return Err(ReportError::Unfinished(folder.into()));
    }
    let text = fs::read_to_string(&recipe).map_err(ReportError::read(&recipe))?;
    let table: toml::Table = text.parse().map_err(|error| ReportError::Unusable {
        path: recipe,
        message: format!("cannot read the recipe: {error}"),
    })?;
    let mut keys = BTreeMap::new();
    flatten("", &toml::Value::Table(table), &mut keys);
    Ok(Run {
        summary: Summary::read(&summary)?,
        recipe: keys,
        log: MetricsLog::read(&folder.join("metrics.jsonl"))?,
    })
}

fn flatten(prefix: &str, value: &toml::Value, keys: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            // What a recipe says about itself is prose, and its system is listed with the machine.
            let told = |key: &String| prefix.is_empty() && (key == "about" || key == "system");
            for (key, value) in table.iter().filter(|(key, _)| !told(key)) {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&key, value, keys);
            }
        }
        value => drop(keys.insert(prefix.to_owned(), value.to_string())),
    }
}

/// The keys whose values are not the same everywhere.
fn differing(runs: &[&BTreeMap<String, String>]) -> Vec<Line> {
    let keys: BTreeSet<&String> = runs.iter().flat_map(|run| run.keys()).collect();
    let lines = keys.into_iter().map(|key| {
        let cells: Vec<Option<String>> = runs.iter().map(|run| run.get(key).cloned()).collect();
        (key.clone(), cells)
    });
    lines.filter(|(_, cells)| cells.iter().any(|cell| *cell != cells[0])).collect()
}

fn machine(summary: &Summary) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("recipe".to_owned(), summary.recipe.clone()),
        ("system".to_owned(), summary.system.clone()),
        ("version".to_owned(), summary.version.clone()),
        ("device".to_owned(), summary.device.clone()),
        ("threads".to_owned(), summary.threads.to_string()),
        ("processes".to_owned(), summary.processes.to_string()),
        ("precision".to_owned(), summary.precision.clone()),
    ])
}

fn numbers(summary: &Summary) -> BTreeMap<String, f64> {
    let train = &summary.train;
    let mut numbers = summary.eval.clone();
    numbers.extend(summary.baseline.clone());
    for (name, value) in [
        ("train.steps", Some(train.steps as f64)),
        ("train.samples", Some(train.samples as f64)),
        ("train.seconds", Some(train.seconds)),
        ("train.samples_per_second", Some(train.samples_per_second)),
        ("train.first_loss", train.first_loss),
        ("train.final_loss", train.final_loss),
        ("train.parameters", Some(train.parameters as f64)),
    ] {
        numbers.extend(value.map(|value| (name.to_owned(), value)));
    }
    numbers
}

/// The shortest ends of the paths that are all different.
///
/// # Errors
/// [`ReportError::SameRun`] with a folder that is given twice.
fn names(folders: &[PathBuf]) -> Result<Vec<String>, ReportError> {
    let paths: Vec<PathBuf> =
        folders.iter().map(|folder| folder.canonicalize().unwrap_or(folder.clone())).collect();
    let mut known = BTreeSet::new();
    if let Some(again) = paths.iter().position(|path| !known.insert(path)) {
        return Err(ReportError::SameRun(folders[again].clone()));
    }
    let longest = paths.iter().map(|path| path.components().count()).max().unwrap_or(0);
    let names = (1..=longest).find_map(|parts| {
        let end = |path: &PathBuf| {
            let skipped = path.components().count().saturating_sub(parts);
            path.components().skip(skipped).collect::<PathBuf>().display().to_string()
        };
        let names: Vec<String> = paths.iter().map(end).collect();
        let different: BTreeSet<&String> = names.iter().collect();
        (different.len() == names.len()).then_some(names)
    });
    // Paths that are not UTF-8 can look alike even in full.
    Ok(names.unwrap_or_else(|| paths.iter().map(|path| path.display().to_string()).collect()))
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |cells: &[Option<String>]| -> Vec<String> {
            cells.iter().map(|cell| cell.clone().unwrap_or_else(|| "-".to_owned())).collect()
        };
        let mut lines = vec![(String::new(), self.names.clone())];
        for (key, cells) in self.machines.iter().chain(&self.settings) {
            lines.push((key.clone(), text(cells)));
        }
        let settings = lines.len();
        for (name, values) in &self.metrics {
            let cells: Vec<Option<String>> = values.iter().map(|v| v.map(shown)).collect();
            lines.push((name.clone(), text(&cells)));
        }
        let length = |text: &String| text.chars().count();
        let first = lines.iter().map(|(name, _)| length(name)).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.names.len())
            .map(|run| lines.iter().map(|(_, cells)| length(&cells[run])).max().unwrap_or(0))
            .collect();
        for (place, (name, cells)) in lines.iter().enumerate() {
            if place == settings {
                writeln!(f)?;
            }
            write!(f, "{name:<first$}")?;
            for (cell, &width) in cells.iter().zip(&widths) {
                write!(f, "  {cell:>width$}")?;
            }
            writeln!(f)?;
        }
        if settings == 1 {
            writeln!(f, "\nthe settings are the same")?;
        }
        Ok(())
    }
}
