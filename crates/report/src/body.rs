//! Sections as HTML.

use std::path::Path;

use maud::{Markup, html};

use crate::ReportError;
use crate::chart::{Chart, Curve};
use crate::heat_map::heat_map;
use crate::html::figure;
use crate::number::shown;
use crate::picture::embed;
use crate::section::{Body, Section, Series, TableCell};

/// A section under its heading; its pictures are read from the run's folder.
///
/// # Errors
/// When a picture cannot be read or curves cannot be drawn.
pub fn section(section: &Section, folder: &Path) -> Result<Markup, ReportError> {
    let bodies =
        section.body.iter().map(|body| draw(body, folder)).collect::<Result<Vec<_>, _>>()?;
    Ok(html! { h2 { (section.title) } @for body in bodies { (body) } })
}

fn draw(body: &Body, folder: &Path) -> Result<Markup, ReportError> {
    Ok(match body {
        Body::Text(text) => html! {
            @for paragraph in text.split("\n\n") { p { (paragraph) } }
        },
        Body::Table { head, rows, caption } => figure(&table(head, rows), caption),
        Body::Curves { x, y, series, caption } => curves(x, y, series, caption)?,
        Body::Matrix { rows, columns, values, caption } => {
            figure(&heat_map(rows, columns, values), caption)
        }
        Body::Pictures(pictures) => {
            let pictures = pictures.iter().map(|picture| embed(folder, picture));
            let pictures = pictures.collect::<Result<Vec<_>, _>>()?;
            html! { @for picture in pictures { (picture) } }
        }
    })
}

fn table(head: &[String], rows: &[Vec<TableCell>]) -> Markup {
    let columns: Vec<Column> = (0..head.len()).map(|column| Column::of(rows, column)).collect();
    html! {
        table {
            tr {
                @for (name, column) in head.iter().zip(&columns) { th.words[column.words] { (name) } }
            }
            @for row in rows {
                tr {
                    @for (place, column) in columns.iter().enumerate() {
                        td.words[column.words] { (column.show(row.get(place))) }
                    }
                }
            }
        }
    }
}

/// The format of a column.
struct Column {
    /// Whether it holds text, which is aligned left; numbers are aligned with each other.
    words: bool,
    /// Decimals of all its numbers.
    digits: usize,
}

impl Column {
    fn of(rows: &[Vec<TableCell>], place: usize) -> Self {
        let cells = || rows.iter().filter_map(|row| row.get(place));
        let numbers = cells().filter_map(|cell| match cell {
            TableCell::Number(number) if number.is_finite() => Some(*number),
            _ => None,
        });
        // As many decimals as each number needs by itself; whole numbers need none.
        let digits = |number| shown(number).split_once('.').map_or(0, |(_, digits)| digits.len());
        Self {
            words: cells().any(|cell| matches!(cell, TableCell::Text(_))),
            digits: numbers.map(digits).max().unwrap_or(0),
        }
    }

    fn show(&self, cell: Option<&TableCell>) -> String {
        match cell {
            Some(TableCell::Number(number)) if number.is_finite() => {
                format!("{number:.digits$}", digits = self.digits)
            }
            Some(TableCell::Text(text)) => text.clone(),
            _ => "–".to_owned(),
        }
    }
}

fn curves(x: &str, y: &str, series: &[Series], caption: &str) -> Result<Markup, ReportError> {
    let curve = |(colour, series): (usize, &Series)| Curve {
        colour,
        name: series.name.clone(),
        pieces: vec![series.points.clone()],
    };
    let chart = Chart {
        x: x.to_owned(),
        y: y.to_owned(),
        curves: series.iter().enumerate().map(curve).collect(),
        bands: Vec::new(),
        from_zero: false,
    };
    let drawn = chart.draw()?.unwrap_or_else(|| html! { p.lead { "No values to draw." } });
    Ok(figure(&drawn, caption))
}
