//! Sections: pieces of a report as data, provided by a system and kept in `sections.json`.
//!
//! The page can therefore be rewritten from the run's folder at any time, and an accuracy matrix or
//! an evolution's progress needs no new code here.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use bauta_files::write_whole;
use serde::{Deserialize, Deserializer, Serialize};

use crate::ReportError;

/// A headed piece of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// Its contents, in order.
    pub body: Vec<Body>,
}

/// One item of a section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// Prose; an empty line starts a new paragraph.
    Text(String),
    /// A table. Cells that a row lacks at its end are shown as dashes.
    Table {
        /// The columns' headings.
        head: Vec<String>,
        /// The rows, each with one cell per column.
        rows: Vec<Vec<TableCell>>,
        /// What it shows; may be empty.
        caption: String,
    },
    /// Curves in one drawing, with a legend if there are several.
    Curves {
        /// Label of the horizontal axis, with its unit.
        x: String,
        /// Label of the vertical axis, with its unit.
        y: String,
        /// The curves.
        series: Vec<Series>,
        /// What they show; may be empty.
        caption: String,
    },
    /// A matrix as a heat map with its numbers in it.
    Matrix {
        /// The rows' names.
        rows: Vec<String>,
        /// The columns' names.
        columns: Vec<String>,
        /// The numbers, row by row; `None` where there is nothing to show.
        values: Vec<Vec<Option<f64>>>,
        /// What rows, columns and numbers are; may be empty.
        caption: String,
    },
    /// Pictures, one below the other.
    Pictures(Vec<PictureFile>),
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TableCell {
    /// A number; fractions are shown with four digits.
    Number(f64),
    /// Words.
    Text(String),
    /// Nothing, shown as a dash; values that are not finite are read back as this.
    Empty,
}

/// A curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its points (x, y), in the order they are joined. One that is not finite is left out.
    #[serde(deserialize_with = "points")]
    pub points: Vec<(f64, f64)>,
}

/// A picture in the run's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureFile {
    /// Path of a `.png` or `.svg` file, relative to the run's folder, such as
    /// `pictures/attention.png`.
    pub file: String,
    /// What it shows.
    pub caption: String,
}

impl From<f64> for TableCell {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for TableCell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for TableCell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Self>> From<Option<T>> for TableCell {
    fn from(cell: Option<T>) -> Self {
        cell.map_or(Self::Empty, Into::into)
    }
}

/// JSON has no numbers that are not finite; such a coordinate was written as `null`.
fn points<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(f64, f64)>, D::Error> {
    let points = Vec::<(Option<f64>, Option<f64>)>::deserialize(deserializer)?;
    let finite = |(x, y): (Option<f64>, Option<f64>)| x.zip(y);
    Ok(points.into_iter().filter_map(finite).collect())
}

impl Section {
    /// Writes a run's sections to `sections.json` in its folder, atomically.
    ///
    /// # Errors
    /// [`ReportError::Write`].
    pub fn write_all(sections: &[Self], folder: &Path) -> Result<(), ReportError> {
        let path = folder.join("sections.json");
        let mut text = serde_json::to_vec_pretty(sections).expect("sections are words and numbers");
        text.push(b'\n');
        write_whole(&path, &text).map_err(ReportError::write(&path))
    }

    /// Reads a run's sections from its folder; without `sections.json` there are none.
    ///
    /// # Errors
    /// [`ReportError::Read`], and [`ReportError::Unusable`] when the file holds something else.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>, ReportError> {
        let path = folder.join("sections.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(ReportError::read(&path)(error)),
        };
        serde_json::from_slice(&text).map_err(|error| {
            let message = format!("cannot read the report's sections: {error}");
            ReportError::Unusable { path, message }
        })
    }
}
