//! Learned policies through a whole run on a miniature, killed once and resumed to the same bits.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bauta_report::Summary;

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

fn command(out: &Path, resume: bool) -> Child {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/multilabel-tree.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_bauta"));
    command.arg("run").arg(file).arg("--out").arg(out);
    for text in LABELS {
        command.args(["--set", text]);
    }
    if resume {
        command.arg("--resume");
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

#[test]
fn a_run_killed_within_its_second_episode_ends_alike() {
    // 156 steps a phase; four phases.
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
    finish(command(&path("whole"), false));
    let checkpoint = path("killed/checkpoints/step-196/state.json");
    kill_after(command(&path("killed"), false), &checkpoint);
    assert!(!path("killed/summary.json").exists(), "killed too late to tell anything");
    finish(command(&path("killed"), true));
    for file in files {
        let [whole, killed] = ["whole", "killed"]
            .map(|run| fs::read(path(run).join("checkpoints").join(file)).unwrap());
        assert!(whole == killed, "{file} differs after a kill");
    }
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
