//! Valid and invalid recipes of continual-learning tasks.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::path::Path;

use bauta_recipe::{ContinualMethod, ExSsNet, Layers, Recipe};

fn read(set: &[&str]) -> Result<Recipe<ExSsNet>, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../experiments/recipes/exssnet-permuted-mnist.toml");
    let layers = Layers::of(&set.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
    Recipe::load(&path, &layers).map_err(|error| error.to_string())
}

#[test]
fn the_recipes_own_method_comes_last_and_once() {
    use ContinualMethod::{ExSsNet, FineTune, SsNet, SupSup};
    let methods = |set: &[&str]| read(set).unwrap().settings.methods();
    assert_eq!(methods(&["eval.against=[\"supsup\", \"exssnet\"]"]), [SupSup, ExSsNet]);
    let set = ["learning.method=ssnet", "eval.against=[\"finetune\"]"];
    assert_eq!(methods(&set), [FineTune, SsNet]);
    assert_eq!(methods(&[]).len(), 7);
}

#[test]
fn values_that_make_no_sense_are_refused() {
    for (set, wanted) in [
        (&["mask.density=0"][..], "mask.density is 0; it must be in (0, 1]"),
        (&["mask.density=1.5"], "mask.density is 1.5; it must be in (0, 1]"),
        (&["mask.ratio=0.75"], "mask.ratio is a key of systems"),
        (&["tasks.count=0"], "tasks.count is 0; it must be in 1..=1000"),
        (&["tasks.classes=1"], "tasks.classes is 1; it must be at least 2"),
        (&["tasks.validation=1"], "tasks.validation is 1; it must be in (0, 1)"),
        (&["tasks.origin=data-sets"], "tasks.then is missing"),
        (&["tasks.then=[\"cifar10\"]"], "tasks.then is given with tasks.origin \"permuted\""),
        (
            &["tasks.origin=data-sets", "tasks.then=[\"folder\"]"],
            "tasks.then contains folder; it must name data sets that can be fetched",
        ),
        (
            &["tasks.origin=data-sets", "tasks.then=[\"cifar10\"]", "data.root=x"],
            "data.root is one folder",
        ),
        (&["tasks.origin=folders"], "does not go with data.name \"mnist\""),
        (&["train.weight_decay=1e-4"], "a decay changes the weights of earlier tasks"),
        (&["train.ema=0.9"], "train.ema is given"),
        (&["train.accumulate=2"], "train.accumulate is 2; it must be 1 here"),
        (&["learning.weight_epochs=8"], "it must be at least 1 and below train.epochs 8"),
        (&["learning.weight_lr=0"], "learning.weight_lr is 0"),
        (&["eval.against=[\"joint\", \"joint\"]"], "eval.against contains joint twice"),
        (&["model.hidden=[0]"], "model.hidden contains 0"),
        (&["learning.method=exsnet"], "exssnet"),
    ] {
        let error = read(set).unwrap_err();
        assert!(error.contains(wanted), "{set:?}: {error}");
    }
}

#[test]
fn all_data_sets_of_a_stream_are_wanted() {
    let set = ["tasks.origin=data-sets", "tasks.then=[\"fashion-mnist\", \"cifar10\"]"];
    let recipe = read(&set).unwrap();
    let names: Vec<&str> = recipe.data().into_iter().map(|need| need.name).collect();
    assert_eq!(names, ["mnist", "fashion-mnist", "cifar10"]);
    assert_eq!(recipe.packages().len(), 3);
}

fn read_texts(set: &[&str]) -> Result<Recipe<ExSsNet>, String> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments/recipes/exssnet-text.toml");
    let layers = Layers::of(&set.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
    Recipe::load(&path, &layers).map_err(|error| error.to_string())
}

#[test]
fn tasks_of_texts_want_their_documents_and_the_encoder() {
    let names = |set: &[&str]| -> Vec<&str> {
        read_texts(set).unwrap().data().into_iter().map(|need| need.name).collect()
    };
    assert_eq!(names(&[]), ["bbc-news", "imdb", "spam", "reuters-8", "minilm-l6"]);
    let own = ["texts.names=[]", "texts.root=mine", "texts.encoder=bert"];
    assert!(names(&own).is_empty());
    for (set, wanted) in [
        (&["texts.names=[]"][..], "texts.names and texts.root are both missing"),
        (&["texts.root=mine"], "texts.names and texts.root are both given"),
        (&["texts.names=[\"imdb\", \"imdb\"]"], "texts.names contains imdb twice"),
        (&["texts.tokens=4"], "texts.tokens is 4; it must be in 8..=512"),
        (&["texts.holdout=1"], "texts.holdout is 1; it must be in (0, 1)"),
        (&["tasks.origin=permuted"], "texts is given with tasks.origin \"permuted\""),
        (&["data={ name = \"mnist\", image_size = 28 }"], "data is given with tasks.origin"),
        (&["model.network=resnet18"], "does not go with tasks.origin \"texts\""),
        (&["model.filters=0"], "model.filters is 0; it must be in 1..=4096"),
    ] {
        let error = read_texts(set).unwrap_err();
        assert!(error.contains(wanted), "{set:?}: {error}");
    }
    let error = read(&["tasks.origin=texts"]).unwrap_err();
    assert!(error.contains("texts is missing with tasks.origin \"texts\""), "{error}");
    let error = read(&["model.network=text-cnn"]).unwrap_err();
    assert!(error.contains("\"text-cnn\" reads texts, all others images"), "{error}");
}
