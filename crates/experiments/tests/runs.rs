//! A whole run of every system, in miniature, with pictures and report: killed once, and resumed to
//! the same bits.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod digits;
mod program;

use std::fs;
use std::process::Child;

use bauta_report::{MetricsLog, Summary};
use digits::{DECODER, Place, SMALL, VIEWS, words};
use program::{finish, kill_after, kill_within};

/// Long enough to be killed in the middle, with checkpoints to continue from.
const LONG: [&str; 5] = [
    "train.epochs=25",
    "train.checkpoint_every=20",
    "eval.pictures.count=6",
    "eval.baselines=true",
    "train.ema=0.9",
];

/// The overrides that a recipe of clips of moving digits needs in miniature.
const CLIPS: [&str; 14] = [
    "data.image_size=8",
    "data.clip.frames=4",
    "data.repeats=2",
    "data.moving={ videos = 128, test_videos = 40, digits = 1, size = 8, digit_size = 4, frames = 8 }",
    "model.patch_size=2",
    "model.dim=16",
    "model.depth=2",
    "model.heads=2",
    "train.batch_size=16",
    "train.warmup_epochs=0.1",
    "train.device=cpu",
    "train.threads=1",
    "train.log_every=4",
    "eval.protocols=[\"knn\"]",
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

/// The overrides that a recipe needs in miniature, in addition to `LONG`.
fn own(recipe: &str, place: &Place) -> Vec<String> {
    if of_views(recipe) {
        return words(&VIEWS);
    }
    let mut set = words(if of_clips(recipe) { &CLIPS } else { &SMALL });
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

fn of_clips(recipe: &str) -> bool {
    recipe.starts_with("mae-st")
}

fn of_views(recipe: &str) -> bool {
    ["mixmask", "moco", "mscn"].iter().any(|name| recipe.starts_with(name))
}

fn of_parts(recipe: &str) -> bool {
    recipe.starts_with("brep")
}

/// Only recipes of images measure features during training; others measure at the end.
fn of_images(recipe: &str) -> bool {
    !of_clips(recipe) && !of_parts(recipe) && !recipe.starts_with("exssnet")
}

fn command(recipe: &str, place: &Place, out: &str, resume: bool) -> Child {
    let set = match of_parts(recipe) {
        true => words(&PARTS),
        false => own(recipe, place).into_iter().chain(words(&LONG)).collect(),
    };
    command_with(recipe, set, place, out, resume)
}

fn command_with(
    recipe: &str,
    set: impl IntoIterator<Item = String>,
    place: &Place,
    out: &str,
    resume: bool,
) -> Child {
    let mut command = program::run(recipe, set, &place.path(out));
    let root = format!("data.root={}", place.path("data").display());
    if !of_parts(recipe) {
        command.args(["--set", &root]);
    }
    if resume && of_images(recipe) {
        // Measured at the end of training, which changes no weight.
        command.args(["--set", "eval.every=25"]);
    }
    if resume {
        command.arg("--resume");
    }
    program::start(&mut command)
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

    let own_state = of_views(recipe).then_some("state.safetensors");
    let always = ["model.safetensors", "training.safetensors", "optimizer.safetensors"];
    for file in always.into_iter().chain(own_state) {
        let [whole, killed] = ["whole", "killed"]
            .map(|run| fs::read(place.path(run).join("checkpoints/last").join(file)).unwrap());
        assert!(whole == killed, "{recipe}: {file} differs after a kill");
    }
    let log = |run: &str| MetricsLog::read(&place.path(run).join("metrics.jsonl")).unwrap();
    let told = |run: &str| -> Vec<(String, u64, f64)> {
        log(run).into_iter().map(|record| (record.phase, record.step, record.loss)).collect()
    };
    // The window of a record depends on where the process started, its steps do not.
    let steps = |run: &str| told(run).into_iter().map(|(phase, step, _)| (phase, step)).collect();
    let (whole, killed): (Vec<_>, Vec<_>) = (steps("whole"), steps("killed"));
    assert_eq!(whole, killed);
    assert_eq!(told("whole").last(), told("killed").last());
    let last = log("killed").pop().unwrap();
    if of_images(recipe) {
        let features = last.features;
        assert!(features.knn_top1.is_some_and(|top1| (0.0..=1.0).contains(&top1)), "{features:?}");
        let rank = features.feature_rank;
        assert!(rank.is_some_and(|rank| (1.0..=16.0).contains(&rank)), "{features:?}");
        let reference = if of_views(recipe) { last.uninformed_loss } else { last.mean_loss };
        assert!(reference.is_some_and(|loss| loss > 0.0), "{recipe}: {last:?}");
    }
    if !of_parts(recipe) {
        assert!(last.peak_share.is_some_and(|share| share > 0.0 && share <= 1.0), "{last:?}");
    }
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
    let (first, last_loss) = (summary.train.first_loss, summary.train.final_loss);
    // At first, anything stands out from a queue of random directions; learning shows against a
    // network with the same output for all images.
    let first = if of_views(recipe) { last.uninformed_loss } else { first };
    let last = last_loss;
    assert!(last < first, "{recipe}: the loss went from {first:?} to {last:?}");
}

const ALL: [&str; 4] = ["reconstructions.png", "attention.png", "neighbours.png", "projection.svg"];

#[test]
fn mae() {
    check("mae-cifar10", "step-40", &ALL, &[]);
}

#[test]
fn dbot_within_its_second_stage() {
    // 300 steps per stage: the last checkpoint of the first is its end.
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
fn mixmask() {
    let pictures = ["fills.png", "neighbours.png", "projection.svg"];
    check("mixmask-cifar10", "step-40", &pictures, &["clean", "lambda", "own", "partner"]);
}

/// Bases and fills that no recipe has by itself: each trains to its end and is measured.
#[test]
fn siamese_networks_of_every_base_and_fill() {
    let place = Place::new();
    for (recipe, name, set, parts) in [
        ("moco-cifar10", "moco", &["siamese.symmetric=true"][..], &["clean"][..]),
        ("mscn-cifar10", "mscn", &["mask.fill=noise"], &["clean", "erased", "lambda"]),
        (
            "mixmask-cifar10",
            "both",
            &["siamese.unmix=true", "mask.partners=permutation", "mask.strategy=discrete"],
            &["clean", "lambda", "own", "partner", "unmix_own", "unmix_partner"],
        ),
        (
            "mixmask-cifar10",
            "simsiam",
            &["siamese.base=simsiam", "siamese.symmetric=true", "mask.own_weight=0.5"],
            &["clean", "lambda", "own", "partner"],
        ),
        ("moco-cifar10", "byol", &["siamese.base=byol"], &["clean"]),
    ] {
        let set = own(recipe, &place).into_iter().chain(words(set));
        finish(command_with(recipe, set, &place, name, false));
        let records = MetricsLog::read(&place.path(name).join("metrics.jsonl")).unwrap();
        let named: Vec<&str> = records[0].parts.keys().map(String::as_str).collect();
        assert_eq!(named, parts, "{name}");
        let summary = Summary::read(&place.path(name).join("summary.json")).unwrap();
        assert!(summary.eval["knn_top1"] > 0.1, "{name}: {:?}", summary.eval);
    }
}

/// Four tasks with different orders of the digits' pixels, learnt in three ways.
const TASKS: [&str; 15] = [
    "data.image_size=8",
    "tasks.count=4",
    "model.hidden=[48, 24]",
    "mask.density=0.3",
    "learning.weight_epochs=3",
    "learning.weight_lr=0.05",
    "learning.plain_lr=0.05",
    "learning.samples=50",
    "train.epochs=6",
    "train.batch_size=32",
    "train.base_lr=0.2",
    "train.device=cpu",
    "train.threads=1",
    "train.log_every=4",
    "train.checkpoint_every=7",
];

#[test]
fn exssnet_in_the_middle_of_its_third_task() {
    let place = Place::new();
    for (set, phase, files) in [
        // A residual network has statistics per task; initial scores come from earlier tasks.
        (
            vec![
                "eval.against=[\"ewc\"]",
                "model.network=resnet18",
                "model.width=2",
                "learning.transfer=always",
            ],
            "exssnet-3-weights",
            4,
        ),
        (vec!["eval.against=[\"ssnet\", \"individual\", \"joint\"]"], "exssnet-3-masks", 4),
        (vec!["eval.against=[\"ewc\", \"supsup\"]"], "ewc-3", 4),
    ] {
        let (whole, killed) = (format!("{phase}-whole"), format!("{phase}-killed"));
        let command = |out: &str, resume| {
            let set = words(&TASKS).into_iter().chain(words(&set));
            command_with("exssnet-permuted-mnist", set, &place, out, resume)
        };
        finish(command(&whole, false));
        kill_within(command(&killed, false), &place.path(&killed), phase);
        assert!(!place.path(&killed).join("summary.json").exists(), "killed too late");
        finish(command(&killed, true));
        let names = ["model", "optimizer", "state"].map(|name| format!("{name}.safetensors"));
        let in_last = names.map(|name| format!("checkpoints/last/{name}"));
        let all = in_last.iter().map(String::as_str).chain(["subnetworks.safetensors"]);
        let mut compared = 0;
        for file in all {
            let [one, other] =
                [&whole, &killed].map(|run| fs::read(place.path(run).join(file)).unwrap());
            assert!(one == other, "{phase}: {file} differs after a kill");
            compared += 1;
        }
        assert_eq!(compared, files);
        let [one, other] = [&whole, &killed]
            .map(|run| Summary::read(&place.path(run).join("summary.json")).unwrap());
        assert_eq!((&one.eval, &one.baseline), (&other.eval, &other.baseline));
        assert_eq!(one.eval["forgetting"], 0.0);
        assert!(one.eval["average_accuracy"] > 0.5, "{:?}", one.eval);
        let report = fs::read_to_string(place.path(&killed).join("report.html")).unwrap();
        for title in ["Accuracy after each task", "Learning curves", "Free capacity"] {
            assert!(report.contains(title), "no section {title}");
        }
    }
}

#[test]
fn mae_st() {
    let pictures = ["reconstructions.png", "moving.png"];
    let baselines = ["raw_pixels.direction_knn_top1", "random_init.direction_knn_top1"];
    check_against("mae-st-moving-mnist", "step-40", &pictures, &[], &baselines);
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
