//! One self-contained page that sets runs side by side.

use anyhow::Result;
use bauta_train::Record;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::curves::{colour, draw};
use super::{Comparison, Line, shown};
use crate::report::STYLE;

/// A quantity of a record, and what it is called.
type Quantity = (fn(&Record) -> f64, &'static str);

const QUANTITIES: [Quantity; 4] = [
    (|r| r.loss, "Loss; comparable only where target and mask are the same"),
    (|r| r.samples_per_second, "Images a second"),
    (|r| r.grad_norm, "Norm of the gradient, before clipping"),
    (|r| r.lr, "Learning rate"),
];

/// Writes the page.
///
/// # Errors
/// When a curve cannot be drawn.
pub fn page(comparison: &Comparison) -> Result<String> {
    let mut curves = Vec::new();
    for (quantity, caption) in QUANTITIES {
        if let Some(svg) = draw(&comparison.logs, quantity)? {
            curves.push((svg, caption));
        }
    }
    let names = &comparison.names;
    let differing: Vec<&Line> = comparison.machines.iter().chain(&comparison.settings).collect();
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Runs side by side · Bauta" }
                style { (PreEscaped(STYLE)) }
            }
            body {
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
                @for (svg, caption) in &curves {
                    figure { (PreEscaped(svg)) figcaption { (caption) } }
                }
                @if curves.is_empty() { p.lead { "No run has a log to draw." } }
            }
        }
    };
    Ok(markup.into_string())
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

fn or_dash(cell: Option<String>) -> String {
    cell.unwrap_or_else(|| "–".to_owned())
}
