//! A run's result for a terminal.

use crate::summary::Summary;
use crate::verdict::verdict;

/// Width of a terminal, in columns, at which text is wrapped.
const COLUMNS: usize = 80;

/// The training in one line; if anything was measured, the metrics against their baselines, and a
/// note if training did not help.
pub fn table(summary: &Summary) -> String {
    let train = &summary.train;
    let loss = |loss: Option<f64>| loss.map_or_else(|| "-".to_owned(), |loss| format!("{loss:.3}"));
    let mut text = format!(
        "{} steps, {} samples in {:.0} s ({:.0} samples/s); loss {} -> {}",
        train.steps,
        train.samples,
        train.seconds,
        train.samples_per_second,
        loss(train.first_loss),
        loss(train.final_loss),
    );
    if summary.eval.is_empty() {
        return text;
    }
    let names = baseline_names(summary);
    let width = summary.eval.keys().map(|name| name.len() + 2).fold(22, usize::max);
    text += &format!("\n{:width$}{:>12}", "", "trained");
    for name in &names {
        text += &format!("{name:>14}");
    }
    for (metric, value) in &summary.eval {
        text += &format!("\n{metric:width$}{value:12.4}");
        for name in &names {
            match baseline(summary, name, metric) {
                Some(value) => text += &format!("{value:14.4}"),
                None => text += &format!("{:>14}", "-"),
            }
        }
    }
    if let Some(verdict) = verdict(summary) {
        text += &format!("\n\n{}", broken(&verdict));
    }
    text
}

/// A sentence, wrapped for a terminal.
fn broken(text: &str) -> String {
    let mut column = 0;
    text.split(' ').fold(String::new(), |mut lines, word| {
        let width = word.chars().count();
        let breaks = column > 0 && column + 1 + width > COLUMNS;
        lines += if breaks {
            "\n"
        } else if column > 0 {
            " "
        } else {
            ""
        };
        column = if breaks || column == 0 { width } else { column + 1 + width };
        lines + word
    })
}

/// The prefixes of the baselines' names, in order: `random_init`, `raw_pixels`.
pub(crate) fn baseline_names(summary: &Summary) -> Vec<&str> {
    let mut names: Vec<&str> =
        summary.baseline.keys().filter_map(|name| name.split_once('.')).map(|(p, _)| p).collect();
    names.dedup();
    names
}

/// A baseline's value of a metric.
pub(crate) fn baseline(summary: &Summary, name: &str, metric: &str) -> Option<f64> {
    summary.baseline.get(&format!("{name}.{metric}")).copied()
}
