//! A whole run with learned policies, in miniature: killed once and resumed to the same bits.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod program;

use std::fs;
use std::path::Path;
use std::process::Child;

use bauta_report::Summary;
use program::{finish, kill_after, same_files};

/// A label tree in miniature, with windows that checkpoints do not end.
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

fn start(out: &Path, resume: bool) -> Child {
    let set = LABELS.map(str::to_owned);
    let mut command = program::run("multilabel-tree", set, out);
    if resume {
        command.arg("--resume");
    }
    program::start(&mut command)
}

#[test]
fn a_run_killed_within_its_second_episode_ends_alike() {
    // 156 steps per phase; four phases.
    let files = [
        "learn-1/model.safetensors",
        "learn-2/model.safetensors",
        "inverse-frequency/model.safetensors",
        "last/model.safetensors",
        "last/optimizer.safetensors",
        "last/state.safetensors",
    ];
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    finish(start(&path("whole"), false));
    let checkpoint = path("killed/checkpoints/step-196/state.json");
    kill_after(start(&path("killed"), false), &checkpoint);
    assert!(!path("killed/summary.json").exists(), "killed too late to tell anything");
    finish(start(&path("killed"), true));
    same_files(&path("whole/checkpoints"), &path("killed/checkpoints"), &files);
    let [whole, killed] = ["whole", "killed"].map(|run| {
        let summary = Summary::read(&path(run).join("summary.json")).unwrap();
        let sections = fs::read_to_string(path(run).join("sections.json")).unwrap();
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
    let report = fs::read_to_string(path("killed/report.html")).unwrap();
    assert!(report.contains("global_threshold") && report.contains("disputed"));
}
