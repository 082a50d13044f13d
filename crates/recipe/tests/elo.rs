//! Valid and invalid recipes of system `elo`.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

#[allow(dead_code, reason = "other tests read it all")]
mod valid;

mod of_systems;

use std::path::Path;

use bauta_recipe::{Layers, Recipe};
use of_systems::recipe_of;

fn read(set: &[&str]) -> Result<Recipe, String> {
    let layers = Layers::of(&set.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
    <Recipe>::parse(&recipe_of("elo"), Path::new("r.toml"), &layers).map_err(|e| e.to_string())
}

#[test]
fn weights_of_losses_and_their_search_are_checked() {
    for (assignments, message) in [
        (&["lambda.shuffle.rgb=1.5"][..], "lambda.shuffle.rgb is 1.5; it must be in [0, 1]"),
        (&["search.population=1"], "search.population is 1; it must be in [2, 1000000]"),
        (&["model.dim=18"], "model.dim is 18; it must be a multiple of 4"),
        (
            &["model.network=r2plus1d-50", "model.dim=68"],
            "model.dim is 68; it must be a multiple of 32",
        ),
        (
            &["search.clusters=40", "data.held_out=30"],
            "search.clusters is 40; it must be at most data.held_out, 30",
        ),
        (&["data.moving.frames=6"], "model.future is 4; it must be in [1, 3], half of the clip's"),
        (&["data.name=videos"], "data.root is missing: data.name \"videos\" reads your own folder"),
        (
            &["data.name=videos", "data.root=x", "data.videos.seconds=0"],
            "data.videos.seconds is 0; it must be in [0.1, 60]",
        ),
        (
            &["data.name=videos", "data.root=x", "data.videos.holdout=1"],
            "data.videos.holdout is 1; it must be in (0, 1)",
        ),
        (
            &["data.name=videos", "data.root=x", "data.videos.size=4"],
            "data.videos.size is 4; it must be in [8, 1024]",
        ),
        (&["lambda.others=2"], "lambda.others is 2; it must be in [0, 1]"),
        (&["lambda.others=0"], "every weight of lambda is below 0.01, so nothing is trained"),
        (
            &["lambda.others=0", "lambda.shuffle.rgb=1"],
            "search.method is \"cma-es\", but lambda gives every weight",
        ),
        (&["lambda.shuffle.gray=0.5"], "unknown key lambda.shuffle.gray"),
        (
            &["model.modalities=[\"grey\", \"flow\"]"],
            "model.modalities has no \"rgb\"; its network is the one that is kept",
        ),
        (
            &["model.modalities=[\"rgb\", \"flow\", \"flow\"]"],
            "model.modalities names \"flow\" twice",
        ),
        (
            &["model.modalities=[\"rgb\", \"sound\"]", "lambda.transfer.flow_to_rgb=0.5"],
            "lambda.transfer.flow_to_rgb is 0.5, but model.modalities leaves out its modality",
        ),
    ] {
        let error = read(assignments).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
    read(&["lambda.shuffle.rgb=0", "lambda.distill.sound_embedding=1"]).unwrap();
    let rgb = "model.modalities=[\"rgb\"]";
    read(&[rgb, "search.method=none", "lambda.others=0", "lambda.shuffle.rgb=1"]).unwrap();
    read(&[rgb, "search.method=none", "lambda.others=1", "lambda.shuffle.rgb=0"]).unwrap();
    read(&["model.modalities=[\"rgb\"]", "lambda.distill.flow_embedding=0"]).unwrap();
    read(&["data.name=videos", "data.root=x"]).unwrap();
}
