//! Reports as JSON files.

use std::path::Path;

use bauta_files::write_whole;
use serde::Serialize;

use crate::EvalError;

/// Writes a report atomically.
pub(crate) fn write_json(report: &impl Serialize, path: &Path) -> Result<(), EvalError> {
    let mut text = serde_json::to_vec_pretty(report).expect("plain values have a JSON form");
    text.push(b'\n');
    write_whole(path, &text).map_err(|source| EvalError::Write { path: path.into(), source })
}
