//! Every system through its whole run on a miniature, pictures and report included; killed
//! once, and resumed to the same bits.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod digits;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bauta_report::{MetricsLog, Record, Summary};
use digits::{DECODER, Place, SMALL, words};

/// Long enough to be killed in the middle, with checkpoints to go on from.
const LONG: [&str; 5] = [
    "train.epochs=25",
    "train.checkpoint_every=20",
    "eval.pictures.count=6",
    "eval.baselines=true",
    "train.ema=0.9",
];

/// Documents of a label tree instead; with windows that checkpoints do not end.
const LABELS: [&str; 17] = [
    "data.tree={ labels = 8, documents = 600 }",
    "model.ids=256",
    "model.dim=8",
    "model.hidden=8",
    "policies.hidden=8",
    "policies.window=7",
    "policies.episodes=2",
    "policies.batch_size=32",
    "train.epochs=6",
    "train.batch_size=16",
    "train.warmup_epochs=0.1",
    "train.device=cpu",
    "train.threads=1",
    "train.log_every=4",
    "train.checkpoint_every=20",
    "eval.documents=5",
    "eval.closure=true",
];

const KILLED_IN_THE_SECOND_EPISODE: &str = "step-196";

/// What makes any recipe one of the miniature.
fn settings(recipe: &str, place: &Place) -> Vec<String> {
    if recipe == "multilabel-tree" {
        return words(&LABELS);
    }
    let root = format!("data.root={}", place.path("data").display());
    [words(&SMALL), words(&LONG), own(recipe, place), vec![root]].concat()
}

/// What a recipe's own tables need on a miniature, besides `SMALL`.
fn own(recipe: &str, place: &Place) -> Vec<String> {
    let mut set: Vec<String> = Vec::new();
    if recipe != "maskdistill-cifar10" {
        set.extend(words(&DECODER));
    }
    match recipe {
        "mae-cifar10" => set.extend(words(&["mask.ratio_end=0.4"])),
        "dbot-cifar10" => set.extend(words(&["stages.count=2", "model.drop_path=0.1"])),
        "maskdistill-cifar10" => set.extend(words(&["teacher={ kind = \"pixels\" }"])),
        "i-mae-cifar10" => set.push(place.teacher_set()),
        _ => {}
    }
    set
}

