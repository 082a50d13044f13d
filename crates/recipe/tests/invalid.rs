//! Hostile recipes: each is refused in one line that names the key and its place.

mod valid;

use std::path::Path;

use bauta_recipe::{Layers, Recipe};

/// The error of the valid recipe with `line` replaced.
fn error_in_file(line: &str, replacement: &str) -> String {
    assert!(valid::RECIPE.contains(line), "the valid recipe has no {line:?}");
    let text = valid::RECIPE.replacen(line, replacement, 1);
    <Recipe>::parse(&text, Path::new("r.toml"), &Layers::default())
        .expect_err(replacement)
        .to_string()
}

/// The error of the valid recipe under one override.
fn error_of_override(assignment: &str) -> String {
    let layers = Layers { quick: false, set: vec![assignment.to_owned()] };
    <Recipe>::parse(valid::RECIPE, Path::new("r.toml"), &layers).expect_err(assignment).to_string()
}

#[test]
fn an_error_in_the_file_names_file_line_and_key() {
    for (line, replacement, message) in [
        (
            "ratio = 0.75",
            "ration = 0.75",
            "r.toml:26: unknown key mask.ration; did you mean mask.ratio?",
        ),
        ("[mask]", "[maks]", "r.toml:24: unknown key maks; did you mean mask?"),
        ("seed = 7", "sede = 7", "r.toml:2: unknown key sede; did you mean seed?"),
        (
            "epochs = 4",
            "epochs = \"4\"",
            "r.toml:30: train.epochs: expected an integer, found string \"4\"",
        ),
        (
            "epochs = 4",
            "epochs = 4.5",
            "r.toml:30: train.epochs: expected an integer, found number 4.5",
        ),
        (
            "epochs = 4",
            "epochs = -1",
            "r.toml:30: train.epochs: expected an integer from 0 to 4294967295, found integer -1",
        ),
        (
            "epochs = 4",
            "epochs = 99999999999999999999",
            "r.toml:30: the number 99999999999999999999 does not fit; whole numbers go from \
             -9223372036854775808 to 9223372036854775807",
        ),
        ("epochs = 4", "", "r.toml:29: missing key train.epochs"),
        ("system = \"mae\"", "", "r.toml: missing key system"),
        ("system = \"mae\"", "system = 3", "r.toml:1: system: expected a string, found integer 3"),
        (
            "[mask]\n",
            "[mixture]\nlambda = 1\n[mask]\n",
            "r.toml:24: mixture is a table of system i-mae, not of mae",
        ),
        (
            "[decoder]\ndim = 32\ndepth = 1\nheads = 4\n",
            "",
            "r.toml:1: decoder is missing: system \"mae\" needs that table",
        ),
        (
            "kind = \"pixels\"",
            "kind = \"features\"",
            "r.toml:28: system \"mae\" cannot predict target.kind \"features\"; use pixels or \
             normalized-pixels",
        ),
        (
            "betas = [0.9, 0.95]",
            "betas = [0.9, 0.95]\noptimizer = \"sgd\"",
            "r.toml:33: train.betas is only used with train.optimizer \"adamw\" or \"adam\"; remove",
        ),
        (
            "system = \"mae\"",
            "system = \"mea\"",
            "r.toml:1: system \"mea\" is not known; did you mean mae?; known: mae",
        ),
        ("strategy = \"random\"", "strategy = 3", "r.toml:25: mask.strategy: expected one of "),
        (
            "image_size = 32",
            "image_size = \"big\"",
            "r.toml:12: data.image_size: expected a number of pixels or [height, width]",
        ),
        ("ratio = 0.75", "ratio = 1.2", "r.toml:26: mask.ratio 1.2 must be in (0, 1)"),
        ("heads = 4", "heads = 3", "r.toml:18: model.heads is 3; it must divide model.dim 64"),
        ("ratio = 0.75", "ratio = ", "r.toml:26: "),
        (
            "betas = [0.9, 0.95]",
            "betas = [0.9]",
            "r.toml:33: train.betas: expected an array of 2 values, found 1 values",
        ),
        (
            "betas = [0.9, 0.95]",
            "betas = [\n0.9,\n\"x\"]",
            "r.toml:35: train.betas: expected a number, found string \"x\"",
        ),
        ("[decoder]", "[decoder.inner]\n[decoder]", "r.toml:20: "),
    ] {
        let error = error_in_file(line, replacement);
        assert!(error.starts_with(message), "{replacement:?}: {error:?}");
        assert!(error.lines().count() <= 2, "{error:?}");
    }
}

