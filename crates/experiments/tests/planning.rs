//! The planned sizes of steps against the run that follows, and recomputed blocks against kept
//! ones.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod digits;
mod program;

use std::fs;
use std::path::{Path, PathBuf};

use bauta_backbones::checkpoint::read_tensors;
use bauta_experiments::throughput::sizes;
use bauta_recipe::Layers;
use bauta_report::Summary;
use bauta_report::plan::StepSizes;
use digits::{DECODER, Place, SMALL, VIEWS, words};
use program::{finish, run, start};

/// The overrides that a recipe needs in miniature.
fn own(recipe: &str, place: &Place) -> Vec<String> {
    let mut set = words(if recipe == "moco-cifar10" { &VIEWS } else { &SMALL });
    match recipe {
        "mae-cifar10" => set.extend(words(&["train.ema=0.9"])),
        "dbot-cifar10" => set.extend(words(&["stages.count=2", "model.drop_path=0.1"])),
        "maskdistill-cifar10" => {
            set.extend(words(&["teacher={ kind = \"pixels\" }", "model.drop_path=0.1"]));
        }
        _ => {}
    }
    if ["mae-cifar10", "dbot-cifar10"].contains(&recipe) {
        set.extend(words(&DECODER));
    }
    set.push(format!("data.root={}", place.path("data").display()));
    set
}

fn sizes_of(recipe: &str, set: Vec<String>) -> Result<StepSizes, String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("recipes/{recipe}.toml"));
    sizes(&file, &Layers { quick: false, set }).map_err(|error| format!("{error:#}"))
}

/// Trains in miniature, with these keys in addition to the recipe's.
fn trained(recipe: &str, place: &Place, name: &str, more: &[&str]) -> PathBuf {
    let out = place.path(name);
    let set = own(recipe, place).into_iter().chain(words(more));
    finish(start(&mut run(recipe, set, &out)));
    out
}

fn values(file: &Path, wanted: impl Fn(&str) -> bool) -> u64 {
    let tensors = read_tensors(file).unwrap();
    tensors.iter().filter(|(name, _)| wanted(name)).map(|(_, tensor)| tensor.numel() as u64).sum()
}

#[test]
fn sizes_are_those_of_the_run_that_follows() {
    let place = Place::new();
    for recipe in ["mae-cifar10", "dbot-cifar10", "maskdistill-cifar10", "moco-cifar10"] {
        let divided = words(&["train.shard_optimizer=true"]);
        let divided = sizes_of(recipe, own(recipe, &place).into_iter().chain(divided).collect());
        let found = sizes_of(recipe, own(recipe, &place)).unwrap();
        let divided = StepSizes { peak: found.peak, ..divided.unwrap() };
        assert_eq!(divided, StepSizes { sharded: true, ..found.clone() }, "{recipe}");
        let out = trained(recipe, &place, recipe, &[]);
        let summary: Summary =
            serde_json::from_slice(&fs::read(out.join("summary.json")).unwrap()).unwrap();
        assert_eq!(found.recipe, recipe);
        assert_eq!(found.parameters, summary.train.parameters as u64, "{recipe}");
        assert_eq!(found.phases * found.steps, summary.train.steps, "{recipe}");
        let samples = found.steps * found.batch_size * found.accumulate * found.phases;
        assert_eq!(samples, summary.train.samples, "{recipe}");
        // Moments and averages, without the optimiser's counts of steps.
        let kept = out.join("checkpoints/last/optimizer.safetensors");
        let moments =
            values(&kept, |name| ["exp_avg", "momentum"].iter().any(|kind| name.contains(kind)));
        assert_eq!(found.moments, moments, "{recipe}");
        assert!(found.operations > 0 && found.kept > 0 && found.peak > 1e6, "{found:?}");
        assert!(found.trained <= found.parameters, "{found:?}");
    }
}

#[test]
fn checkpointed_blocks_give_the_bits_of_kept_ones() {
    let place = Place::new();
    for recipe in ["mae-cifar10", "maskdistill-cifar10"] {
        let deeper = ["model.depth=3", "train.precision=fp32"];
        let checkpointed = [&deeper[..], &["train.checkpoint_blocks=true"]].concat();
        let [kept, again] = [("kept", &deeper[..]), ("again", &checkpointed)]
            .map(|(name, set)| trained(recipe, &place, &format!("{recipe}-{name}"), set));
        program::same_files(&kept, &again, &["checkpoints/last/model.safetensors"]);
        let [kept, again] = [&deeper[..], &checkpointed].map(|set| {
            sizes_of(recipe, own(recipe, &place).into_iter().chain(words(set)).collect()).unwrap()
        });
        assert!(again.kept < kept.kept && again.again > 0 && kept.again == 0, "{again:?}");
    }
}

#[test]
fn a_system_whose_operations_nobody_counts_is_refused() {
    let place = Place::new();
    let set = ["data.limit=24", "data.test=6", "data.targets=30", "data.candidates=100"];
    let told = sizes_of("brep-parts", words(&set)).unwrap_err();
    assert!(told.contains("does not count its steps' operations"), "{told}");
    let set = own("maskdistill-cifar10", &place).into_iter();
    let taught = ["teacher={ kind = \"recipe\", recipe = \"mae-cifar10\" }".to_owned()];
    let told = sizes_of("maskdistill-cifar10", set.chain(taught).collect()).unwrap_err();
    assert!(told.contains("the teacher mae-cifar10 is not trained yet"), "{told}");
}
