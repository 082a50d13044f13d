//! The table, the page and the verdict of a claim, from summaries written by hand.

mod claim;

use std::fs;

use bauta_recipe::claim::{Cell, Claim};
use bauta_report::Summary;
use bauta_report::claims::{Findings, metric, page};
use claim::{CLAIM, parse, summary};

struct Case {
    claim: Claim,
    cells: Vec<Cell>,
    summaries: Vec<Summary>,
}

impl Case {
    fn new() -> Self {
        Self::of(CLAIM)
    }

    fn of(claim: &str) -> Self {
        let (claim, cells) = parse(claim);
        let summaries = cells.iter().map(|cell| summary(&claim, cell)).collect();
        Self { claim, cells, summaries }
    }

    fn findings(&self) -> Findings {
        Findings::new(&self.claim, &self.cells, &self.summaries, 3.0).expect("all metrics")
    }
}

#[test]
fn the_table_has_the_paper_ours_and_a_verdict() {
    let findings = Case::new().findings();
    let text = findings.to_string();
    for line in [
        "mask.ratio  paper      linear_top1  samples_per_second",
        "0.25            -  0.4050 ± 0.0071            1000 ± 0",
        "0.75         73.5  0.5050 ± 0.0071            1400 ± 0",
        "ours: mean ± standard deviation over 2 seeds; paper: linear probe, %",
        "held: 0.75 beats 0.25 by 0.1000 ± 0.0000 in linear_top1 \
         (wanted: at least 0.05; so in 2 of 2 seeds)",
        "did not hold: 0.75 is 1.40 ± 0.00 times 0.25 in samples_per_second \
         (wanted: at least 1.5 times; so in 0 of 2 seeds)",
        "The claim did not hold here: 1 of 2 relations did. \
         4.4 min of training and evaluation; this call took 3 s",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is not a line of\n{text}");
    }
    assert!(!findings.held());
}

#[test]
fn a_narrowing_is_judged_and_its_metrics_are_shown() {
    let (before, _) = CLAIM.split_once("[[holds]]").expect("relations");
    let narrows = "[[narrows]]\nmetric = \"linear_top1\"\nthan_metric = \"stage_1.linear_top1\"\n";
    let findings = Case::of(&format!("{before}{narrows}[quick]\n")).findings();
    assert_eq!(findings.metrics, ["linear_top1", "stage_1.linear_top1", "samples_per_second"]);
    let [judgement] = &findings.judgements[..] else { panic!("{:?}", findings.judgements) };
    assert!(judgement.held, "{}", judgement.sentence);
}

#[test]
fn where_nothing_must_hold_the_best_setting_is_told() {
    let (before, _) = CLAIM.split_once("[paper]").expect("numbers of a paper");
    let sweep = format!("best = \"greatest\"\n{before}[quick]\n");
    let case = Case::of(&sweep);
    let text = case.findings().to_string();
    let best = "Best by linear_top1: mask.ratio 0.75 with 0.5050 ± 0.0071, 0.1000 from 0.25.";
    assert!(text.lines().any(|line| line.starts_with(best)), "{text}");
    assert!(!text.contains("paper") && !text.contains("claim"), "{text}");
    let page = page(&case.claim, &case.findings(), &case.summaries).unwrap();
    assert!(page.contains(best) && !page.contains("Paper against ours"));
    let least = Case::of(&sweep.replace("greatest", "least")).findings();
    assert!(least.verdict().contains("mask.ratio 0.25 with 0.4050"), "{}", least.verdict());
}

#[test]
fn the_page_holds_all_of_it_and_needs_nothing_else() {
    let case = Case::new();
    let page = page(&case.claim, &case.findings(), &case.summaries).unwrap();
    for part in [
        "a paper &lt;b&gt;, figure 5",
        "0.4050 ± 0.0071",
        "73.5",
        "did not hold: 0.75 is 1.40",
        "mean ± standard deviation over 2 seeds",
        "Another network.",
        "train.epochs",
        "cpu, 2 threads, fp32",
        "paper (right axis, its own scale)",
        "<svg",
    ] {
        assert!(page.contains(part), "{part:?} is not on the page");
    }
    assert_eq!(page.matches("<svg").count(), 2, "accuracy and speed");
    for outside in ["<script", "<link", "src=\"http", "href=\"http"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn the_papers_axis_has_labels_that_differ() {
    let near = r#"values = { "0.25" = 0.912, "0.75" = 0.915 }"#;
    let claim = CLAIM.replace(r#"values = { "0.75" = 73.5 }"#, near);
    assert!(claim.contains(near));
    let case = Case::of(&claim);
    let page = page(&case.claim, &case.findings(), &case.summaries).unwrap();
    assert!(page.contains("\n0.9150\n") && !page.contains("\n0.9\n"), "{page}");
}

#[test]
fn a_metric_that_no_run_has_is_named_with_those_there_are() {
    let mut case = Case::new();
    let summary = &case.summaries[0];
    assert_eq!(metric(summary, "linear_top1").unwrap(), 0.4);
    assert_eq!(metric(summary, "final_loss").unwrap(), 0.5);
    let refused = metric(summary, "linear_top").unwrap_err().to_string();
    assert!(refused.starts_with("no metric is called linear_top; the metrics are linear_top1, "));

    case.summaries[3].eval.clear();
    let refused = Findings::new(&case.claim, &case.cells, &case.summaries, 3.0).unwrap_err();
    let refused = refused.to_string();
    assert!(refused.starts_with("0.75-seed1: no metric is called linear_top1"), "{refused}");
    case.cells.retain(|cell| cell.setting == 0);
    let refused = Findings::new(&case.claim, &case.cells, &case.summaries, 3.0).unwrap_err();
    assert_eq!(refused.to_string(), "the claim's setting 0.75 lacks a run");
}

#[test]
fn a_summary_reads_as_it_was_written_and_holds_finite_numbers_only() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("summary.json");
    let mut summary = Case::new().summaries.swap_remove(0);
    summary.train.first_loss = None;
    summary.write(&path).unwrap();
    assert_eq!(Summary::read(&path).unwrap(), summary);
    let older = fs::read_to_string(&path).unwrap().replace("skipped_samples", "skipped_images");
    fs::write(&path, older).unwrap();
    assert_eq!(Summary::read(&path).unwrap(), summary);

    summary.eval.insert("linear_top1".to_owned(), f64::NAN);
    let refused = summary.write(&path).unwrap_err().to_string();
    assert!(refused.ends_with("the metric linear_top1 is NaN; it must be finite"), "{refused}");
}
