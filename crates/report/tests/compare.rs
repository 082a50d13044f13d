//! Runs side by side, from folders written by hand.

use std::fs;
use std::path::{Path, PathBuf};

use bauta_report::compare::{Comparison, page};

/// A run's recipe, reduced to the keys that matter here.
const RECIPE: &str = r#"
system = "mae"
seed = 0
[about]
summary = "What SUMMARY says is prose, and no setting."
[data]
name = "cifar10"
DATA
[mask]
ratio = RATIO
"#;

const RECORD: &str = r#"{"step":STEP,"epoch":EPOCH,"loss":0.9,"lr":0.1,"grad_norm":1.0,"samples_per_second":100.0,"step_seconds":0.1,"data_seconds":0.0}"#;

/// A finished run with this line in its data, this mask ratio and this accuracy.
fn run(folder: &Path, data: &str, ratio: &str, top1: f64) -> PathBuf {
    fs::create_dir_all(folder).expect("a folder");
    let write = |name: &str, text: String| {
        fs::write(folder.join(name), text).expect("a writable folder");
    };
    let summary = folder.display().to_string();
    let recipe = RECIPE.replace("SUMMARY", &summary).replace("DATA", data).replace("RATIO", ratio);
    write("recipe.toml", recipe);
    let summary = serde_json::json!({
        "recipe": "mae-cifar10", "system": "mae", "seed": 0, "version": "0.1.0", "device": "cpu",
        "threads": 2, "precision": "fp32",
        "train": {
            "steps": 20, "samples": 2560, "seconds": 2.5, "samples_per_second": 1024.0,
            "data_seconds": 0.0, "skipped_images": 0, "first_loss": 2.0, "final_loss": 0.75,
            "parameters": 1000,
        },
        "eval": { "linear_top1": top1 }, "baseline": { "raw_pixels.linear_top1": 0.25 },
        "eval_seconds": 1.0,
    });
    write("summary.json", summary.to_string());
    let log = |step: u32| {
        let epoch = format!("{}.5", step / 10);
        RECORD.replace("STEP", &step.to_string()).replace("EPOCH", &epoch)
    };
    write("metrics.jsonl", [log(10), log(20), String::new()].join("\n"));
    folder.to_owned()
}

fn refusal(folders: &[PathBuf]) -> String {
    Comparison::of(folders).expect_err("no comparison").to_string()
}

#[test]
fn what_differs_is_shown_and_what_does_not_is_not() {
    let scratch = tempfile::tempdir().unwrap();
    let a = run(&scratch.path().join("a"), "", "0.75", 0.5);
    let b = run(&scratch.path().join("b"), "limit = 1280", "0.9", 0.625);
    let comparison = Comparison::of(&[a, b]).unwrap();
    let keys: Vec<&str> = comparison.settings.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["data.limit", "mask.ratio"]);
    assert!(comparison.machines.is_empty());
    let text = comparison.to_string();
    for words in [
        &["a", "b"][..],
        &["mask.ratio", "0.75", "0.9"],
        &["data.limit", "-", "1280"],
        &["linear_top1", "0.5000", "0.6250"],
        &["raw_pixels.linear_top1", "0.2500", "0.2500"],
        &["train.final_loss", "0.7500", "0.7500"],
        &["train.steps", "20", "20"],
    ] {
        let found = text.lines().any(|line| line.split_whitespace().eq(words.iter().copied()));
        assert!(found, "{words:?} is not a line of\n{text}");
    }
    let page = page(&comparison).unwrap();
    assert_eq!(page.matches("<svg").count(), 4);
    for part in
        ["mask.ratio", "0.6250", "color: rgb(0, 114, 178)", "Loss; comparable only", "</i>b</span>"]
    {
        assert!(page.contains(part), "{part:?}");
    }
    assert!(!page.contains("<script") && !page.contains("src=\"http"));
}

#[test]
fn runs_of_the_same_name_are_told_apart_by_their_folders() {
    let scratch = tempfile::tempdir().unwrap();
    let a = run(&scratch.path().join("old/mae"), "", "0.75", 0.5);
    let b = run(&scratch.path().join("new/mae"), "", "0.75", 0.5);
    let comparison = Comparison::of(&[a.clone(), b.clone()]).unwrap();
    assert_eq!(comparison.names, ["old/mae", "new/mae"]);
    assert!(comparison.to_string().contains("the settings are the same"));
    let said = format!("{} is named twice", a.display());
    assert!(refusal(&[b, a.clone(), a]).contains(&said));
}

#[test]
fn folders_that_are_no_finished_runs_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let a = run(&scratch.path().join("a"), "", "0.75", 0.5);
    assert!(refusal(std::slice::from_ref(&a)).contains("at least two runs"));
    let absent = scratch.path().join("absent");
    assert!(refusal(&[a.clone(), absent]).contains("absent holds no recipe.toml"));
    let half = run(&scratch.path().join("half"), "", "0.75", 0.5);
    fs::remove_file(half.join("summary.json")).unwrap();
    assert!(refusal(&[a.clone(), half.clone()]).contains("half is not finished"));
    fs::write(half.join("summary.json"), "{}").unwrap();
    assert!(refusal(&[a.clone(), half.clone()]).contains("summary.json: cannot read the summary"));
    run(&half, "", "0.75", 0.5);
    fs::write(half.join("recipe.toml"), "mask = ").unwrap();
    assert!(refusal(&[a, half]).contains("recipe.toml: cannot read the recipe"));
}

#[test]
fn a_run_without_a_log_is_compared_without_curves() {
    let scratch = tempfile::tempdir().unwrap();
    let runs = ["a", "b"].map(|name| run(&scratch.path().join(name), "", "0.75", 0.5));
    for run in &runs {
        fs::remove_file(run.join("metrics.jsonl")).unwrap();
    }
    let page = page(&Comparison::of(&runs).unwrap()).unwrap();
    assert!(page.contains("No run has a log to draw."));
}
