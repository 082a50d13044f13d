//! Tables of results: numbers of several recipes' runs, kept as a small file and shown on a page.
//!
//! [`Results`] keeps every seed's number. The HTML page and the Markdown table are generated from
//! it alone.

mod digest;
mod runs;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use bauta_files::write_whole;
use bauta_recipe::claim::{ResultRow, ResultTable, Spread};
use maud::html;
use serde::{Deserialize, Serialize};

pub use self::digest::row_digest;
pub use self::runs::{RowNumbers, TableRuns};
use crate::ReportError;
use crate::claims::{over, spread};
use crate::html;

/// A table of results, possibly incomplete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// The table's name.
    pub table: String,
    /// Whether the recipes were in their reduced forms.
    pub quick: bool,
    /// What it compares, in a sentence.
    pub summary: String,
    /// What a reader must know to judge it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The columns' headings.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<ResultsRow>,
    /// The seeds, in the order of the numbers.
    pub seeds: Vec<u64>,
}

/// A row of [`Results`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultsRow {
    /// Its name.
    pub name: String,
    /// Per column, one number per seed; empty if nothing can be, or has yet been, measured.
    pub numbers: Vec<Vec<f64>>,
    /// Where its runs were made; `None` before they are made, and if another row's runs are shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    /// A digest of the settings that its numbers depend on; `None` before it is made.
    ///
    /// It covers, of every run, the resolved recipe and that of its teacher, with overrides and
    /// without the keys of [`WITHOUT_EFFECT`](bauta_recipe::WITHOUT_EFFECT); and of every column
    /// the name of the metric in this row, or the resolved settings of the fine-tuning. It covers
    /// neither the program nor the machine, which `made` states, nor the headings of the columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether the settings of its table or recipe are not known to be those it was made with.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub former: bool,
}

/// The machine and program of a row's runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// Minutes of training, evaluation and fine-tuning of all its runs together.
    pub minutes: f64,
    /// Processor or device, threads and precision.
    pub machine: String,
    /// Overrides of the recipes, `key=value` each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
    /// Version of Bauta.
    pub version: String,
    /// The commit that the program was built from.
    pub commit: String,
    /// When the row was finished, in universal time.
    pub date: String,
}

impl Results {
    /// The table without numbers.
    pub fn empty(table: &ResultTable) -> Self {
        let columns: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
        let numbers = vec![Vec::new(); columns.len()];
        let row = |row: &ResultRow| {
            let (name, numbers) = (row.name.clone(), numbers.clone());
            ResultsRow { name, numbers, made: None, digest: None, former: false }
        };
        Self {
            table: table.name.clone(),
            quick: table.quick,
            summary: table.summary.clone(),
            note: table.note.clone(),
            rows: table.rows.iter().map(row).collect(),
            seeds: table.seeds.clone(),
            columns,
        }
    }

    /// Copies the rows for which `earlier` has numbers, by name; rows that only `earlier` has are
    /// left out.
    ///
    /// # Errors
    /// If `earlier` is of another table, or has other columns or seeds: what it has, in words.
    pub fn with_rows_of(mut self, earlier: Self) -> Result<Self, String> {
        let list = |seeds: &[u64]| seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let refuse = |what: &str, found: String, wanted: String| {
            Err(format!("the {what} {found}, not {wanted}"))
        };
        if earlier.title() != self.title() {
            return refuse("name", earlier.title(), self.title());
        }
        if earlier.columns != self.columns {
            return refuse("columns", earlier.columns.join(" | "), self.columns.join(" | "));
        }
        if earlier.seeds != self.seeds {
            return refuse("seeds", list(&earlier.seeds), list(&self.seeds));
        }
        for found in earlier.rows.into_iter().filter(|row| !row.is_empty()) {
            if let Some(row) = self.rows.iter_mut().find(|row| row.name == found.name) {
                *row = found;
            }
        }
        Ok(self)
    }

