//! A claim's runs, one after another.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use bauta_recipe::claim::{Cell, Claim};

use super::findings::metric;
use super::run::{Fingerprint, State, begin, put_aside, state};
use crate::ReportError;
use crate::number::short;
use crate::summary::Summary;

/// Makes the missing runs of a claim, each in the folder of its name below `folder`, and passes a
/// line about each to `tell`.
///
/// A finished run is not repeated, an interrupted one is resumed, and one with another
/// `fingerprint` or other settings is moved to `earlier`.
///
/// # Errors
/// Errors of `fingerprint`; errors of `make`, with the run's name, where the finished runs are
/// kept; [`ReportError::Write`] and [`ReportError::Move`] when a folder cannot be changed.
pub fn sweep<E: Into<Box<dyn Error + Send + Sync>>>(
    claim: &Claim,
    cells: &[Cell],
    folder: &Path,
    fingerprint: impl Fn(&Cell) -> Result<Fingerprint, E>,
    mut make: impl FnMut(&Cell, &Path) -> Result<Summary, E>,
    mut tell: impl FnMut(&str),
) -> Result<Vec<Summary>, ReportError> {
    let callers = |error: E| ReportError::Caller(error.into());
    let mut summaries = Vec::with_capacity(cells.len());
    for (place, cell) in cells.iter().enumerate() {
        let own = folder.join(&cell.name);
        let fingerprint = fingerprint(cell).map_err(callers)?;
        let start = Instant::now();
        let (summary, how) = match state(&own, cell, &fingerprint) {
            State::Finished(summary) => (*summary, "finished earlier".to_owned()),
            state => {
                let going_on = state == State::Begun;
                if let State::Foreign(why) = state {
                    let aside = put_aside(folder, &cell.name)?;
                    tell(&format!("{}: {why}; put aside in {}", cell.name, aside.display()));
                }
                begin(&own, &fingerprint)?;
                let made = make(cell, &own);
                let summary = made.map_err(|error| callers(error).of(&cell.name))?;
                let taken = format!("{:.0} s", start.elapsed().as_secs_f64());
                (summary, if going_on { format!("{taken}, resumed") } else { taken })
            }
        };
        tell(&line(claim, cells, place, &summary, &how)?);
        summaries.push(summary);
    }
    Ok(summaries)
}

/// A line such as `[2/8] mask.ratio 0.5, seed 0: linear_top1 0.4812, 1834 samples/s (43 s)`.
fn line(
    claim: &Claim,
    cells: &[Cell],
    place: usize,
    summary: &Summary,
    how: &str,
) -> Result<String, ReportError> {
    let cell = &cells[place];
    let axis = claim.axis.as_ref().map_or_else(String::new, |key| format!("{key} "));
    Ok(format!(
        "[{}/{}] {axis}{}, seed {}: {} {}, {:.0} samples/s ({how})",
        place + 1,
        cells.len(),
        claim.settings[cell.setting].label(),
        cell.seed,
        claim.metric,
        short(metric(summary, &claim.metric).map_err(|error| error.of(&cell.name))?),
        summary.train.samples_per_second,
    ))
}
