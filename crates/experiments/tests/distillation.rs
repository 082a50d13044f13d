//! Runs with a teacher, end to end on generated digits: stages, what is kept, and refusals.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod digits;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use bauta_backbones::{Encode, ModelFolder};
use bauta_experiments::run::{Folders, RunEnd};
use bauta_experiments::start::run_resolved;
use bauta_recipe::{Layers, Recipe};
use bauta_report::Summary;
use bauta_train::Ranks;
use digits::{DECODER, Place, SMALL, words};
use tch::{Device, Kind, Tensor};

impl Place {
    fn run(&self, recipe: &str, set: &[&str], out: &str, resume: bool) -> Result<Summary> {
        let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
        let root = format!("data.root={}", self.path("data").display());
        let decoder = if recipe == "dbot-cifar10" { &DECODER[..] } else { &[] };
        let set = words(&SMALL).into_iter().chain(words(decoder)).chain(words(set));
        let set = set.chain([root]).collect();
        let path = recipes.join(format!("{recipe}.toml"));
        let resolved = Recipe::load(&path, &Layers { quick: false, set })?;
        let (run, teachers) = (self.path(out), self.path("teachers"));
        let (folders, never) = (Folders { run, recipes, teachers }, AtomicBool::new(false));
        match run_resolved(recipe, resolved, &folders, resume, &never, &Ranks::alone())? {
            RunEnd::Finished(summary) => Ok(*summary),
            end => panic!("{end:?}"),
        }
    }

    fn refusal(&self, recipe: &str, set: &[&str]) -> String {
        format!("{:#}", self.run(recipe, set, "refused", false).unwrap_err())
    }
}

fn weights(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("model.safetensors")).unwrap()
}

#[test]
fn each_stage_is_taught_by_the_one_before_and_measured() {
    let place = Place::new();
    let summary = place.run("dbot-cifar10", &[], "dbot", false).unwrap();
    assert_eq!(summary.train.steps, 2 * 12);
    assert!(summary.eval.contains_key("knn_top1"));
    assert!(summary.baseline.contains_key("stage_1.knn_top1"));
    let checkpoints = place.path("dbot/checkpoints");
    assert_ne!(weights(&checkpoints.join("stage-1")), weights(&checkpoints.join("last")));

    // The same second stage, with the first one's student given explicitly as a teacher.
    let teacher = format!("teacher.model={}", checkpoints.join("stage-1").display());
    let by_hand = ["teacher.kind=folder", &teacher, "stages.count=1"];
    place.run("dbot-cifar10", &by_hand, "by-hand", false).unwrap();
    let log = |run: &str| fs::read_to_string(place.path(run).join("metrics.jsonl")).unwrap();
    let first_loss = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64().unwrap()
    };
    // Students and images differ, targets do not: both start at the loss of predicting nothing.
    let [second, alone] = [
        log("dbot").lines().nth(4).map(first_loss).unwrap(),
        log("by-hand").lines().next().map(first_loss).unwrap(),
    ];
    assert!((second - alone).abs() < 0.25 * alone, "{second} and {alone}");
}

#[test]
fn a_run_goes_on_only_with_the_student_that_teaches() {
    let place = Place::new();
    let first = place.run("dbot-cifar10", &[], "dbot", false).unwrap();
    let finished = weights(&place.path("dbot/checkpoints/last"));
    let again = place.run("dbot-cifar10", &[], "dbot", true).unwrap();
    assert_eq!(again.train.parameters, first.train.parameters);
    assert!(finished == weights(&place.path("dbot/checkpoints/last")));

    fs::remove_dir_all(place.path("dbot/checkpoints/stage-1")).unwrap();
    let refused = place.run("dbot-cifar10", &[], "dbot", true).unwrap_err();
    let message = format!("{refused:#}");
    assert!(message.contains("the student of stage-1 is incomplete"), "{message}");
}

#[test]
fn every_kind_of_teacher_teaches_both_kinds_of_student() {
    let place = Place::new();
    for recipe in ["dbot-cifar10", "maskdistill-cifar10"] {
        for (out, teacher) in
            [("pixels", "{ kind = \"pixels\" }"), ("shallow", "{ kind = \"random\", depth = 0 }")]
        {
            let set = format!("teacher={teacher}");
            let set = [set.as_str(), "train.epochs=6", "train.base_lr=0.1"];
            let out = format!("{recipe}-{out}");
            let summary = place.run(recipe, &set, &out, false).unwrap();
            let train = &summary.train;
            let [first, last] = [train.first_loss, train.final_loss].map(Option::unwrap);
            assert!(last < 0.95 * first, "{out}: {train:?}");
        }
    }
    // This student is a model folder that computes features.
    let folder = ModelFolder::read(&place.path("maskdistill-cifar10-pixels/checkpoints/last"));
    let (_parameters, encoder) = folder.unwrap().image_encoder(Device::Cpu, None).unwrap();
    let images = Tensor::zeros([1, 1, 8, 8], (Kind::Float, Device::Cpu));
    assert_eq!(encoder.encode(&images, Encode::whole()).unwrap().size(), [1, 17, 16]);
}

#[test]
fn a_teacher_that_a_recipe_trains_is_trained_once() {
    let place = Place::new();
    let teacher = place.teacher_set();
    let kept = || -> Vec<PathBuf> {
        let entries = fs::read_dir(place.path("teachers")).unwrap();
        let folders = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
        folders.collect()
    };
    let seed = "seed=1";
    place.run("maskdistill-cifar10", &[&teacher], "first", false).unwrap();
    let [folder] = &kept()[..] else { panic!("one teacher, not {:?}", kept()) };
    let state = folder.join("checkpoints/last/model.safetensors");
    let made = fs::metadata(&state).unwrap().modified().unwrap();
    place.run("maskdistill-cifar10", &[&teacher, seed], "second", false).unwrap();
    assert_eq!(kept().len(), 1);
    assert_eq!(fs::metadata(&state).unwrap().modified().unwrap(), made);
    // Other settings make another teacher.
    let other = teacher.replace("train.epochs=1", "train.epochs=2");
    place.run("maskdistill-cifar10", &[&other], "third", false).unwrap();
    assert_eq!(kept().len(), 2);
}

#[test]
fn teachers_that_cannot_teach_are_refused_and_leave_no_run() {
    let place = Place::new();
    let absent = place.refusal("dbot-cifar10", &["teacher.kind=folder", "teacher.model=absent"]);
    assert!(absent.contains("teacher.model absent is not a model folder"), "{absent}");
    let unknown = place.refusal("maskdistill-cifar10", &["teacher.recipe=mae-cifar"]);
    assert!(unknown.contains("did you mean mae-cifar10"), "{unknown}");
    let nested = place
        .refusal("dbot-cifar10", &["teacher.kind=recipe", "teacher.recipe=maskdistill-cifar10"]);
    assert!(nested.contains("teacher.kind=folder"), "{nested}");
    assert!(!place.path("refused").exists());

    place.run("dbot-cifar10", &[], "teacher", false).unwrap();
    let model = format!("teacher.model={}", place.path("teacher/checkpoints/last").display());
    let set = ["teacher.kind=folder", &model, "teacher.image_size=12"];
    let grid = place.refusal("dbot-cifar10", &set);
    assert!(grid.contains("6 × 6") && grid.contains("teacher.image_size"), "{grid}");
}
