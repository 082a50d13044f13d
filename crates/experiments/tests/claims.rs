//! Claims without training: what is run again and what is not, the table and the page.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use bauta_experiments::reproduce::{Findings, Fingerprint, metric, page, sweep};
use bauta_experiments::summary::{Summary, Training};
use bauta_recipe::claim::{Cell, Claim};

const CLAIM: &str = r#"
source = "a paper <b>, figure 5"
summary = "More is better."
note = "Another network."
recipe = "mae-cifar10"
metric = "linear_top1"
seeds = [0, 1]
[set]
"train.epochs" = 2
[axis]
key = "mask.ratio"
values = [0.25, 0.75]
[paper]
what = "linear probe, %"
values = { "0.75" = 73.5 }
[[holds]]
better = 0.75
than = 0.25
by = 0.05
[[holds]]
better = 0.75
than = 0.25
times = 1.5
metric = "samples_per_second"
[quick]
"#;

struct Case {
    scratch: tempfile::TempDir,
    claim: Claim,
    made: RefCell<Vec<String>>,
}

impl Case {
    fn new() -> Self {
        let claim = Claim::parse(CLAIM, Path::new("c.toml"), false).expect("a valid claim");
        let scratch = tempfile::tempdir().expect("a scratch folder");
        Self { scratch, claim, made: RefCell::default() }
    }

