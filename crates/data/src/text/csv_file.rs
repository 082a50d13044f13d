//! CSV with a column `text` and a column `labels`, RFC 4180.

use std::path::Path;

use bauta_datasets::{DataError, Split};

use super::document::RawDocument;
use super::folder::part_named;
use super::label_list::LabelList;
use crate::regular;

/// Reads a file's documents; `part` applies to rows that name none.
pub(super) fn read(
    file: &Path,
    part: Option<Split>,
    list: Option<&LabelList>,
) -> Result<Vec<RawDocument>, DataError> {
    let bytes = regular::read(file)?;
    let mut reader = csv::ReaderBuilder::new().from_reader(&bytes[..]);
    let header = reader.headers().map_err(|error| broken(file, &error))?.clone();
    let column = |name: &str| header.iter().position(|found| found.trim() == name);
    let needed = |name: &str| {
        column(name).ok_or_else(|| {
            let found = header.iter().collect::<Vec<_>>().join(", ");
            let problem = format!("line 1: there is no column \"{name}\"; found: {found}");
            DataError::malformed(file, problem)
        })
    };
    let (text, labels) = (needed("text")?, needed("labels")?);
    let (split, group) = (column("split"), column("group"));
    let (mut documents, mut last) = (Vec::new(), None);
    for row in reader.records() {
        let row = row.map_err(|error| {
            let open = error.position().and_then(|at| never_closed(file, &bytes, at));
            open.unwrap_or_else(|| broken(file, &error))
        })?;
        let line = row.position().map_or(0, csv::Position::line);
        last = row.position().cloned();
        let cell = |column: Option<usize>| column.and_then(|column| row.get(column));
        let own = match cell(split).map(str::trim).filter(|name| !name.is_empty()) {
            None => part,
            Some(name) => Some(part_named(name).ok_or_else(|| {
                let problem = format!("line {line}: split \"{name}\" must be train or test");
                DataError::malformed(file, problem)
            })?),
        };
        let names = row[labels].split([';', '|']).map(str::trim).filter(|name| !name.is_empty());
        let document = RawDocument {
            text: row[text].to_owned(),
            labels: names.map(str::to_owned).collect(),
            part: own,
            group: cell(group).filter(|group| !group.is_empty()).map(str::to_owned),
        };
        if let Some(list) = list {
            list.check(&document, file, line)?;
        }
        documents.push(document);
    }
    match last.and_then(|last| never_closed(file, &bytes, &last)) {
        Some(error) => Err(error),
        None => Ok(documents),
    }
}

/// The error for a row whose quote is never closed: the reader takes everything after an open quote
/// for one cell.
fn never_closed(file: &Path, bytes: &[u8], last: &csv::Position) -> Option<DataError> {
    let row = &bytes[(last.byte() as usize).min(bytes.len())..];
    let quotes = row.iter().filter(|&&byte| byte == b'"').count();
    let is_open = quotes % 2 == 1 && row.trim_ascii().contains(&b'\n');
    let problem = format!("line {}: a quote is opened and never closed", last.line());
    is_open.then(|| DataError::malformed(file, problem))
}

/// The error for a broken row, with its line.
fn broken(file: &Path, error: &csv::Error) -> DataError {
    let line = error.position().map_or(1, csv::Position::line);
    let problem = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!(
                "the row has {len} cells, but the header has {expected_len}; quote cells that \
                 contain commas"
            )
        }
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
        _ => error.to_string(),
    };
    DataError::malformed(file, format!("line {line}: {problem}"))
}
