//! `index.html`: one self-contained page about a claim and its results.

use bauta_recipe::claim::Claim;
use maud::{Markup, PreEscaped, html};

use super::findings::{Findings, Row, over, spread};
use super::plot::plot;
use crate::ReportError;
use crate::html::{self, figure, row};
use crate::summary::{Summary, thread_count};

/// Writes the page.
///
/// # Errors
/// When a plot cannot be drawn.
pub fn page(
    claim: &Claim,
    findings: &Findings,
    summaries: &[Summary],
) -> Result<String, ReportError> {
    let mut plots = Vec::new();
    for (column, name) in findings.metrics.iter().enumerate() {
        let with_paper = column == 0 && claim.paper.is_some();
        let svg = PreEscaped(plot(findings, column, with_paper)?);
        plots.push(figure(&svg, &format!("{name} over {}", findings.axis)));
    }
    let content = html! {
        h1 { (claim.name) @if let Some(size) = claim.size.table() { " (" (size) ")" } }
        p.lead {
            (claim.summary)
            @if !claim.source.is_empty() { br; (claim.source) }
        }
        h2 { "Verdict" }
        p class=(fate(findings.held())) { (findings.verdict()) }
        ul {
            @for judgement in &findings.judgements {
                li class=(fate(judgement.held)) { (judgement.sentence) }
            }
        }
        h2 { @if findings.paper.is_some() { "Paper against ours" } @else { "Settings" } }
        table {
            tr {
                th { (findings.axis) } @if findings.paper.is_some() { th.paper { "paper" } }
                @for metric in &findings.metrics { th { (metric) } }
            }
            @for row in &findings.rows { (line(row, findings.paper.is_some())) }
        }
        p.lead {
            "Ours: " (over(claim.seeds.len())) "."
            @if let Some(what) = &findings.paper { " Paper: " (what) "." }
        }
        @for plot in &plots { (plot) }
        @if let Some(note) = &claim.note { h2 { "What differs from the paper" } p { (note) } }
        (settings(claim, findings, summaries))
    };
    Ok(html::page(&claim.name, &content))
}

fn line(row: &Row, paper: bool) -> Markup {
    html! {
        tr {
            td { (row.label) }
            @if paper {
                td.paper { @match row.paper { Some(number) => (number), None => "–" } }
            }
            @for ours in &row.ours { td { (spread(ours)) } }
        }
    }
}

fn settings(claim: &Claim, findings: &Findings, summaries: &[Summary]) -> Markup {
    let seeds: Vec<String> = claim.seeds.iter().map(u64::to_string).collect();
    let machine = summaries.first().map(|s| {
        let threads = thread_count(s.threads);
        format!("{}, {threads}, {}; Bauta {}", s.device, s.precision, s.version)
    });
    html! {
        h2 { "What every run has" }
        table {
            (row("recipe", &claim.recipe))
            @for (key, value) in claim.fixed() { (row(key, &value)) }
            (row("seeds", &seeds.join(", ")))
            @if let Some(machine) = machine { (row("machine", &machine)) }
            (row("time", &findings.time()))
        }
        p.lead {
            "Each run has a folder beside this page, with its resolved recipe, its report and its "
            "checkpoints. Runs of another version of the program are never mixed in."
        }
    }
}

fn fate(held: bool) -> &'static str {
    if held { "held" } else { "failed" }
}
