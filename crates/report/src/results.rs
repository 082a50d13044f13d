//! Tables of results: numbers of several recipes' runs, kept as a small file and shown on a page.
//!
//! [`Results`] keeps every seed's number. It is the whole truth of a table: the HTML page and the
//! Markdown table are made of it alone.

mod runs;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use bauta_files::write_whole;
use bauta_recipe::claim::Spread;
use maud::html;
use serde::{Deserialize, Serialize};

pub use self::runs::{RowNumbers, TableRuns};
use crate::ReportError;
use crate::claims::{over, spread};
use crate::html;

/// A table of results that was made.
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
    /// What was laid over every recipe, `key=value` each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
    /// The columns' headings.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<ResultsRow>,
    /// The seeds, in the order of the numbers.
    pub seeds: Vec<u64>,
    /// Minutes of training, evaluation and fine-tuning of all runs together.
    pub minutes: f64,
    /// Processor or device, threads and precision.
    pub machine: String,
    /// Version of Bauta.
    pub version: String,
    /// The commit that the program was built from.
    pub commit: String,
    /// When the table was finished, in universal time.
    pub date: String,
}

/// A row of [`Results`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultsRow {
    /// Its name.
    pub name: String,
    /// By column, a number a seed; none where nothing can be measured.
    pub numbers: Vec<Vec<f64>>,
}

impl Results {
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
        for ResultsRow { name, numbers } in &read.rows {
            let whole = |numbers: &Vec<f64>| numbers.is_empty() || numbers.len() == seeds;
            if numbers.len() != columns || !numbers.iter().all(whole) {
                let message = format!("row {name} does not have {columns} × {seeds} numbers");
                return Err(unusable(message));
            }
        }
        Ok(read)
    }

    /// Writes it as JSON, whole or not at all.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        let mut text = serde_json::to_vec_pretty(self).expect("words and numbers have a JSON form");
        text.push(b'\n');
        write_whole(path, &text).map_err(ReportError::write(path))
    }

    /// The table in Markdown, under a heading, with what it was made by.
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

    fn made_by(&self) -> String {
        let Self { minutes, machine, version, commit, date, .. } = self;
        let seeds = over(self.seeds.len());
        let set = match &self.set[..] {
            [] => String::new(),
            set => format!(" With {}.", set.join(", ")),
        };
        format!(
            "Fractions lie in [0, 1]; {seeds}. {minutes:.0} minutes in all on {machine}; Bauta \
             {version}, commit {commit}, {date}.{set}"
        )
    }
}

/// Mean and deviation, or a dash.
fn shown(numbers: &[f64]) -> String {
    Spread::of(numbers).map_or_else(|| "–".to_owned(), |found| spread(&found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let row = |name: &str, numbers: &[&[f64]]| ResultsRow {
            name: name.to_owned(),
            numbers: numbers.iter().map(|numbers| numbers.to_vec()).collect(),
        };
        Results {
            table: "images".to_owned(),
            quick: false,
            summary: "Two systems.".to_owned(),
            note: Some("Half an epoch <each>.".to_owned()),
            set: Vec::new(),
            columns: vec!["k-NN".to_owned(), "images/s".to_owned()],
            rows: vec![
                row("MAE", &[&[0.5, 0.6], &[1000.0, 1100.0]]),
                row("raw | pixels", &[&[0.4, 0.4], &[]]),
            ],
            seeds: vec![0, 1],
            minutes: 12.4,
            machine: "a processor, 2 threads, fp32".to_owned(),
            version: "0.1.0".to_owned(),
            commit: "abc1234".to_owned(),
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
