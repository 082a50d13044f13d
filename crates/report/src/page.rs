//! `report.html`: one self-contained page about a run, from the files of its folder.

mod curves;

use std::fs;
use std::path::Path;

use bauta_files::write_whole;
use maud::{Markup, html};

use crate::html::{or_dash, page, row};
use crate::section::{Body, PictureFile, Section};
use crate::summary::{Summary, Training, thread_count};
use crate::table::{baseline, baseline_names};
use crate::verdict::verdict;
use crate::{MetricsLog, Record, ReportError, body, picture};

/// Writes `report.html` of a finished run from the files of its folder.
///
/// It reads `summary.json`, `recipe.toml` and, if they exist, `metrics.jsonl`, `sections.json` and
/// `pictures/`.
///
/// # Errors
/// When a file of the folder is missing or unusable, or the page cannot be written.
pub fn write(folder: &Path) -> Result<(), ReportError> {
    let summary = Summary::read(&folder.join("summary.json"))?;
    let recipe = RecipeFile::read(&folder.join("recipe.toml"))?;
    let records = MetricsLog::read(&folder.join("metrics.jsonl"))?;
    let curves = curves::draw(&records)?;
    let sections = Section::read_all(folder)?;
    let shown = sections.iter().map(|section| body::section(section, folder));
    let shown = shown.collect::<Result<Vec<_>, _>>()?;
    let more = unnamed(folder, &sections)?;
    let content = html! {
        h1 { (summary.recipe) }
        p.lead { (recipe.text("about", "summary")) br; (recipe.text("about", "paper")) }
        h2 { "Result" }
        (result(&summary, &recipe))
        h2 { "Training" }
        (training(&summary, &records))
        @if !curves.is_empty() { h2 { "Curves" } }
        @for curve in &curves { (curve) }
        @for section in &shown { (section) }
        @if !more.is_empty() { h2 { "Pictures" } }
        @for picture in &more { (picture) }
        h2 { "Recipe" }
        pre { (recipe.written) }
        p.lead { "Bauta " (summary.version) }
    };
    let path = folder.join("report.html");
    write_whole(&path, page(&summary.recipe, &content).as_bytes())
        .map_err(ReportError::write(&path))
}

/// A recipe of any system and any version: only its description and its data are read.
struct RecipeFile {
    written: String,
    table: toml::Table,
}

impl RecipeFile {
    fn read(path: &Path) -> Result<Self, ReportError> {
        let written = fs::read_to_string(path).map_err(ReportError::read(path))?;
        let table = written.parse().map_err(|error| ReportError::Unusable {
            path: path.into(),
            message: format!("cannot read the recipe: {error}"),
        })?;
        Ok(Self { written, table })
    }

    /// The text of a key of a section, or an empty string.
    fn text(&self, section: &str, key: &str) -> &str {
        let value = self.table.get(section).and_then(|section| section.get(key));
        value.and_then(toml::Value::as_str).unwrap_or_default()
    }

    /// The part of the data that the metrics were measured on, in words.
    fn measured_on(&self) -> &'static str {
        let held_out = self.table.get("data").and_then(|data| data.get("validation"));
        if held_out.is_some() { "Held-out training images" } else { "Test split" }
    }
}

fn result(summary: &Summary, recipe: &RecipeFile) -> Markup {
    let data = recipe.text("data", "name");
    html! {
        (metrics(summary))
        p.lead {
            @if summary.eval.is_empty() { "Only the training was measured. " }
            @else { (recipe.measured_on()) @if !data.is_empty() { " of " (data) } ". " }
            "Seed " (summary.seed) "."
            @if !summary.baseline.is_empty() { " Baselines go through the same code." }
            @for protocol in &summary.protocols { br; (protocol) }
        }
        @if let Some(verdict) = verdict(summary) { p { strong { (verdict) } } }
    }
}

/// The metrics next to their baselines.
fn metrics(summary: &Summary) -> Markup {
    let names = baseline_names(summary);
    html! {
        @if !summary.eval.is_empty() {
            table {
                tr { th { "metric" } th { "trained" } @for name in &names { th { (name) } } }
                @for (metric, &value) in &summary.eval {
                    @let baselines: Vec<Option<f64>> =
                        names.iter().map(|name| baseline(summary, name, metric)).collect();
                    @let best = best(metric, value, &baselines);
                    tr {
                        td { (metric) }
                        (cell(Some(value), best))
                        @for baseline in baselines { (cell(baseline, best)) }
                    }
                }
            }
        }
    }
}