    fn cells(&self) -> Vec<Cell> {
        let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
        self.claim.cells(&recipes).expect("valid recipes")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Sweeps with a program of this name; its runs write what a run writes.
    fn sweep(&self, program: &str) -> Result<Vec<Summary>> {
        self.sweep_until(program, usize::MAX)
    }

    /// The same, interrupted after so many new runs.
    fn sweep_until(&self, program: &str, runs: usize) -> Result<Vec<Summary>> {
        self.made.borrow_mut().clear();
        let runner = |cell: &Cell, folder: &Path| {
            fs::write(folder.join("recipe.toml"), cell.recipe.to_toml()?)?;
            if self.made.borrow().len() == runs {
                bail!("stopped");
            }
            self.made.borrow_mut().push(cell.name.clone());
            let summary = summary(cell);
            summary.write(&folder.join("summary.json"))?;
            Ok(summary)
        };
        let fingerprint = |_: &Cell| Ok(fingerprint(program, 2));
        sweep(&self.claim, &self.cells(), self.scratch.path(), &fingerprint, runner)
    }
}

fn fingerprint(program: &str, threads: usize) -> Fingerprint {
    let (version, program) = ("0.1.0".to_owned(), program.to_owned());
    Fingerprint { version, program, device: "cpu".to_owned(), threads }
}

/// A better accuracy and speed at the larger ratio; the seed adds a hundredth.
fn summary(cell: &Cell) -> Summary {
    let large = cell.recipe.mask.ratio > 0.5;
    let top1 = if large { [0.5, 0.51] } else { [0.4, 0.41] }[cell.seed as usize];
    let train = Training {
        steps: 10,
        samples: 1280,
        seconds: 60.0,
        samples_per_second: if large { 1400.0 } else { 1000.0 },
        data_seconds: 0.0,
        skipped_images: 0,
        first_loss: 2.0,
        final_loss: 0.5,
        parameters: 100,
    };
    Summary {
        teacher: None,
        recipe: "mae-cifar10".to_owned(),
        system: "mae".to_owned(),
        seed: cell.seed,
        version: "0.1.0".to_owned(),
        device: "cpu".to_owned(),
        threads: 2,
        precision: "fp32".to_owned(),
        train,
        eval: BTreeMap::from([("linear_top1".to_owned(), top1)]),
        baseline: BTreeMap::new(),
        eval_seconds: 6.0,
    }
}

#[test]
fn a_finished_run_is_not_made_again() {
    let case = Case::new();
    let first = case.sweep("a").unwrap();
    assert_eq!(
        *case.made.borrow(),
        ["0.25-seed0", "0.75-seed0", "0.25-seed1", "0.75-seed1"].map(str::to_owned)
    );
    let second = case.sweep("a").unwrap();
    assert_eq!(case.made.borrow().len(), 0);
    assert_eq!(first, second);
}

#[test]
fn an_interrupted_sweep_goes_on_where_it_stopped() {
    let case = Case::new();
    let stopped = case.sweep_until("a", 2).unwrap_err();
    assert!(format!("{stopped:#}").starts_with("0.25-seed1: stopped"), "{stopped:#}");
    let half = case.path("0.25-seed1");
    fs::create_dir(half.join("checkpoints")).unwrap();
    case.sweep("a").unwrap();
    assert_eq!(*case.made.borrow(), ["0.25-seed1", "0.75-seed1"].map(str::to_owned));
    assert!(half.join("checkpoints").is_dir(), "the interrupted run kept its folder");
}

#[test]
fn runs_of_another_program_or_setting_are_put_aside_and_made_again() {
    let case = Case::new();
    case.sweep("a").unwrap();
    case.sweep("b").unwrap();
    assert_eq!(case.made.borrow().len(), 4);
    case.sweep("c").unwrap();
    assert!(case.path("earlier/0.25-seed0.1/summary.json").is_file());
    assert!(case.path("earlier/0.25-seed0.2/summary.json").is_file());

    // Another setting of one run, a run without a maker, one on other threads.
    let path = case.path("0.25-seed0/recipe.toml");
    let recipe = fs::read_to_string(&path).unwrap().replace("epochs = 2", "epochs = 3");
    fs::write(&path, recipe).unwrap();
    fs::remove_file(case.path("0.75-seed0/cell.json")).unwrap();
    let other = serde_json::to_vec(&fingerprint("c", 4)).unwrap();
    fs::write(case.path("0.25-seed1/cell.json"), other).unwrap();
    case.sweep("c").unwrap();
    assert_eq!(*case.made.borrow(), ["0.25-seed0", "0.75-seed0", "0.25-seed1"].map(str::to_owned));
}

#[test]
fn a_run_whose_summary_is_cut_short_is_finished_again() {
    let case = Case::new();
    case.sweep("a").unwrap();
    fs::write(case.path("0.75-seed1/summary.json"), "{\"recipe\": ").unwrap();
    case.sweep("a").unwrap();
    assert_eq!(*case.made.borrow(), ["0.75-seed1".to_owned()]);
}

#[test]
fn the_fingerprint_is_the_programs_own() {
    let cells = Case::new().cells();
    let found = Fingerprint::of_this_program(&cells[0]).unwrap();
    assert_eq!(found.program.len(), 64);
    assert_eq!(found, Fingerprint::of_this_program(&cells[1]).unwrap());
}

#[test]
fn the_table_has_the_paper_ours_and_a_verdict() {
    let case = Case::new();
    let summaries = case.sweep("a").unwrap();
    let findings = Findings::new(&case.claim, &case.cells(), &summaries, 3.0).unwrap();
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
fn the_page_holds_all_of_it_and_needs_nothing_else() {
    let case = Case::new();
    let summaries = case.sweep("a").unwrap();
    let findings = Findings::new(&case.claim, &case.cells(), &summaries, 3.0).unwrap();
    let page = page(&case.claim, &findings, &summaries).unwrap();
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
fn a_metric_that_no_run_has_is_named_with_those_there_are() {
    let case = Case::new();
    let summary = summary(&case.cells()[0]);
    assert_eq!(metric(&summary, "linear_top1").unwrap(), 0.4);
    assert_eq!(metric(&summary, "final_loss").unwrap(), 0.5);
    let refused = metric(&summary, "linear_top").unwrap_err().to_string();
    assert!(refused.starts_with("no metric is called linear_top; there are linear_top1, "));
}
