//! Claims without training: what is run again and what is not.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use bauta_experiments::reproduce::{Fingerprint, sweep};
use bauta_recipe::Settings;
use bauta_recipe::claim::{Cell, Claim};
use bauta_report::{Summary, Training};

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
    let Settings::Mae(settings) = &cell.recipe.settings else { panic!("a recipe of MAE") };
    let large = settings.mask.ratio > 0.5;
    let top1 = if large { [0.5, 0.51] } else { [0.4, 0.41] }[cell.seed as usize];
    let train = Training {
        steps: 10,
        samples: 1280,
        seconds: 60.0,
        samples_per_second: if large { 1400.0 } else { 1000.0 },
        data_seconds: 0.0,
        skipped_samples: 0,
        first_loss: Some(2.0),
        final_loss: Some(0.5),
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
        protocols: Vec::new(),
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