fn command(recipe: &str, place: &Place, out: &str, resume: bool) -> Child {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("recipes/{recipe}.toml"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_bauta"));
    command.arg("run").arg(file).arg("--out").arg(place.path(out));
    for text in settings(recipe, place) {
        command.args(["--set", &text]);
    }
    if resume {
        command.arg("--resume");
        if recipe != "multilabel-tree" {
            // Measured at its end, which changes no weight.
            command.args(["--set", "eval.every=25"]);
        }
    }
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn finish(child: Child) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Kills the run once it has left its `checkpoint`.
fn kill_after(mut child: Child, checkpoint: &Path) {
    let start = Instant::now();
    while !checkpoint.exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before {checkpoint:?}");
        assert!(start.elapsed() < Duration::from_secs(120), "no {checkpoint:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Runs a recipe twice, whole and killed, and compares files of the last checkpoint.
fn run_and_kill(recipe: &str, killed_after: &str, files: &[&str]) -> Place {
    let place = Place::new();
    finish(command(recipe, &place, "whole", false));
    let checkpoint = place.path("killed/checkpoints").join(killed_after).join("state.json");
    kill_after(command(recipe, &place, "killed", false), &checkpoint);
    assert!(!place.path("killed/summary.json").exists(), "killed too late to tell anything");
    finish(command(recipe, &place, "killed", true));

    for file in files {
        let [whole, killed] = ["whole", "killed"]
            .map(|run| fs::read(place.path(run).join("checkpoints").join(file)).unwrap());
        assert!(whole == killed, "{recipe}: {file} differs after a kill");
    }
    let told = |run: &str| -> Vec<(String, u64, f64)> {
        log(&place, run)
            .into_iter()
            .map(|record| (record.phase, record.step, record.loss))
            .collect()
    };
    // Where a record's window opens depends on where a life began, its steps do not.
    let steps = |run: &str| told(run).into_iter().map(|(phase, step, _)| (phase, step)).collect();
    let (whole, killed): (Vec<_>, Vec<_>) = (steps("whole"), steps("killed"));
    assert_eq!(whole, killed);
    assert_eq!(told("whole").last(), told("killed").last());
    place
}

fn log(place: &Place, run: &str) -> Vec<Record> {
    MetricsLog::read(&place.path(run).join("metrics.jsonl")).unwrap()
}

/// A run of images.
fn check(recipe: &str, killed_after: &str, pictures: &[&str], parts: &[&str]) {
    let files = ["model", "training", "optimizer"].map(|name| format!("last/{name}.safetensors"));
    let place = run_and_kill(recipe, killed_after, &files.each_ref().map(String::as_str));
    let last = log(&place, "killed").pop().unwrap();
    let features = last.features;
    assert!(features.knn_top1.is_some_and(|top1| (0.0..=1.0).contains(&top1)), "{features:?}");
    assert!(features.feature_rank.is_some_and(|rank| (1.0..=16.0).contains(&rank)), "{features:?}");
    assert!(last.mean_loss.is_some_and(|loss| loss > 0.0), "{recipe}: {last:?}");
    assert!(last.peak_share.is_some_and(|share| share > 0.0 && share <= 1.0), "{last:?}");
    let named: Vec<&str> = last.parts.keys().map(String::as_str).collect();
    assert_eq!(named, parts, "{recipe}: parts of the loss");

    let report = fs::read_to_string(place.path("killed/report.html")).unwrap();
    for picture in pictures {
        assert!(place.path("killed/pictures").join(picture).is_file(), "{recipe}: no {picture}");
    }
    let embedded = report.matches("data:image/png;base64,").count();
    let drawn = pictures.iter().filter(|name| name.ends_with(".png")).count();
    assert_eq!(embedded, drawn, "{recipe}: pictures in the report");
    let summary = Summary::read(&place.path("killed/summary.json")).unwrap();
    for name in ["raw_pixels.knn_top1", "random_init.knn_top1"] {
        assert!(summary.baseline.contains_key(name), "{recipe}: no {name}");
    }
    let (first, last) = (summary.train.first_loss, summary.train.final_loss);
    assert!(last < first, "{recipe}: the loss went from {first:?} to {last:?}");
}

const ALL: [&str; 4] = ["reconstructions.png", "attention.png", "neighbours.png", "projection.svg"];

#[test]
fn mae() {
    check("mae-cifar10", "step-40", &ALL, &[]);
}

#[test]
fn dbot_within_its_second_stage() {
    // 300 steps a stage: the last checkpoint of the first is its end.
    check("dbot-cifar10", "step-340", &ALL[1..], &[]);
}

#[test]
fn maskdistill() {
    check("maskdistill-cifar10", "step-40", &ALL[1..], &[]);
}

#[test]
fn i_mae() {
    let pictures = [&ALL[..], &["mixtures.png"]].concat();
    check("i-mae-cifar10", "step-40", &pictures, &["image", "latent"]);
}

#[test]
fn multilabel_within_its_second_episode() {
    // 156 steps a phase; four phases.
    let files = [
        "learn-1/model.safetensors",
        "learn-2/model.safetensors",
        "inverse-frequency/model.safetensors",
        "last/model.safetensors",
        "last/optimizer.safetensors",
        "last/state.safetensors",
    ];
    let recipe = "multilabel-tree";
    let place = run_and_kill(recipe, KILLED_IN_THE_SECOND_EPISODE, &files);
    let [whole, killed] = ["whole", "killed"].map(|run| {
        let summary = Summary::read(&place.path(run).join("summary.json")).unwrap();
        let sections = fs::read_to_string(place.path(run).join("sections.json")).unwrap();
        (summary.eval, summary.baseline, sections)
    });
    assert!(whole == killed, "metrics or sections differ after a kill");
    let (eval, baseline, sections) = killed;
    for name in ["micro_f1", "macro_f1", "learning.micro_f1", "threshold_gap"] {
        assert!(eval[name].is_finite(), "{name}");
    }
    let names = ["half", "global_threshold", "label_threshold", "cardinality", "inverse_frequency"];
    for name in names {
        assert!(baseline[&format!("{name}.micro_f1")] > 0.0, "{name}");
    }
    for title in ["Labels", "Policies", "Documents"] {
        assert!(sections.contains(title), "{title}");
    }
    let report = fs::read_to_string(place.path("killed/report.html")).unwrap();
    assert!(report.contains("global_threshold") && report.contains("disputed"));
}
