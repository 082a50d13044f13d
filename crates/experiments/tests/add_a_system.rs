//! The system of `docs/add-a-system.md`, compiled and run; the page must show this very code.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

#[path = "denoiser/settings.rs"]
mod settings;
#[path = "denoiser/system.rs"]
mod system;

mod digits;

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use bauta_experiments::run::{Aim, Folders, Launch, RunEnd};
use bauta_experiments::systems::launch;
use bauta_recipe::{Layers, Recipe};
use bauta_train::Ranks;
use digits::{Place, words};

const PAGE: &str = include_str!("../../../docs/add-a-system.md");
const RECIPE: &str = include_str!("denoiser/denoiser-mnist.toml");

#[test]
fn the_page_shows_this_code() {
    for (language, file) in [
        ("rust", include_str!("denoiser/settings.rs")),
        ("rust", include_str!("denoiser/system.rs")),
        ("toml", RECIPE),
    ] {
        let block = format!("```{language}\n{}\n```", file.trim_end());
        assert!(PAGE.contains(&block), "docs/add-a-system.md does not show:\n{file}");
    }
}

#[test]
fn it_trains_resumes_and_reports() {
    let place = Place::new();
    let root = format!("data.root={}", place.path("data").display());
    let small = ["data.image_size=8", "train.batch_size=32", "train.epochs=10", "model.dim=32"];
    let rest = ["train.threads=1", "train.device=cpu", "eval.protocols=[\"knn\"]"];
    let set = words(&small).into_iter().chain(words(&rest)).chain([root]).collect();
    let layers = Layers { quick: false, set };
    let recipe: Recipe<settings::Denoiser> =
        Recipe::parse(RECIPE, Path::new("denoiser-mnist.toml"), &layers).unwrap();
    let (run, teachers) = (place.path("denoiser"), place.path("teachers"));
    let folders = Folders { run, recipes: place.path("recipes"), teachers };
    let never = AtomicBool::new(false);
    let start = |resume| {
        let (name, folders) = ("denoiser-mnist", &folders);
        let (aim, stop, ranks) = (Aim::Report, &never, &Ranks::alone());
        let run = Launch { name, folders, aim, resume, stop, ranks, launch };
        run.run::<system::Denoiser>(&recipe).unwrap()
    };
    let RunEnd::Finished(summary) = start(false) else { panic!("it was not stopped") };
    let (first, last) = (summary.train.first_loss, summary.train.final_loss);
    assert!(last < Some(0.8 * first.unwrap()), "{first:?} to {last:?}");
    assert!(summary.eval["knn_top1"] > summary.baseline["random_init.knn_top1"] - 0.05);
    let weights = || fs::read(folders.run.join("checkpoints/last/model.safetensors")).unwrap();
    let before = weights();
    assert!(matches!(start(true), RunEnd::Finished(_)));
    assert!(before == weights(), "a finished run is not trained again");
    let report = fs::read_to_string(folders.run.join("report.html")).unwrap();
    assert!(report.contains("knn_top1") && report.contains("Vincent et al."));
}

#[test]
fn its_keys_are_strict() {
    let read = |set: &str| {
        let layers = Layers { quick: false, set: vec![set.to_owned()] };
        Recipe::<settings::Denoiser>::parse(RECIPE, Path::new("d.toml"), &layers)
            .unwrap_err()
            .to_string()
    };
    assert!(read("noise.ratoi=0.5").contains("did you mean noise.ratio"));
    assert!(read("noise.ratio=1").contains("noise.ratio"));
}
