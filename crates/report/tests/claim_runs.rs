//! Claims without training: what is run again and what is not.

mod claim;

use std::cell::RefCell;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use bauta_recipe::claim::{Cell, Claim};
use bauta_report::claims::{Fingerprint, claim_folder, finished, sweep};
use bauta_report::{ReportError, Summary};
use claim::{CLAIM, parse, summary};

struct Case {
    scratch: tempfile::TempDir,
    claim: Claim,
    cells: Vec<Cell>,
    made: RefCell<Vec<String>>,
    told: RefCell<Vec<String>>,
}

impl Case {
    fn new() -> Self {
        let (claim, cells) = parse(CLAIM);
        let scratch = tempfile::tempdir().expect("a scratch folder");
        Self { scratch, claim, cells, made: RefCell::default(), told: RefCell::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Sweeps with a program of this name; its runs write the files of a run.
    fn sweep(&self, program: &str) -> Result<Vec<Summary>, ReportError> {
        self.sweep_until(program, usize::MAX)
    }

    /// The same, interrupted after `runs` new runs.
    fn sweep_until(&self, program: &str, runs: usize) -> Result<Vec<Summary>, ReportError> {
        self.made.borrow_mut().clear();
        self.told.borrow_mut().clear();
        let make = |cell: &Cell, folder: &Path| -> Result<Summary, Box<dyn Error + Send + Sync>> {
            fs::write(folder.join("recipe.toml"), cell.recipe.to_toml()?)?;
            if self.made.borrow().len() == runs {
                return Err("stopped".into());
            }
            self.made.borrow_mut().push(cell.name.clone());
            let summary = summary(&self.claim, cell);
            summary.write(&folder.join("summary.json"))?;
            Ok(summary)
        };
        let fingerprint = |_: &Cell| Ok(fingerprint(program, 2));
        let tell = |line: &str| self.told.borrow_mut().push(line.to_owned());
        sweep(&self.claim, &self.cells, self.scratch.path(), fingerprint, make, tell)
    }
}

fn fingerprint(program: &str, threads: usize) -> Fingerprint {
    let (version, program) = ("0.1.0".to_owned(), program.to_owned());
    Fingerprint { version, program, device: "cpu".to_owned(), threads }
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
    assert_eq!(
        case.told.borrow()[1],
        "[2/4] mask.ratio 0.75, seed 0: linear_top1 0.5000, 1400 samples/s (finished earlier)"
    );
}

#[test]
fn an_interrupted_sweep_goes_on_where_it_stopped() {
    let case = Case::new();
    let stopped = case.sweep_until("a", 2).unwrap_err();
    assert_eq!(stopped.to_string(), "0.25-seed1: stopped");
    let half = case.path("0.25-seed1");
    fs::create_dir(half.join("checkpoints")).unwrap();
    case.sweep("a").unwrap();
    assert_eq!(*case.made.borrow(), ["0.25-seed1", "0.75-seed1"].map(str::to_owned));
    assert!(half.join("checkpoints").is_dir(), "the interrupted run kept its folder");
    assert!(case.told.borrow()[2].ends_with(", resumed)"), "{:?}", case.told);
}

#[test]
fn runs_of_another_program_or_setting_are_put_aside_and_made_again() {
    let case = Case::new();
    case.sweep("a").unwrap();
    case.sweep("b").unwrap();
    assert_eq!(case.made.borrow().len(), 4);
    case.sweep("c").unwrap();
    assert!(
        case.told.borrow()[0]
            .starts_with("0.25-seed0: was made by another version of the program; put aside in ")
    );
    assert!(case.path("earlier/0.25-seed0.1/summary.json").is_file());
    assert!(case.path("earlier/0.25-seed0.2/summary.json").is_file());

    // One run with another setting, one without a fingerprint, one on other threads.
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
fn what_cannot_change_a_result_makes_no_run_again() {
    let case = Case::new();
    let first = case.sweep("a").unwrap();
    let path = case.path("0.25-seed0/recipe.toml");
    let recipe = fs::read_to_string(&path).unwrap();
    let other = recipe.replace("log_every = 50", "log_every = 7");
    assert_ne!(other, recipe);
    fs::write(&path, other).unwrap();
    assert_eq!(case.sweep("a").unwrap(), first);
    assert_eq!(case.made.borrow().len(), 0, "{:?}", case.told);
}

#[test]
fn the_folder_of_a_claim_that_is_running_keeps_its_claim() {
    let case = Case::new();
    let text = || fs::read_to_string(case.path("claim.toml")).unwrap();
    // What a process left that was killed before it wrote the claim.
    fs::write(case.path(".lock"), "").unwrap();
    let lock = claim_folder(case.scratch.path(), b"first").unwrap();
    let refused = claim_folder(case.scratch.path(), b"second").unwrap_err().to_string();
    assert!(refused.contains("another process is running"), "{refused}");
    assert_eq!(text(), "first");
    drop(lock);
    drop(claim_folder(case.scratch.path(), b"second").unwrap());
    assert_eq!(text(), "second");
    fs::remove_file(case.path("claim.toml")).unwrap();
    fs::write(case.path("other"), "").unwrap();
    let refused = claim_folder(case.scratch.path(), b"third").unwrap_err().to_string();
    assert!(refused.contains("not empty and not the folder of a claim"), "{refused}");
}

#[test]
fn runs_of_two_programs_or_machines_are_no_result() {
    let case = Case::new();
    let summaries = case.sweep("a").unwrap();
    let found = || finished(&case.cells, case.scratch.path());
    assert_eq!(found().unwrap(), summaries);
    for (other, how) in [
        (fingerprint("b", 2), "by another program"),
        (fingerprint("a", 4), "on another device or other threads"),
    ] {
        let text = serde_json::to_vec(&other).unwrap();
        fs::write(case.path("0.25-seed1/cell.json"), text).unwrap();
        let error = found().unwrap_err().to_string();
        let [own, first] = ["0.25-seed1", "0.25-seed0"].map(|name| case.path(name));
        let start = format!("{}: was made {how} than {}; ", own.display(), first.display());
        assert!(error.starts_with(&start), "{error}");
    }
    fs::remove_file(case.path("0.25-seed1/cell.json")).unwrap();
    assert!(found().unwrap_err().to_string().contains("cell.json"));
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
    let here = || Fingerprint::of_this_program("cpu".to_owned(), 2).unwrap();
    assert_eq!(here().program.len(), 64);
    assert_eq!(here(), here());
}
