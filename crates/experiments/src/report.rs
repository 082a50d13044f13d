//! `report.html`: one self-contained page about a run, and its table for the terminal.

mod curves;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use bauta_files::write_whole;
use bauta_recipe::{Layers, Recipe};
use bauta_train::MetricsLog;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::evaluation;
use crate::summary::Summary;

pub(crate) const STYLE: &str = "
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.5rem; }
.lead { color: #57606a; }
table { border-collapse: collapse; display: block; max-width: 100%; overflow-x: auto; } th, td { padding: .3rem .9rem; border-bottom: 1px solid #d8dee4; text-align: right; }
th:first-child, td:first-child { text-align: left; }
td.best { font-weight: 600; }
figure { margin: 1rem 0; } figcaption { color: #57606a; font-size: .9rem; }
figure img { max-width: 100%; image-rendering: pixelated; } figure svg { max-width: 100%; height: auto; }
pre { background: #f6f8fa; padding: 1rem; overflow-x: auto; font-size: .85rem; }
";

/// Writes the report of a finished run from the files of its folder.
///
/// # Errors
/// When a file of the folder is missing or unusable, or the page cannot be written.
pub fn write(folder: &Path) -> Result<()> {
    let summary = Summary::read(&folder.join("summary.json"))?;
    let recipe_path = folder.join("recipe.toml");
    let recipe = Recipe::load(&recipe_path, &Layers::default())?;
    let recipe_text = fs::read_to_string(&recipe_path)
        .with_context(|| format!("cannot read {}", recipe_path.display()))?;
    let records = MetricsLog::read(&folder.join("metrics.jsonl"))?;
    let protocols = evaluation::describe(&recipe.eval)?;
    let (curves, pictures) = (curves::draw(&records)?, pictures(folder)?);
    let page = page(&summary, &recipe, &recipe_text, &protocols, &curves, &pictures);
    let path = folder.join("report.html");
    write_whole(&path, page.into_string().as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The metrics against their baselines, for a terminal.
pub fn table(summary: &Summary) -> String {
    let mut text = format!(
        "{} steps, {} images in {:.0} s ({:.0} images/s); loss {:.3} -> {:.3}\n",
        summary.train.steps,
        summary.train.samples,
        summary.train.seconds,
        summary.train.samples_per_second,
        summary.train.first_loss,
        summary.train.final_loss,
    );
    let prefixes = baseline_names(summary);
    let width = summary.eval.keys().map(|name| name.len() + 2).fold(22, usize::max);
    text += &format!("{:width$}{:>12}", "", "trained");
    for prefix in &prefixes {
        text += &format!("{prefix:>14}");
    }
    for (metric, value) in &summary.eval {
        text += &format!("\n{metric:width$}{value:12.4}");
        for prefix in &prefixes {
            match summary.baseline.get(&format!("{prefix}.{metric}")) {
                Some(value) => text += &format!("{value:14.4}"),
                None => text += &format!("{:>14}", "-"),
            }
        }
    }
    text
}

fn page(
    summary: &Summary,
    recipe: &Recipe,
    recipe_text: &str,
    protocols: &[String],
    curves: &[curves::Curve],
    pictures: &[Picture],
) -> Markup {
    let train = &summary.train;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (summary.recipe) " · Bauta" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (summary.recipe) }
                p.lead { (recipe.about.summary) br; (recipe.about.paper) }
                h2 { "Result" }
                (metrics(summary))
                p.lead {
                    "Test split of " (recipe.data.name) ". Features: "
                    (recipe.eval.features.describe()) " after the final norm, of whole images, "
                    "seed " (summary.seed) ". Baselines go through the same code."
                    @for protocol in protocols { br; (protocol) }
                }
                @if let Some(finetune) = &recipe.eval.finetune {
                    p.lead { (finetune.describe()) }
                }
                h2 { "Training" }
                table {
                    (row("optimiser steps", &train.steps.to_string()))
                    (row("images seen", &train.samples.to_string()))
                    (row("time", &format!("{:.1} min", train.seconds / 60.0)))
                    (row("images a second", &format!("{:.0}", train.samples_per_second)))
                    (row("waiting for data", &share(train.data_seconds, train.seconds)))
                    (row("loss, first step", &format!("{:.4}", train.first_loss)))
                    (row("loss, last window", &format!("{:.4}", train.final_loss)))
                    (row("parameters", &train.parameters.to_string()))
                    (row("images skipped as unreadable", &train.skipped_images.to_string()))
                    (row("evaluation", &format!("{:.1} min", summary.eval_seconds / 60.0)))
                    (row("device", &format!("{}, {} threads, {}", summary.device, summary.threads, summary.precision)))
                    (row("seed", &summary.seed.to_string()))
                    @if let Some(teacher) = &summary.teacher {
                        (row("teacher", &format!("{}, SHA-256 {}…", teacher.path.display(), &teacher.sha256[..12])))
                    }
                }
                h2 { "Curves" }
                @for curve in curves {
                    figure { (PreEscaped(&curve.svg)) figcaption { (curve.caption) } }
                }
                h2 { "Pictures" }
                @for picture in pictures {
                    figure {
                        img alt=(picture.name) src={ "data:" (picture.media_type) ";base64," (picture.base64) };
                        figcaption { (picture.caption()) }
                    }
                }
                h2 { "Recipe" }
                pre { (recipe_text) }
                p.lead { "Bauta " (summary.version) }
            }
        }
    }
}

fn metrics(summary: &Summary) -> Markup {
    let prefixes = baseline_names(summary);
    html! {
        table {
            tr { th { "metric" } th { "trained" } @for prefix in &prefixes { th { (prefix) } } }
            @for (metric, &value) in &summary.eval {
                @let baselines: Vec<Option<f64>> = prefixes.iter()
                    .map(|prefix| summary.baseline.get(&format!("{prefix}.{metric}")).copied())
                    .collect();
                @let best = match is_error(metric) {
                    true => f64::INFINITY,
                    false => baselines.iter().flatten().fold(value, |best, &b| best.max(b)),
                };
                tr {
                    td { (metric) }
                    (cell(Some(value), best))
                    @for baseline in baselines { (cell(baseline, best)) }
                }
            }
        }
    }
}

/// Errors are in each encoder's own unit: none of them is the best.
fn is_error(metric: &str) -> bool {
    metric.contains("_mse") || metric.contains("_loss")
}

fn cell(value: Option<f64>, best: f64) -> Markup {
    match value {
        Some(value) => html! { td.best[value >= best] { (format!("{value:.4}")) } },
        None => html! { td { "–" } },
    }
}

fn row(name: &str, value: &str) -> Markup {
    html! { tr { td { (name) } td { (value) } } }
}

fn share(part: f64, whole: f64) -> String {
    format!("{:.1} %", 100.0 * part / whole.max(f64::MIN_POSITIVE))
}

/// The prefixes of the baselines' names, in their order: `random_init`, `raw_pixels`.
fn baseline_names(summary: &Summary) -> Vec<&str> {
    let mut names: Vec<&str> =
        summary.baseline.keys().filter_map(|name| name.split_once('.')).map(|(p, _)| p).collect();
    names.dedup();
    names
}

struct Picture {
    name: String,
    media_type: &'static str,
    base64: String,
}

impl Picture {
    fn caption(&self) -> &str {
        match self.name.as_str() {
            "reconstructions" => {
                "Test images: original, what the encoder saw, reconstruction of the hidden \
                 patches (visible ones pasted back; standardised predictions are brought back \
                 with each patch's true mean and deviation)."
            }
            "mixtures" => {
                "Test images, each mixed with the next by the shares 0.3 and 0.7: what the encoder \
                 saw, the mixture, the subordinate image and its reconstruction, the dominant image \
                 and its (visible patches are the true image's)."
            }
            "attention" => {
                "Test images: where the last block's class token looks, mean of the heads, \
                 spread to the full range in each image."
            }
            "neighbours" => {
                "Test images, each followed by those of the first 2,000 test images whose features \
                 are the most alike (standardised, by cosine)."
            }
            "projection" => {
                "Features of the first 2,000 test images on their two principal components, by class."
            }
            other => other,
        }
    }
}

fn pictures(folder: &Path) -> Result<Vec<Picture>> {
    let folder = folder.join("pictures");
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let context = || format!("cannot read {}", folder.display());
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .with_context(context)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()
        .with_context(context)?;
    paths.sort();
    paths
        .iter()
        .filter_map(|path| Some((path, media_type(path)?)))
        .map(|(path, media_type)| {
            let bytes =
                fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Ok(Picture {
                name,
                media_type,
                base64: base64::engine::general_purpose::STANDARD.encode(bytes),
            })
        })
        .collect()
}

fn media_type(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()? {
        "png" => Some("image/png"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}