/// The best value of a metric: the greatest, or the least of an error or a divergence. `None` for
/// mean squared errors and losses, which are in each encoder's own unit, for forgetting, which is
/// small if little was learnt, for deviations, and for a value without baselines.
fn best(metric: &str, value: f64, baselines: &[Option<f64>]) -> Option<f64> {
    let incomparable = metric.contains("_mse")
        || metric.contains("_loss")
        || metric.ends_with("_deviation")
        || metric == "forgetting";
    let others = baselines.iter().flatten().copied();
    let least = metric.ends_with("_error") || metric.ends_with("_divergence");
    let pick = if least { f64::min } else { f64::max };
    others.reduce(pick).filter(|_| !incomparable).map(|other| pick(other, value))
}

fn cell(value: Option<f64>, best: Option<f64>) -> Markup {
    let is_best = best.is_some() && value == best;
    html! { td.best[is_best] { (or_dash(value.map(|value| format!("{value:.4}")))) } }
}

fn training(summary: &Summary, records: &[Record]) -> Markup {
    let train: &Training = &summary.train;
    let peak_share = mean_peak_share(records);
    let last = |of: fn(&Record) -> Option<f64>| records.iter().rev().find_map(of);
    let mean_loss = last(|record| record.mean_loss);
    let uninformed = last(|record| record.uninformed_loss);
    let loss = |loss: Option<f64>| or_dash(loss.map(|loss| format!("{loss:.4}")));
    html! {
        table {
            (row("optimiser steps", &train.steps.to_string()))
            (row("samples seen", &train.samples.to_string()))
            (row("time", &format!("{:.1} min", train.seconds / 60.0)))
            (row("samples per second", &format!("{:.0}", train.samples_per_second)))
            (row("waiting for data", &share(train.data_seconds, train.seconds)))
            @if let Some(peak_share) = peak_share {
                (row("share of the processor's peak", &share(peak_share, 1.0)))
            }
            (row("loss, first step", &loss(train.first_loss)))
            (row("loss, last window", &loss(train.final_loss)))
            @if mean_loss.is_some() { (row("loss of predicting the mean", &loss(mean_loss))) }
            @if uninformed.is_some() {
                (row("uninformed loss, of the same prediction for all samples", &loss(uninformed)))
            }
            (row("parameters", &train.parameters.to_string()))
            (row("samples skipped as unreadable", &train.skipped_samples.to_string()))
            (row("evaluation", &format!("{:.1} min", summary.eval_seconds / 60.0)))
            (row("device", &format!("{}, {}, {}", summary.device, thread_count(summary.threads), summary.precision)))
            @if summary.processes > 1 {
                (row("processes", &format!("{}, each on its share of every batch", summary.processes)))
            }
            (row("seed", &summary.seed.to_string()))
            @if let Some(teacher) = &summary.teacher {
                @let start: String = teacher.sha256.chars().take(12).collect();
                (row("teacher", &format!("{}, SHA-256 {start}…", teacher.path.display())))
            }
        }
    }
}

/// The mean of the records that have a peak share, weighted by time.
fn mean_peak_share(records: &[Record]) -> Option<f64> {
    let (mut reached, mut seconds) = (0.0, 0.0);
    let mut before = 0;
    for record in records {
        let window = record.step.saturating_sub(before) as f64 * record.step_seconds;
        before = record.step;
        if let Some(share) = record.peak_share {
            reached += share * window;
            seconds += window;
        }
    }
    (seconds > 0.0).then(|| reached / seconds)
}

fn share(part: f64, whole: f64) -> String {
    format!("{:.1} %", 100.0 * part / whole.max(f64::MIN_POSITIVE))
}

/// The pictures in the folder that no section names, as in older runs.
fn unnamed(folder: &Path, sections: &[Section]) -> Result<Vec<Markup>, ReportError> {
    let bodies = sections.iter().flat_map(|section| &section.body);
    let named: Vec<&str> = bodies
        .filter_map(|body| match body {
            Body::Pictures(pictures) => Some(pictures),
            _ => None,
        })
        .flatten()
        .map(|picture| picture.file.as_str())
        .collect();
    let other = |picture: &PictureFile| !named.contains(&picture.file.as_str());
    let all = picture::all(folder)?.into_iter().filter(other);
    all.map(|picture| picture::embed(folder, &picture)).collect()
}

#[cfg(test)]
mod tests {
    use super::best;

    #[test]
    fn the_best_is_the_greatest_or_of_errors_and_divergences_the_least() {
        let baselines = [Some(0.5), None, Some(0.75)];
        for (metric, value, expected) in [
            ("linear_top1", 0.25, Some(0.75)),
            ("linear_top1", 1.0, Some(1.0)),
            ("xyz_error", 0.25, Some(0.25)),
            ("xyz_error", 1.0, Some(0.5)),
            ("zipf_divergence", 0.25, Some(0.25)),
            ("pixel_mse", 0.25, None),
            ("forgetting", 0.25, None),
            ("segmentation_top1_10_deviation", 1.0, None),
        ] {
            assert_eq!(best(metric, value, &baselines), expected, "{metric}");
        }
        assert_eq!(best("search_evaluations", 8.0, &[None]), None, "it stands alone");
    }
}