    /// Reads what [`Results::write`] wrote.
    ///
    /// # Errors
    /// [`ReportError::Read`], and [`ReportError::Unusable`] when the file holds something else, or
    /// rows with more or fewer numbers than columns and seeds.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let text = fs::read(path).map_err(ReportError::read(path))?;
        let unusable = |message: String| ReportError::Unusable { path: path.into(), message };
        let read: Self = serde_json::from_slice(&text)
            .map_err(|error| unusable(format!("cannot read the table of results: {error}")))?;
        let (columns, seeds) = (read.columns.len(), read.seeds.len());
        for ResultsRow { name, numbers, .. } in &read.rows {
            let whole = |numbers: &Vec<f64>| numbers.is_empty() || numbers.len() == seeds;
            if numbers.len() != columns || !numbers.iter().all(whole) {
                let message = format!("row {name} does not have {columns} × {seeds} numbers");
                return Err(unusable(message));
            }
        }
        Ok(read)
    }

    /// Writes it as JSON, atomically.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        let mut text = serde_json::to_vec_pretty(self).expect("words and numbers have a JSON form");
        text.push(b'\n');
        write_whole(path, &text).map_err(ReportError::write(path))
    }

    /// The table in Markdown, under a heading, with the machine and program of its runs.
    pub fn markdown(&self) -> String {
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        let mut out = format!("### `{}`\n\n{}\n\n|", self.title(), self.summary);
        let mut add = |text: &str| out.push_str(text);
        for column in &self.columns {
            add(&format!(" | {}", cell(column)));
        }
        add(" |\n|---|");
        self.columns.iter().for_each(|_| add("---|"));
        for row in &self.rows {
            add(&format!("\n| {}", cell(&row.name)));
            row.numbers.iter().for_each(|numbers| add(&format!(" | {}", shown(numbers))));
            add(" |");
        }
        write!(out, "\n\n{}\n", self.made_by()).expect("a string takes everything");
        if let Some(note) = &self.note {
            write!(out, "\n{note}\n").expect("a string takes everything");
        }
        out
    }

    /// One self-contained page.
    pub fn page(&self) -> String {
        let content = html! {
            h1 { (self.title()) }
            p.lead { (self.summary) }
            table {
                tr { th.words { "row" } @for column in &self.columns { th { (column) } } }
                @for row in &self.rows {
                    tr {
                        td.words { (row.name) }
                        @for numbers in &row.numbers { td { (shown(numbers)) } }
                    }
                }
            }
            p.lead { (self.made_by()) }
            @if let Some(note) = &self.note { h2 { "What to know" } p { (note) } }
            p.lead {
                "Each run has a folder beside this page, with its resolved recipe, its report, its "
                "checkpoints and its fine-tunings. The runs of a row are all made by one version of "
                "the program; each row states its own."
            }
        };
        html::page(&self.table, &content)
    }

    /// `NAME`, or `NAME --quick`.
    fn title(&self) -> String {
        let form = if self.quick { " --quick" } else { "" };
        format!("{}{form}", self.table)
    }

    /// A sentence on how the rows were made; rows with the same machine, settings and commit share
    /// one. Names of rows have commas, so semicolons are between them.
    fn made_by(&self) -> String {
        let mut groups: Vec<(Made, Vec<&str>)> = Vec::new();
        for row in &self.rows {
            let Some(made) = &row.made else { continue };
            match groups.iter_mut().find(|(group, _)| group.is_like(made)) {
                Some((group, names)) => {
                    group.minutes += made.minutes;
                    group.date = group.date.clone().max(made.date.clone());
                    names.push(&row.name);
                }
                None => groups.push((made.clone(), vec![&row.name])),
            }
        }
        let mut text = format!("Fractions lie in [0, 1]; {}.", over(self.seeds.len()));
        let one = groups.len() == 1;
        for (made, names) in &groups {
            let of = if one { "in all".to_owned() } else { format!("for {}", names.join("; ")) };
            write!(text, " {made}", made = made.sentence(&of)).expect("a string takes everything");
        }
        let missing: Vec<&str> =
            self.rows.iter().filter(|row| row.is_empty()).map(|row| &*row.name).collect();
        if !missing.is_empty() {
            let missing = missing.join("; ");
            write!(text, " Not made yet: {missing}.").expect("a string takes everything");
        }
        let former: Vec<&str> =
            self.rows.iter().filter(|row| row.former).map(|row| &*row.name).collect();
        if !former.is_empty() {
            let former = former.join("; ");
            write!(text, " Settings may have changed since these were made: {former}.")
                .expect("a string takes everything");
        }
        text
    }
}

impl ResultsRow {
    /// Whether it has no numbers.
    pub fn is_empty(&self) -> bool {
        self.numbers.iter().all(Vec::is_empty)
    }

    /// Takes out its numbers, as before it was made.
    pub fn clear(&mut self) {
        self.numbers.iter_mut().for_each(Vec::clear);
        (self.made, self.digest, self.former) = (None, None, false);
    }
}

impl Made {
    /// Whether both were made by the same program, on the same machine, with the same settings.
    fn is_like(&self, other: &Self) -> bool {
        let Self { machine, set, version, commit, .. } = self;
        (machine, set, version, commit)
            == (&other.machine, &other.set, &other.version, &other.commit)
    }

    fn sentence(&self, of: &str) -> String {
        let Self { minutes, machine, version, commit, date, set } = self;
        let set = match &set[..] {
            [] => String::new(),
            set => format!(", with {}", set.join(", ")),
        };
        format!(
            "{minutes:.0} minutes {of} on {machine}{set}; Bauta {version}, commit {commit}, {date}."
        )
    }
}

/// Mean and standard deviation, or a dash.
fn shown(numbers: &[f64]) -> String {
    Spread::of(numbers).map_or_else(|| "–".to_owned(), |found| spread(&found))
}

#[cfg(test)]
mod tests;
