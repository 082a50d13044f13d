//! One self-contained page that compares runs.

use maud::{Markup, html};

use super::{Comparison, Line};
use crate::chart::{Chart, Curve, colour};
use crate::html::{self, figure, or_dash};
use crate::number::shown;
use crate::{Record, ReportError};

/// A quantity of a record, with its caption.
type Quantity = (fn(&Record) -> f64, &'static str);

const QUANTITIES: [Quantity; 4] = [
    (|r| r.loss, "Loss; comparable only where target and mask are the same"),
    (|r| r.samples_per_second, "Samples per second"),
    (|r| r.grad_norm, "Norm of the gradient, before clipping"),
    (|r| r.lr, "Learning rate"),
];

/// Writes the page.
///
/// # Errors
/// When a curve cannot be drawn.
pub fn page(comparison: &Comparison) -> Result<String, ReportError> {
    let mut curves = Vec::new();
    for (quantity, caption) in QUANTITIES {
        curves.extend(draw(comparison, quantity)?.map(|chart| figure(&chart, caption)));
    }
    let names = &comparison.names;
    let differing: Vec<&Line> = comparison.machines.iter().chain(&comparison.settings).collect();
    let content = html! {
        h1 { "Runs side by side" }
        h2 { "Settings that differ" }
        @if differing.is_empty() { p.lead { "The settings are the same." } }
        @else {
            table {
                (header("setting", names))
                @for (key, cells) in differing {
                    tr { td { (key) } @for cell in cells { td { (or_dash(cell.clone())) } } }
                }
            }
        }
        h2 { "Metrics" }
        table {
            (header("metric", names))
            @for (name, values) in &comparison.metrics {
                tr { td { (name) } @for value in values { td { (or_dash(value.map(shown))) } } }
            }
        }
        h2 { "Curves" }
        @for curve in &curves { (curve) }
        @if curves.is_empty() { p.lead { "No run has a log to draw." } }
    };
    Ok(html::page("Runs side by side", &content))
}

/// The runs' names, in the colours of their curves.
fn header(first: &str, names: &[String]) -> Markup {
    html! {
        tr {
            th { (first) }
            @for (run, name) in names.iter().enumerate() {
                th style={ "color: " (colour(run)) } { (name) }
            }
        }
    }
}

/// One quantity of all runs that have a log, plotted over epochs.
fn draw(
    comparison: &Comparison,
    quantity: fn(&Record) -> f64,
) -> Result<Option<Markup>, ReportError> {
    let curves = comparison.names.iter().zip(&comparison.logs).enumerate();
    let curves = curves.filter(|(_, (_, log))| log.len() > 1).map(|(colour, (name, log))| Curve {
        colour,
        name: name.clone(),
        pieces: pieces(log, quantity),
    });
    let (x, y) = ("epochs".to_owned(), String::new());
    Chart { x, y, curves: curves.collect(), bands: Vec::new(), from_zero: true }.draw()
}

/// One piece per phase, one after another: each phase counts its epochs from 0.
fn pieces(log: &[Record], quantity: fn(&Record) -> f64) -> Vec<Vec<(f64, f64)>> {
    let mut begin = 0.0;
    let mut pieces = Vec::new();
    for phase in log.chunk_by(|a, b| a.phase == b.phase) {
        pieces.push(phase.iter().map(|r| (begin + r.epoch, quantity(r))).collect());
        begin += phase[phase.len() - 1].epoch;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_lie_one_after_another() {
        let record = |phase: &str, epoch: f64| {
            let phase = phase.to_owned();
            Record { phase, epoch, loss: 1.0, ..Record::default() }
        };
        let log = [record("a", 0.5), record("a", 2.0), record("b", 0.5), record("b", 1.0)];
        let expected = [vec![(0.5, 1.0), (2.0, 1.0)], vec![(2.5, 1.0), (3.0, 1.0)]];
        assert_eq!(pieces(&log, |r| r.loss), expected);
    }
}
