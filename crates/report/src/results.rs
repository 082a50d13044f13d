//! Tables of results: numbers of several recipes' runs, kept as a small file and shown on a page.
//!
//! [`Results`] keeps every seed's number. The HTML page and the Markdown table are generated from
//! it alone.

mod runs;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use bauta_files::write_whole;
use bauta_recipe::claim::{ResultRow, ResultTable, Spread};
use maud::html;
use serde::{Deserialize, Serialize};

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
            ResultsRow { name, numbers, made: None }
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

    /// Copies the rows for which `earlier` has numbers, if it has the same rows, columns and seeds.
    #[must_use]
    pub fn with_rows_of(mut self, earlier: Self) -> Self {
        let names = |rows: &[ResultsRow]| -> Vec<String> {
            rows.iter().map(|row| row.name.clone()).collect()
        };
        let alike = self.columns == earlier.columns
            && self.seeds == earlier.seeds
            && names(&self.rows) == names(&earlier.rows);
        if alike {
            for (row, found) in self.rows.iter_mut().zip(earlier.rows) {
                if !found.is_empty() {
                    *row = found;
                }
            }
        }
        self
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
                "checkpoints and its fine-tunings. Runs of another version of the program are never "
                "mixed in."
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
    /// one.
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
            let of = if one { "in all".to_owned() } else { format!("for {}", names.join(", ")) };
            write!(text, " {made}", made = made.sentence(&of)).expect("a string takes everything");
        }
        let missing: Vec<&str> =
            self.rows.iter().filter(|row| row.is_empty()).map(|row| &*row.name).collect();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            write!(text, " Not made yet: {missing}.").expect("a string takes everything");
        }
        text
    }
}

impl ResultsRow {
    /// Whether it has no numbers.
    pub fn is_empty(&self) -> bool {
        self.numbers.iter().all(Vec::is_empty)
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
mod tests {
    use super::*;

    fn results() -> Results {
        let row = |name: &str, numbers: &[&[f64]], made: Option<Made>| ResultsRow {
            name: name.to_owned(),
            numbers: numbers.iter().map(|numbers| numbers.to_vec()).collect(),
            made,
        };
        Results {
            table: "images".to_owned(),
            quick: false,
            summary: "Two systems.".to_owned(),
            note: Some("Half an epoch <each>.".to_owned()),
            columns: vec!["k-NN".to_owned(), "images/s".to_owned()],
            rows: vec![
                row("MAE", &[&[0.5, 0.6], &[1000.0, 1100.0]], Some(made(12.4, "abc1234"))),
                row("raw | pixels", &[&[0.4, 0.4], &[]], None),
            ],
            seeds: vec![0, 1],
        }
    }

    fn made(minutes: f64, commit: &str) -> Made {
        Made {
            minutes,
            machine: "a processor, 2 threads, fp32".to_owned(),
            set: Vec::new(),
            version: "0.1.0".to_owned(),
            commit: commit.to_owned(),
            date: "2026-11-29 07:00".to_owned(),
        }
    }

    #[test]
    fn the_markdown_has_means_deviations_and_where_they_were_made() {
        let text = results().markdown();
        for line in [
            "### `images`",
            "| | k-NN | images/s |",
            "|---|---|---|",
            "| MAE | 0.5500 ± 0.0707 | 1050 ± 71 |",
            "| raw \\| pixels | 0.4000 ± 0.0000 | – |",
            "Fractions lie in [0, 1]; mean ± standard deviation over 2 seeds. 12 minutes in all on a \
             processor, 2 threads, fp32; Bauta 0.1.0, commit abc1234, 2026-11-29 07:00.",
            "Half an epoch <each>.",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} is not a line of\n{text}");
        }
    }

    #[test]
    fn the_page_shows_the_same_numbers_and_escapes_words() {
        let page = results().page();
        for part in ["0.5500 ± 0.0707", "raw | pixels", "Half an epoch &lt;each&gt;.", "abc1234"] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
        assert!(Results { quick: true, ..results() }.page().contains("images --quick"));
    }

    #[test]
    fn each_row_says_what_made_it_and_rows_that_are_not_made_yet_are_named() {
        let mut results = results();
        let row = |name: &str, numbers: Vec<Vec<f64>>, made| ResultsRow {
            name: name.to_owned(),
            numbers,
            made,
        };
        let numbers = || vec![vec![0.5, 0.5], vec![]];
        results.rows.push(row("dBOT", numbers(), Some(made(7.6, "abc1234"))));
        let set = vec!["train.threads=1".to_owned()];
        results.rows.push(row("MoCo", numbers(), Some(Made { set, ..made(9.0, "def5678") })));
        results.rows.push(row("MixMask", vec![vec![], vec![]], None));
        let text = results.made_by();
        let expected = "Fractions lie in [0, 1]; mean ± standard deviation over 2 seeds. 20 minutes for \
            MAE, dBOT on a processor, 2 threads, fp32; Bauta 0.1.0, commit abc1234, 2026-11-29 07:00. \
            9 minutes for MoCo on a processor, 2 threads, fp32, with train.threads=1; Bauta 0.1.0, commit \
            def5678, 2026-11-29 07:00. Not made yet: MixMask.";
        assert_eq!(text, expected);
    }

    #[test]
    fn rows_made_earlier_are_taken_over_unless_the_table_has_changed() {
        let mut empty = results();
        for row in &mut empty.rows {
            (row.numbers, row.made) = (vec![Vec::new(); 2], None);
        }
        assert_eq!(empty.clone().with_rows_of(results()), results());
        let mut newer = results();
        newer.rows[0].numbers[0] = vec![0.7, 0.8];
        assert_eq!(results().with_rows_of(newer.clone()), newer);
        assert_eq!(newer.clone().with_rows_of(empty.clone()), newer);
        let other = Results { seeds: vec![2, 3], ..results() };
        assert_eq!(empty.clone().with_rows_of(other), empty);
    }

    #[test]
    fn it_is_read_back_and_a_row_that_lacks_a_number_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("images.json");
        let mut results = results();
        results.write(&path).unwrap();
        assert_eq!(Results::read(&path).unwrap(), results);
        results.rows[0].numbers[1].pop();
        results.write(&path).unwrap();
        let error = Results::read(&path).unwrap_err().to_string();
        assert!(error.ends_with("row MAE does not have 2 × 2 numbers"), "{error}");
    }
}
