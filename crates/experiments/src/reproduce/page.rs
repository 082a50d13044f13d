//! `index.html`: one self-contained page about a claim and what its runs said.

use anyhow::Result;
use bauta_recipe::claim::Claim;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::findings::{Findings, Row, over, spread};
use super::plot::plot;
use crate::report::STYLE;
use crate::summary::Summary;

const MORE: &str = "
.held { color: #116329; font-weight: 600; } .failed { color: #a40e26; font-weight: 600; }
td.paper, th.paper { color: #bc4c00; }
";

/// Writes the page.
///
/// # Errors
/// When a plot cannot be drawn.
pub fn page(claim: &Claim, findings: &Findings, summaries: &[Summary]) -> Result<String> {
    let mut plots = Vec::new();
    for (column, name) in findings.metrics.iter().enumerate() {
        let with_paper = column == 0 && claim.paper.is_some();
        plots.push((name, plot(findings, column, with_paper)?));
    }
    let seeds = claim.seeds.len();
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (claim.name) " · Bauta" }
                style { (PreEscaped(STYLE)) (PreEscaped(MORE)) }
            }
            body {
                h1 { (claim.name) @if claim.quick { " (quick)" } }
                p.lead { (claim.summary) br; (claim.source) }
                h2 { "Verdict" }
                p class=(fate(findings.held())) { (findings.verdict()) }
                ul {
                    @for judgement in &findings.judgements {
                        li class=(fate(judgement.held)) { (judgement.sentence) }
                    }
                }
                h2 { "Paper against ours" }
                table {
                    tr {
                        th { (findings.axis) } th.paper { "paper" }
                        @for metric in &findings.metrics { th { (metric) } }
                    }
                    @for row in &findings.rows { (line(row)) }
                }
                p.lead {
                    "Ours: " (over(seeds)) "."
                    @if let Some(what) = &findings.paper { " Paper: " (what) "." }
                }
                @for (name, svg) in &plots {
                    figure { (PreEscaped(svg)) figcaption { (name) " over " (findings.axis) } }
                }
                @if let Some(note) = &claim.note { h2 { "What differs from the paper" } p { (note) } }
                (settings(claim, findings, summaries))
            }
        }
    };
    Ok(markup.into_string())
}

fn line(row: &Row) -> Markup {
    html! {
        tr {
            td { (row.label) }
            td.paper { @match row.paper { Some(number) => (number), None => "–" } }
            @for ours in &row.ours { td { (spread(ours)) } }
        }
    }
}

fn settings(claim: &Claim, findings: &Findings, summaries: &[Summary]) -> Markup {
    let seeds: Vec<String> = claim.seeds.iter().map(u64::to_string).collect();
    let machine = summaries.first().map(|s| {
        format!("{}, {} threads, {}; Bauta {}", s.device, s.threads, s.precision, s.version)
    });
    html! {
        h2 { "Settings" }
        table {
            (setting("recipe", &claim.recipe))
            @for (key, value) in claim.fixed() { (setting(key, &value)) }
            (setting("seeds", &seeds.join(", ")))
            @if let Some(machine) = machine { (setting("machine", &machine)) }
            (setting("time", &findings.time()))
        }
        p.lead {
            "Each run has a folder beside this page, with its resolved recipe, its report and its "
            "checkpoints. Runs of another version of the program are never mixed in."
        }
    }
}

fn setting(name: &str, value: &str) -> Markup {
    html! { tr { td { (name) } td { (value) } } }
}

fn fate(held: bool) -> &'static str {
    if held { "held" } else { "failed" }
}