#[test]
fn an_error_in_an_override_names_the_override() {
    for (assignment, message) in [
        ("train.epochs=abc", "expected an integer, found string \"abc\""),
        ("train.epochs=", "expected an integer, found string \"\""),
        ("epochs=2", "unknown key epochs; did you mean train.epochs?"),
        ("traln.epochs=2", "unknown key traln.epochs; did you mean train.epochs?"),
        ("mask.ration=0.5", "unknown key mask.ration; did you mean mask.ratio?"),
        ("seed.x=2", "seed: expected an integer, found a table"),
        ("mask=0.5", "expected a table, found number 0.5"),
        ("mask.strategy=rnadom", "mask.strategy \"rnadom\" is not known; did you mean random?"),
        ("mask.ratio=0", "mask.ratio 0 must be in (0, 1)"),
        ("mask.ratio=1", "mask.ratio 1 must be in (0, 1)"),
        ("mask.ratio=nan", "mask.ratio NaN must be in (0, 1)"),
        ("mask.ratio=0.999", "mask.ratio 0.999 leaves 0 visible and 64 masked of 64 tokens"),
        ("mask.ratio_end=1.5", "mask.ratio_end: ratio 1.5 must be in (0, 1)"),
        ("mask.ratio_end=0.999", "leaves 0 visible and 64 masked of 64 tokens"),
        ("mask.min_block=0", "mask.min_block is 0; it must be at least 1"),
        (
            "mask.min_block=4",
            "mask.min_block is only used with mask.strategy \"block\", not with \"random\"",
        ),
        ("model.drop_path=0.1", "is a key of systems dbot and maskdistill, not of mae"),
        ("model.patch_size=5", "an image of 32 × 32 pixels is not a multiple of the patch size 5"),
        ("model.patch_size=0", "model.patch_size is 0; it must be at least 1"),
        ("model.dim=66", "model.dim is 66; it must be a multiple of 4, which 2-D"),
        ("model.heads=0", "model.heads is 0; it must be at least 1"),
        ("model.heads=5", "model.heads is 5; it must divide model.dim 64"),
        ("model.depth=0", "model.depth is 0; it must be at least 1"),
        ("model.mlp_ratio=-1", "model.mlp_ratio is -1; it must be a finite number above 0"),
        ("model.mlp_ratio=0.001", "model.mlp_ratio is 0.001; times model.dim"),
        ("decoder.dim=30", "decoder.dim is 30; it must be a multiple of 4, which 2-D"),
        ("decoder.heads=5", "decoder.heads is 5; it must divide decoder.dim 32"),
        ("decoder.depth=0", "decoder.depth is 0; it must be at least 1"),
        ("train.epochs=0", "train.epochs is 0; it must be at least 1"),
        ("train.batch_size=0", "train.batch_size is 0; it must be at least 1"),
        ("train.accumulate=0", "train.accumulate is 0; it must be at least 1"),
        ("train.base_lr=0", "train.base_lr is 0; it must be a finite number above 0"),
        ("train.base_lr=-1e-3", "train.base_lr is -0.001; it must be a finite number above 0"),
        ("train.base_lr=inf", "train.base_lr is inf; it must be a finite number above 0"),
        ("train.base_lr=nan", "train.base_lr is NaN; it must be a finite number above 0"),
        ("train.min_lr=-1", "train.min_lr is -1; it must be a finite number of at least 0"),
        ("train.warmup_epochs=5", "train.warmup_epochs 5 is longer than the run, train.epochs 4"),
        (
            "train.weight_decay=-0.1",
            "train.weight_decay is -0.1; it must be a finite number of at least 0",
        ),
        ("train.betas=[0.9, 1.0]", "train.betas contains 1; each value must be in [0, 1)"),
        ("train.clip_grad=0", "train.clip_grad is 0; it must be a finite number above 0"),
        ("train.ema=1.0", "train.ema is 1; it must be in (0, 1)"),
        ("train.optimizer=adamax", "train.optimizer \"adamax\" is not known; did you mean adamw?"),
        ("train.momentum=0.5", "train.momentum is only used with train.optimizer \"sgd\"; remove"),
        ("train.decay=0.5", "train.decay is only used with train.schedule \"steps\"; remove it"),
        ("train.milestones=[1]", "train.milestones is only used with train.schedule \"steps\""),
        ("train.schedule=steps", "train.milestones is missing: train.schedule \"steps\" needs it"),
        ("train.schedule=linear", "train.schedule \"linear\" is not known; did you mean constant?"),
        ("train.log_every=0", "train.log_every is 0; it must be at least 1"),
        ("train.precision=fp16", "train.precision \"fp16\" is not known"),
        ("data.holdout=1", "data.holdout is 1; it must be in (0, 1)"),
        (
            "data.shrink=16",
            "data.shrink is 16; it must be at least 32, the longer side of data.image_size",
        ),
        ("data.shrink=9000", "data.shrink is 9000; it must be at most 8192 pixels"),
        ("data.max_pixels=0", "data.max_pixels is 0; it must be at least 1"),
        ("data.limit=0", "data.limit is 0; it must be at least 1"),
        ("data.limit=100", "data.limit 100 is less than one step of 128 images"),
        ("data.augment.scale=[0.0, 1.0]", "data.augment.scale = [0.0, 1.0]: must be"),
        (
            "data.augment.crop=centre",
            "data.augment.crop \"centre\" is not known; did you mean center?",
        ),
        ("data.image_size=0", "data.image_size is 0; it must be at least 1"),
        ("data.image_size=[32, 33]", "an image of 32 × 33 pixels is not a multiple"),
        ("data.name=folder", "data.root is missing: data.name \"folder\" reads your own folder"),
        ("data.name=shards", "data.root is missing: data.name \"shards\" reads your own folder"),
        ("data.root=", "data.root is empty; it must be a path"),
        ("data.root=~/x", "data.root is ~/x, but no shell has expanded its ~; give the full path"),
        ("model.init=~/x", "model.init is ~/x, but no shell has expanded its ~"),
        ("eval.limit=0", "eval.limit is 0; it must be at least 1"),
        ("eval.baselines=no", "expected true or false, found string \"no\""),
        ("eval.knn.k=0", "eval.knn.k is 0; it must be at least 1"),
        ("eval.knn.temperature=0", "eval.knn.temperature is 0; it must be a finite number above 0"),
        ("eval.linear.warmup_epochs=99", "eval.linear.warmup_epochs 99 is longer than the run"),
        (
            "eval.linear.optimizer=adam",
            "eval.linear.optimizer \"adam\" is not known; did you mean sgd?; known: sgd, lars",
        ),
        (
            "eval.protocols=[\"few_shot\"]",
            "eval.protocols \"few_shot\" is not known; did you mean few-shot?; known: knn, linear, \
             few-shot, semi",
        ),
        ("eval.protocols=[\"knn\", \"knn\"]", "eval.protocols contains knn twice"),
        (
            "eval.few_shot.shots=[1, 0]",
            "eval.few_shot.shots contains 0; each value must be at least 1",
        ),
        ("eval.few_shot.draws=0", "eval.few_shot.draws is 0; it must be at least 1"),
        (
            "eval.semi.percents=[101]",
            "eval.semi.percents contains 101; each value must be in (0, 100]",
        ),
        ("eval.semi.percents=[1, 1.0]", "eval.semi.percents contains 1 twice"),
        ("eval.semi.epochs=0", "eval.semi.epochs is 0; it must be at least 1"),
        ("about.minutes=-1", "about.minutes is -1; it must be a finite number of at least 0"),
    ] {
        let error = error_of_override(assignment);
        assert!(error.contains(message), "{assignment}: {error:?}");
        assert!(error.starts_with("--set "), "{assignment}: {error:?}");
    }
    for malformed in ["", "train.epochs", "=3", "train..epochs=3", ".=1"] {
        let error = error_of_override(malformed);
        assert!(error.ends_with("expected key=value, such as train.epochs=2"), "{error:?}");
    }
}

#[test]
fn quick_needs_its_table() {
    let text = valid::RECIPE.split("[quick]").next().expect("the part before [quick]");
    let layers = Layers { quick: true, set: Vec::new() };
    let error = <Recipe>::parse(text, Path::new("r.toml"), &layers).unwrap_err().to_string();
    assert_eq!(error, "r.toml: --quick needs a [quick] table, and this file has none");
}

#[test]
fn a_mistake_in_the_quick_table_names_its_line() {
    let text = valid::RECIPE.replace("\"train.epochs\" = 1", "\"train.epoch\" = 1");
    let layers = Layers { quick: true, set: Vec::new() };
    let error = <Recipe>::parse(&text, Path::new("r.toml"), &layers).unwrap_err().to_string();
    assert_eq!(error, "r.toml:36: unknown key train.epoch; did you mean train.epochs?");
}
