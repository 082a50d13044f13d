//! Keys that belong to one system and not to another, and user-defined systems.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

#[allow(dead_code, reason = "other tests read it all")]
mod valid;

mod of_systems;

use std::path::Path;

use bauta_recipe::reading::{Violation, must_be};
use bauta_recipe::{
    DBot, DataNeed, Layers, Mae, MaskDistill, Recipe, Settings, System, SystemSettings, Train,
    known_keys,
};
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use of_systems::recipe_of;

fn read(system: &str, set: &[&str]) -> Result<Recipe, String> {
    let layers = Layers::of(&set.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
    Recipe::parse(&recipe_of(system), Path::new("r.toml"), &layers).map_err(|e| e.to_string())
}

#[test]
fn every_system_reads_its_recipe_and_writes_it_back() {
    for &system in System::VARIANTS {
        let name = system.to_string();
        let recipe = read(&name, &[]).unwrap();
        assert_eq!((recipe.system(), name.parse()), (system, Ok(system)));
        let text = recipe.to_toml().unwrap();
        let again = Recipe::parse(&text, Path::new("r.toml"), &Layers::default()).unwrap();
        assert_eq!(recipe, again, "{text}");
        let data = match system {
            System::MaeSt => "moving-mnist",
            System::Multilabel => "reuters",
            System::Brep => "generated parts",
            System::M3ae => "tuxpaint-stamps",
            System::Elo => "moving-stamps",
            _ => "cifar10",
        };
        assert_eq!(recipe.data()[0].name, data);
        let table: toml::Table = text.parse().unwrap();
        let known = system.known_keys();
        for (top, value) in &table {
            let keys = value.as_table().map(toml::Table::keys);
            for key in keys.into_iter().flatten() {
                let key = format!("{top}.{key}");
                let known = known.iter().any(|known| known.starts_with(&key));
                assert!(known, "{key} is written and not known");
            }
        }
    }
}

#[test]
fn a_key_of_other_systems_is_called_that() {
    for (system, assignment, message) in [
        ("mae", "mixture.lambda=1", "mixture.lambda is a key of system i-mae, not of mae"),
        ("mae", "mixture={ lambda = 1 }", "mixture is a table of system i-mae, not of mae"),
        ("mae", "mixture.lamda=1", "mixture is a table of system i-mae, not of mae"),
        ("i-mae", "stages.count=3", "stages.count is a key of system dbot, not of i-mae"),
        (
            "mae",
            "model.drop_path=0.1",
            "model.drop_path is a key of systems dbot and maskdistill, not of mae",
        ),
        (
            "maskdistill",
            "decoder.dim=32",
            "decoder.dim is a key of systems mae, dbot, i-mae, mae-st, brep and m3ae, not of maskdistill",
        ),
        (
            "mae",
            "teacher.kind=random",
            "teacher.kind is a key of systems dbot, maskdistill and i-mae, not of mae",
        ),
        (
            "dbot",
            "model.layer_scale=0.1",
            "model.layer_scale is a key of system maskdistill, not of dbot",
        ),
        (
            "mae",
            "target.features.loss=mse",
            "target.features.loss is a key of systems dbot and maskdistill, not of mae",
        ),
    ] {
        let error = read(system, &[assignment]).unwrap_err();
        assert_eq!(error, format!("--set {assignment}: {message}"));
    }
}

#[test]
fn an_unknown_key_names_the_nearest_of_this_system() {
    for (system, assignment, nearest) in [
        ("mae", "mask.ratoi=0.5", "mask.ratio"),
        ("dbot", "model.droppath=0.5", "model.drop_path"),
        ("maskdistill", "model.droppath=0.5", "model.drop_path"),
        ("i-mae", "mixture.lamda=0.5", "mixture.lambda"),
        ("mae", "model.depht=3", "model.depth"),
        ("maskdistill", "decodr.depth=3", "model.depth"),
    ] {
        let key = assignment.split('=').next().unwrap();
        assert_eq!(
            read(system, &[assignment]).unwrap_err(),
            format!("--set {assignment}: unknown key {key}; did you mean {nearest}?")
        );
    }
}

#[test]
fn a_system_says_what_it_lacks_and_what_it_cannot_do() {
    for (system, assignment, message) in [
        ("mae", "system=i-mae", "mixture is missing: system \"i-mae\" needs that table"),
        ("mae", "system=maskdistil", "is not known; did you mean maskdistill?; known: mae, dbot,"),
        ("mae", "target.kind=features", "use pixels or normalized-pixels"),
        (
            "dbot",
            "target.kind=pixels",
            "system \"dbot\" cannot predict target.kind \"pixels\"; use features",
        ),
        (
            "mae-st",
            "data.clip.frames=15",
            "a clip of 15 frames is not a multiple of the 2 frames of a patch; change",
        ),
        ("mae-st", "model.patch_frames=0", "model.patch_frames is 0; it must be at least 1"),
        ("mae-st", "target.count=9", "target.count is 9; it must be a multiple of the 8 steps"),
        (
            "mae-st",
            "data.name=videos",
            "data.root is missing: data.name \"videos\" reads your own folder",
        ),
        ("mae-st", "data.repeats=0", "data.repeats is 0; it must be at least 1"),
        ("mae-st", "mask={ strategy = \"frame\", ratio = 0.9 }", "leaves 0 of 8 steps of time"),
        (
            "mae-st",
            "model.positions=spiral",
            "did you mean separable?; known: separable, joint, sine-cosine",
        ),
        ("dbot", "stages.count=0", "stages.count is 0; it must be at least 1"),
        ("dbot", "target.features.beta=0", "target.features.beta is 0; it must be a finite"),
        ("dbot", "teacher.kind=folder", "teacher.model is missing: a teacher of kind \"folder\""),
        ("dbot", "teacher.kind=efficientnet-lite0", "teacher.stride is missing"),
        ("maskdistill", "model.drop_path=1", "model.drop_path is 1; it must be in [0, 1)"),
        ("multilabel", "data.meta=1", "data.meta is 1; it must be in (0, 1)"),
        (
            "multilabel",
            "data.name=documents",
            "data.root is missing: data.name \"documents\" reads",
        ),
        (
            "multilabel",
            "data.limit=9",
            "data.limit 9 is less than one step of train.batch_size 128",
        ),
        (
            "multilabel",
            "train.accumulate=2",
            "train.accumulate is 2; it must be 1, because a step has one",
        ),
        ("multilabel", "policies.range=1", "policies.range is 1; it must be in [0, 1)"),
        ("multilabel", "model.ids=1", "model.ids is 1; it must be in 2..=16777216"),
        ("multilabel", "data.image_size=9", "data.image_size is a key of systems mae, dbot,"),
        ("mixmask", "mask.grid=33", "a grid of 33 × 33 cells does not fit an image of 32 × 32"),
        ("mixmask", "mask.ratio=1", "mask.ratio is 1; it must be in (0, 1)"),
        ("mixmask", "mask.ratio=0.99", "leaves 0 visible and 16 masked of 16 tokens"),
        ("mixmask", "siamese.queue=1000", "siamese.queue 1000 must be a multiple of the 128 keys"),
        ("mixmask", "siamese.splits=3", "siamese.splits 3 must divide train.batch_size 128"),
        ("mixmask", "siamese.splits=128", "into parts of at least 2 images"),
        ("mixmask", "train.batch_size=1", "into parts of at least 2 images"),
        ("mixmask", "train.accumulate=2", "train.accumulate is 2; it must be 1"),
        ("mixmask", "siamese.base=byl", "is not known; did you mean byol?"),
        ("mixmask", "siamese={ base = \"byol\", hidden = 0 }", "siamese.hidden is 0; it must be"),
        ("mixmask", "mask={ ratio = 0.5, grid = 4, fill = \"mean\", own_weight = 1 }", "mask.fill"),
        ("mixmask", "data.augment.colours.grey=2", "data.augment.colours.grey = 2"),
        ("maskdistill", "model.layer_scale=0", "model.layer_scale is 0; it must be a finite"),
    ] {
        let error = read(system, &[assignment]).unwrap_err();
        assert!(error.contains(message) && error.starts_with("--set "), "{assignment}: {error}");
    }
    let without = recipe_of("dbot")
        .replace("[target.features]\nnormalization = \"standardize\"\nloss = \"smooth-l1\"\n", "");
    let error = <Recipe>::parse(&without, Path::new("r.toml"), &Layers::default()).unwrap_err();
    assert!(
        error.to_string().ends_with("target.features is missing: system \"dbot\" needs that table"),
        "{error}"
    );
    let text = recipe_of("mae");
    let (untrained, _) = text.split_once("[train]").unwrap();
    let error = <Recipe>::parse(untrained, Path::new("r.toml"), &Layers::default());
    assert_eq!(
        error.unwrap_err().to_string(),
        "r.toml: train is missing: every recipe needs that table"
    );
}

#[test]
fn no_value_of_a_known_key_makes_reading_panic() {
    let values = ["x", "0", "-1", "2", "0.5", "nan", "inf", "true", "[]", "[1, 2]", "{}", "\"\""];
    for &system in System::VARIANTS {
        let name = system.to_string();
        for key in system.known_keys() {
            for value in values {
                let assignment = format!("{key}={value}");
                let Err(error) = read(&name, &[&assignment]) else { continue };
                assert!(error.lines().count() == 1, "{assignment}: {error}");
                let placed = error.starts_with("--set ") || error.starts_with("r.toml:");
                assert!(placed && error.len() < 400, "{assignment}: {error}");
            }
        }
    }
}

#[test]
fn the_width_rule_of_sin_cos_positions_is_not_asked_of_beit() {
    let odd = ["model.dim=6", "model.heads=2"];
    for system in ["mae", "dbot", "i-mae"] {
        let error = read(system, &odd).unwrap_err();
        assert!(error.contains("model.dim is 6; it must be a multiple of 4"), "{error}");
    }
    assert!(read("maskdistill", &odd).is_ok(), "{:?}", read("maskdistill", &odd));
    let error = read("maskdistill", &["model.dim=6", "model.heads=4"]).unwrap_err();
    assert!(error.contains("model.heads is 4; it must divide model.dim 6"), "{error}");
}

#[test]
fn what_a_teacher_does_not_read_is_forgotten() {
    let set = ["teacher.kind=folder", "teacher.model=/m", "teacher.depth=3", "teacher.stride=8"];
    let recipe = read("dbot", &set).unwrap();
    let teacher = recipe.teacher().unwrap();
    assert_eq!((teacher.depth, teacher.stride), (None, None));
    assert_eq!(teacher.model.as_deref(), Some(Path::new("/m")));
}

#[test]
fn a_run_names_the_packages_that_it_reads() {
    let packages = |system: &str, set: &[&str]| -> Vec<&str> {
        read(system, set).unwrap().packages().iter().map(|package| package.name).collect()
    };
    assert_eq!(packages("mae", &[]), ["cifar10"]);
    assert_eq!(packages("mae", &["data.root=/srv"]), <[&str; 0]>::default());
    assert_eq!(
        packages("dbot", &["teacher.kind=efficientnet-lite0", "teacher.stride=8"]),
        ["cifar10", "efficientnet-lite0"]
    );
}

#[test]
fn a_recipe_of_one_system_refuses_another() {
    let path = Path::new("r.toml");
    let text = recipe_of("dbot");
    let one: Recipe<DBot> = Recipe::parse(&text, path, &Layers::default()).unwrap();
    let any: Recipe = Recipe::parse(&text, path, &Layers::default()).unwrap();
    assert_eq!(one.clone().map(Settings::from), any);
    assert_eq!(one.to_toml().unwrap(), any.to_toml().unwrap());
    assert_eq!(one.settings.grid().unwrap().tokens(), 64);
    let error = Recipe::<Mae>::parse(&text, path, &Layers::default()).unwrap_err().to_string();
    assert_eq!(error, "r.toml:1: system is \"dbot\"; it must be \"mae\" here");
    let error = Recipe::<MaskDistill>::parse("system = \"x\"", path, &Layers::default());
    assert_eq!(
        error.unwrap_err().to_string(),
        "r.toml:1: system \"x\" is not known; did you mean maskdistill?; known: maskdistill"
    );
}

#[test]
fn known_keys_are_those_of_all_systems_once() {
    let union = known_keys();
    for &system in System::VARIANTS {
        let keys = system.known_keys();
        assert_eq!(keys[..2], ["system", "seed"]);
        assert!(keys.iter().all(|key| union.contains(key)));
    }
    for (place, key) in union.iter().enumerate() {
        assert!(!union[..place].contains(key), "{key} stands twice");
    }
    assert!(!System::Mae.known_keys().iter().any(|key| key == "model.drop_path"));
    assert!(System::DBot.known_keys().iter().any(|key| key == "model.drop_path"));
}

/// A user-defined system, without images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counting {
    numbers: Numbers,
    #[serde(default)]
    shout: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbers {
    limit: usize,
    #[serde(default)]
    parity: Vec<String>,
}

impl SystemSettings for Counting {
    const NAME: &'static str = "counting";

    fn complete(&mut self) {
        self.numbers.parity.sort();
    }

    fn check(&self, train: &Train) -> Result<(), Violation> {
        let (limit, batch) = (self.numbers.limit, train.batch_size);
        must_be(limit >= batch, "numbers.limit", limit, "no less than train.batch_size")
    }

    fn data(&self) -> Vec<DataNeed> {
        vec![DataNeed { name: "numbers", package: None }]
    }
}

const COUNTING: &str = r#"system = "counting"
shout = true
[about]
summary = "s"
paper = "p"
minutes = 1
machine = "m"
metric = "loss"
[numbers]
limit = 100
parity = ["odd", "even"]
[train]
epochs = 2
batch_size = 10
base_lr = 0.1
[quick]
"train.epochs" = 1
"#;

#[test]
fn a_system_outside_the_table_reads_its_recipe() {
    let path = Path::new("c.toml");
    let read = |text: &str, quick: bool, set: &[&str]| {
        let set = set.iter().map(|&text| text.to_owned()).collect();
        Recipe::<Counting>::parse(text, path, &Layers { quick, set })
    };
    let recipe = read(COUNTING, true, &["numbers.limit=20"]).unwrap();
    assert_eq!((recipe.train.epochs, recipe.settings.numbers.limit), (1, 20));
    assert_eq!(recipe.settings.numbers.parity, ["even", "odd"]);
    assert!(recipe.packages().is_empty() && recipe.teacher().is_none());
    let text = recipe.to_toml().unwrap();
    assert_eq!(read(&text, false, &[]).unwrap(), recipe, "{text}");

    let error = |text: &str, set: &[&str]| read(text, false, set).unwrap_err().to_string();
    for (assignment, message) in [
        ("numbers.limti=3", "unknown key numbers.limti; did you mean numbers.limit?"),
        ("numbers.limit=3", "numbers.limit is 3; it must be no less than train.batch_size"),
        ("mixture.lambda=3", "mixture.lambda is a key of system i-mae, not of counting"),
        ("shout=3", "expected true or false, found integer 3"),
        (
            "eval.knn.k=3",
            "eval.knn.k is a key of systems mae, dbot, maskdistill, i-mae, mae-st, mixmask and m3ae, \
             not of counting",
        ),
    ] {
        let error = error(COUNTING, &[assignment]);
        assert!(error.starts_with(&format!("--set {assignment}: {message}")), "{error}");
    }
    let missing = COUNTING.replace("[numbers]\nlimit = 100\nparity = [\"odd\", \"even\"]\n", "");
    let words = "c.toml:1: numbers is missing: system \"counting\" needs that table";
    assert_eq!(error(&missing, &[]), words);
    let other = COUNTING.replace("\"counting\"", "\"mae\"");
    assert_eq!(error(&other, &[]), "c.toml:1: system is \"mae\"; it must be \"counting\" here");
}
