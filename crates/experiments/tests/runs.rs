//! Every system through its whole run on a miniature, pictures and report included; killed
//! once, and resumed to the same bits.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod digits;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bauta_report::{MetricsLog, Summary};
use digits::{DECODER, Place, SMALL, words};

/// Long enough to be killed in the middle, with checkpoints to go on from.
const LONG: [&str; 5] = [
    "train.epochs=25",
    "train.checkpoint_every=20",
    "eval.pictures.count=6",
    "eval.baselines=true",
    "train.ema=0.9",
];

/// A miniature of parts, which has no images.
const PARTS: [&str; 19] = [
    "data.limit=24",
    "data.test=6",
    "data.targets=30",
    "data.candidates=100",
    "model.dim=8",
    "model.face_heads=2",
    "decoder.dim=16",
    "target.points=20",
    "train.epochs=14",
    "train.batch_size=4",
    "train.warmup_epochs=1",
    "train.device=cpu",
    "train.threads=1",
    "train.log_every=4",
    "train.checkpoint_every=20",
    "train.ema=0.9",
    "eval.labelled=[4]",
    "eval.repeats=2",
    "eval.steps=20",
];

/// What a recipe's own tables need on a miniature, besides `SMALL`.
fn own(recipe: &str, place: &Place) -> Vec<String> {
    let mut set: Vec<String> = Vec::new();
    if recipe != "maskdistill-cifar10" {
        set.extend(words(&DECODER));
    }
    match recipe {
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
    let root = format!("data.root={}", place.path("data").display());
    let images = || words(&SMALL).into_iter().chain(words(&LONG)).chain(own(recipe, place));
    let set = if recipe == "brep-parts" { words(&PARTS) } else { images().chain([root]).collect() };
    command.args(set.iter().flat_map(|text| ["--set", text]));
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

fn check(recipe: &str, killed_after: &str, pictures: &[&str], parts: &[&str]) {
    let baselines = ["raw_pixels.knn_top1", "random_init.knn_top1"];
    check_against(recipe, killed_after, pictures, parts, &baselines);
}

fn check_against(
    recipe: &str,
    killed_after: &str,
    pictures: &[&str],
    parts: &[&str],
    baselines: &[&str],
) {
    let place = Place::new();
    finish(command(recipe, &place, "whole", false));
    let checkpoint = place.path("killed/checkpoints").join(killed_after).join("state.json");
    kill_after(command(recipe, &place, "killed", false), &checkpoint);
    assert!(!place.path("killed/summary.json").exists(), "killed too late to tell anything");
    finish(command(recipe, &place, "killed", true));

    for file in ["model.safetensors", "training.safetensors", "optimizer.safetensors"] {
        let [whole, killed] = ["whole", "killed"]
            .map(|run| fs::read(place.path(run).join("checkpoints/last").join(file)).unwrap());
        assert!(whole == killed, "{recipe}: {file} differs after a kill");
    }
    let log = |run: &str| MetricsLog::read(&place.path(run).join("metrics.jsonl")).unwrap();
    let told = |run: &str| -> Vec<(String, u64, f64)> {
        log(run).into_iter().map(|record| (record.phase, record.step, record.loss)).collect()
    };
    // Where a record's window opens depends on where a life began, its steps do not.
    let steps = |run: &str| told(run).into_iter().map(|(phase, step, _)| (phase, step)).collect();
    let (whole, killed): (Vec<_>, Vec<_>) = (steps("whole"), steps("killed"));
    assert_eq!(whole, killed);
    assert_eq!(told("whole").last(), told("killed").last());
    let last = log("killed").pop().unwrap();
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
    for name in baselines {
        assert!(summary.baseline.contains_key(*name), "{recipe}: no {name}");
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
fn brep() {
    let baselines = [
        "random_init.segmentation_top1_4",
        "scratch.segmentation_top1_4",
        "majority.segmentation_top1_4",
        "constant.sign_accuracy",
    ];
    check_against("brep-parts", "step-40", &["parts.png"], &["surface", "trim"], &baselines);
}
