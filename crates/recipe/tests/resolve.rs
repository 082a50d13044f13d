//! Layers, known keys and the round trip through the resolved file.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod valid;

use std::path::Path;

use bauta_masking::Strategy;
use bauta_recipe::{
    EvaluateData, EvaluateSettings, ImageSize, Layers, Mae, Optimizer, Pooling, Precision,
    ProbeOptimizer, Protocol, Recipe, Schedule, System, TargetKind, known_keys,
};
use proptest::prelude::*;
use strum::VariantArray;

fn parse(text: &str, quick: bool, set: &[&str]) -> Recipe<Mae> {
    let layers = Layers { quick, set: set.iter().map(|&text| text.to_owned()).collect() };
    Recipe::parse(text, Path::new("r.toml"), &layers).expect("a valid recipe")
}

/// The keys that every recipe must know under these names.
const PROMISED: [(&str, &str); 23] = [
    ("seed", "3"),
    ("data.name", "mnist"),
    ("data.root", "/srv/images"),
    ("data.limit", "500"),
    ("model.patch_size", "8"),
    ("model.dim", "96"),
    ("model.depth", "3"),
    ("model.heads", "2"),
    ("decoder.dim", "48"),
    ("decoder.depth", "2"),
    ("decoder.heads", "2"),
    ("mask.strategy", "random"),
    ("mask.ratio", "0.5"),
    ("target.kind", "normalized-pixels"),
    ("train.epochs", "9"),
    ("train.batch_size", "64"),
    ("train.base_lr", "1"),
    ("train.weight_decay", "0.1"),
    ("train.precision", "bf16"),
    ("train.checkpoint_every", "10"),
    ("train.log_every", "5"),
    ("train.threads", "2"),
    ("data.image_size", "[64, 32]"),
];

#[test]
fn every_promised_key_is_known_and_can_be_set() {
    let original = parse(valid::RECIPE, false, &[]);
    for (key, value) in PROMISED {
        assert!(known_keys().iter().any(|known| known == key), "{key} is not known");
        let changed = parse(valid::RECIPE, false, &[&format!("{key}={value}")]);
        assert!(changed != original || key == "mask.strategy", "{key}={value} changed nothing");
    }
}

#[test]
fn every_known_key_is_written_by_to_toml() {
    let optional = ["data.root", "data.limit", "data.holdout", "data.max_pixels"];
    let optional = [optional.as_slice(), &["data.sample_type", "data.validation"]].concat();
    let optional = [optional.as_slice(), &["data.shrink", "model.init"]].concat();
    let optional = [optional.as_slice(), &["about.expected", "mask.min_block"]].concat();
    let optional = [optional.as_slice(), &["mask.ratio_end", "eval.every"]].concat();
    let optional = [optional.as_slice(), &["eval.features_in_memory"]].concat();
    let optional = [optional.as_slice(), &["train.clip_grad", "train.ema", "eval.limit"]].concat();
    let optional =
        [optional.as_slice(), &["train.checkpoint_blocks", "train.shard_optimizer"]].concat();
    // Keys that other choices read, or that appear only if they are written.
    let unread = ["train.momentum", "train.milestones", "train.decay"];
    let text = parse(valid::RECIPE, false, &[]).to_toml().expect("expressible");
    let table: toml::Table = text.parse().expect("TOML");
    for key in System::Mae.known_keys() {
        let found = key
            .split('.')
            .try_fold(&toml::Value::Table(table.clone()), |value, part| value.get(part))
            .is_some();
        let absent = optional.contains(&key.as_str())
            || unread.contains(&key.as_str())
            || key.starts_with("data.augment.colours.")
            || key.starts_with("eval.finetune.");
        assert_eq!(found, !absent, "{key}");
    }
}

#[test]
fn an_outline_leaves_open_where_ones_own_pictures_lie_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("r.toml");
    let write = |text: &str| std::fs::write(&path, text).expect("a writable folder");
    write(&valid::RECIPE.replace("\"cifar10\"", "\"folder\""));
    let outline = <Recipe>::outline(&path).expect("a recipe to list");
    assert_eq!(outline.data()[0].name, "folder");
    let refused = <Recipe>::load(&path, &Layers::default()).expect_err("nobody said where");
    assert!(refused.to_string().contains("give it with --set data.root=DIR"), "{refused}");
    write(&valid::RECIPE.replace("ratio = 0.75", "ratio = 7"));
    assert!(<Recipe>::outline(&path).is_err());
}

#[test]
fn layers_lie_over_each_other_in_order() {
    let plain = parse(valid::RECIPE, false, &[]);
    assert_eq!((plain.train.epochs, plain.settings.data.limit), (4, None));
    let quick = parse(valid::RECIPE, true, &[]);
    assert_eq!((quick.train.epochs, quick.settings.data.limit), (1, Some(1280)));
    let set = parse(valid::RECIPE, true, &["train.epochs=2", "train.epochs=3"]);
    assert_eq!((set.train.epochs, set.settings.data.limit), (3, Some(1280)));
    let tables = parse(valid::RECIPE, false, &["decoder={ dim = 64 }"]);
    let decoder = tables.settings.decoder;
    assert_eq!((decoder.dim, decoder.depth), (64, 1));
    let nested = valid::RECIPE.replace("\"train.epochs\" = 1", "train.epochs = 1");
    assert_eq!(parse(&nested, true, &[]).train.epochs, 1);
}

#[test]
fn an_override_is_toml_or_else_text() {
    let rectangle = parse(valid::RECIPE, false, &["data.image_size=[32, 64]"]);
    assert_eq!(rectangle.settings.data.image_size, ImageSize::Rectangle([32, 64]));
    for assignment in ["data.root=/srv/a b", "data.root=\"/srv/a b\""] {
        let root = parse(valid::RECIPE, false, &[assignment]).settings.data.root;
        assert_eq!(root.as_deref(), Some(Path::new("/srv/a b")));
    }
    assert_eq!(parse(valid::RECIPE, false, &["train.base_lr=1"]).train.base_lr, 1.0);
}

#[test]
fn the_names_of_enums_are_the_names_in_files() {
    // Features are a target of systems that have a teacher.
    for &kind in TargetKind::VARIANTS.iter().filter(|kind| **kind != TargetKind::Features) {
        let assignment = format!("target.kind={kind}");
        assert_eq!(parse(valid::RECIPE, false, &[&assignment]).settings.target.kind, kind);
    }
    for &protocol in Protocol::VARIANTS {
        let assignment = format!("eval.protocols=[\"{protocol}\"]");
        let eval = parse(valid::RECIPE, false, &[&assignment]).settings.eval;
        assert_eq!(eval.protocols, [protocol]);
        assert_eq!(protocol.to_string().parse(), Ok(protocol));
    }
    // Images have no time steps to mask.
    for &strategy in Strategy::VARIANTS.iter().filter(|name| **name != Strategy::Frame) {
        // Not every strategy can meet every ratio.
        let strategies = [0.75, 0.5, 0.25].map(|ratio| {
            let set = [format!("mask.strategy={strategy}"), format!("mask.ratio={ratio}")];
            let read = Recipe::<Mae>::parse(valid::RECIPE, Path::new("r.toml"), &Layers::of(&set));
            read.map(|recipe| recipe.settings.mask.strategy).ok()
        });
        assert!(strategies.contains(&Some(strategy)), "{strategy}");
    }
}

#[test]
fn evaluation_alone_takes_its_own_keys() {
    let set = |assignments: &[&str]| {
        let set: Vec<_> = assignments.iter().map(|&text| text.to_owned()).collect();
        EvaluateSettings::parse(&set)
    };
    assert_eq!(set(&[]).unwrap(), EvaluateSettings::default());
    let data = set(&["data.root=/srv/images", "data.holdout=0.1"]).unwrap().data;
    assert_eq!(data, EvaluateData { root: Some("/srv/images".into()), holdout: Some(0.1) });
    let changed = set(&["eval.linear.optimizer=lars", "eval.semi.percents=[2, 0.5]"]).unwrap().eval;
    assert_eq!(changed.linear.optimizer, ProbeOptimizer::Lars);
    assert_eq!(changed.semi.percents, [2.0, 0.5]);
    for (assignment, message) in [
        ("eval.knn.k=0", "--set eval.knn.k=0: eval.knn.k is 0; it must be at least 1"),
        ("data.root= ", "--set data.root= : data.root is empty; it must be a path"),
        ("data.holdout=1", "--set data.holdout=1: data.holdout is 1; it must be in (0, 1)"),
        (
            "eval.lineer.epochs=1",
            "--set eval.lineer.epochs=1: unknown key eval.lineer.epochs; \
             did you mean eval.linear.epochs?",
        ),
        (
            "train.epochs=1",
            "--set train.epochs=1: unknown key train.epochs; did you mean eval.linear.epochs?",
        ),
    ] {
        assert_eq!(set(&[assignment]).unwrap_err().to_string(), message);
    }
}

#[test]
fn committed_recipes_are_valid_with_and_without_quick_and_read_back() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments/recipes");
    if !folder.is_dir() {
        return; // A published crate travels without the workspace's recipes.
    }
    let names = bauta_recipe::names(&folder).expect("a readable folder");
    assert!(names.len() >= 6, "{names:?}");
    for name in names {
        let path = bauta_recipe::find(&folder, &name).expect("a name that was just listed");
        let outline = <Recipe>::outline(&path).unwrap_or_else(|error| panic!("{error}"));
        // A recipe's file cannot say where a user's own pictures or videos lie.
        let theirs = ["folder", "shards", "videos"];
        let own = outline.data().iter().any(|need| theirs.contains(&need.name));
        let set = if own { vec!["data.root=/pictures".to_owned()] } else { Vec::new() };
        for quick in [false, true] {
            let recipe: Recipe = Recipe::load(&path, &Layers { quick, set: set.clone() })
                .unwrap_or_else(|error| panic!("{error}"));
            let text = recipe.to_toml().expect("expressible");
            let read = Recipe::parse(&text, Path::new("r.toml"), &Layers::default());
            assert_eq!(read.unwrap_or_else(|error| panic!("{error}: {text}")), recipe);
        }
    }
}

#[test]
fn a_resolved_file_begins_with_what_it_is_and_ends_with_what_is_measured() {
    let text = parse(valid::RECIPE, false, &[]).to_toml().expect("expressible");
    let tops: Vec<&str> =
        text.lines().filter(|line| line.starts_with('[') && !line.contains('.')).collect();
    let tables = ["[about]", "[data]", "[model]", "[decoder]", "[mask]", "[target]", "[train]"];
    assert_eq!(tops, [tables.as_slice(), &["[eval]"]].concat());
    assert!(text.starts_with("system = \"mae\"\nseed = 7\n"), "{text}");
    assert!(text.contains("[model]\npatch_size = 4\ndim = 64\ndepth = 2\nheads = 4\n"), "{text}");
}

#[test]
fn an_optimizer_or_a_schedule_of_choice_forgets_what_the_file_says_to_others() {
    let sgd = parse(valid::RECIPE, false, &["train.optimizer=sgd"]);
    assert_eq!((sgd.train.optimizer, sgd.train.momentum), (Optimizer::Sgd, 0.9));
    let text = sgd.to_toml().expect("expressible");
    assert!(text.contains("momentum = 0.9") && !text.contains("betas"), "{text}");

    let set = ["train.schedule=steps", "train.milestones=[1, 2.5]", "train.decay=0.5"];
    let steps = parse(valid::RECIPE, false, &set);
    assert_eq!(steps.train.schedule, Schedule::Steps);
    assert_eq!((steps.train.milestones.as_slice(), steps.train.decay), (&[1.0, 2.5][..], 0.5));
    assert_eq!(parse(&steps.to_toml().unwrap(), false, &[]), steps);

    let file = valid::RECIPE.replace("epochs = 4", "epochs = 4\nmin_lr = 1e-5");
    let constant = parse(&file, false, &["train.schedule=constant"]);
    assert_eq!((constant.train.schedule, constant.train.min_lr), (Schedule::Constant, 0.0));
    let constant = "[quick]\n\"train.schedule\" = \"constant\"";
    let quick = parse(&file.replace("[quick]", constant), true, &[]);
    assert_eq!((quick.train.schedule, quick.train.min_lr), (Schedule::Constant, 0.0));
    for milestones in ["[0]", "[4]", "[2, 2]", "[3, 1]", "[nan]"] {
        let milestones = format!("train.milestones={milestones}");
        let layers = Layers::of(&["train.schedule=steps".to_owned(), milestones.clone()]);
        let error = <Recipe>::parse(valid::RECIPE, Path::new("r.toml"), &layers).unwrap_err();
        assert!(error.to_string().starts_with(&format!("--set {milestones}: ")), "{error}");
    }
}

#[test]
fn a_reduced_form_is_held_to_its_own_choice() {
    let quick = |lines: &str| {
        let text = valid::RECIPE.replace("[quick]", &format!("[quick]\n{lines}"));
        let layers = Layers { quick: true, set: Vec::new() };
        <Recipe>::parse(&text, Path::new("r.toml"), &layers).map_err(|error| error.to_string())
    };
    let refused = "r.toml:36: train.decay is only used with train.schedule \"steps\"; remove it";
    let tables = ["train = { decay = 0.5, schedule = \"constant\" }", "\"train.decay\" = 0.5"];
    for lines in tables {
        assert_eq!(quick(lines).unwrap_err(), refused, "{lines}");
    }
    assert!(quick("train = { optimizer = \"sgd\" }").is_ok(), "the file's betas are adamw's");
}

prop_compose! {
    fn arbitrary_recipe()(
        seed in 0..=i64::MAX as u64,
        patch in 1_usize..=8,
        rows in 2_usize..9,
        columns in 2_usize..9,
        dim in 1_usize..40,
        heads in prop::sample::select(vec![1_usize, 2, 4]),
        depth in 1_usize..30,
        epochs in 1_u32..2000,
        base_lr in 1e-9_f64..10.0,
        warmup in 0.0_f64..1.0,
        betas in [0.0_f64..1.0, 0.0_f64..1.0],
        limit in prop::option::of(4096_usize..1_000_000),
        root in prop::option::of("[a-zA-Z0-9_/. \"'\\\\é-]{1,20}"),
        clip_grad in prop::option::of(1e-3_f64..100.0),
        summary in "\\PC{0,40}",
        bf16 in any::<bool>(),
        cls in any::<bool>(),
    ) -> Recipe<Mae> {
        let mut recipe = parse(valid::RECIPE, false, &[]);
        recipe.seed = seed;
        recipe.about.summary = summary;
        recipe.settings.data.image_size = ImageSize::Rectangle([rows * patch, columns * patch]);
        recipe.settings.data.limit = limit;
        recipe.settings.data.root = root.map(Into::into);
        recipe.settings.model.patch_size = patch;
        recipe.settings.model.dim = 4 * dim;
        recipe.settings.model.heads = heads;
        recipe.settings.model.depth = depth;
        recipe.settings.mask.ratio = 0.5;
        recipe.train.epochs = epochs;
        recipe.train.base_lr = base_lr;
        recipe.train.warmup_epochs = warmup;
        recipe.train.betas = betas;
        recipe.train.clip_grad = clip_grad;
        recipe.train.precision = if bf16 { Precision::Bf16 } else { Precision::Fp32 };
        recipe.settings.eval.features = if cls { Pooling::Cls } else { Pooling::Mean };
        recipe
    }
}

proptest! {
    #[test]
    fn a_resolved_recipe_reads_back_equal(recipe in arbitrary_recipe()) {
        prop_assert!(recipe.validate().is_ok(), "{:?}", recipe.validate());
        let text = recipe.to_toml().expect("expressible");
        let read = Recipe::parse(&text, Path::new("r.toml"), &Layers::default());
        prop_assert_eq!(read.expect("what was written is valid"), recipe);
    }

    #[test]
    fn no_text_makes_reading_panic(text in "\\PC{0,200}", assignment in "\\PC{0,40}") {
        let layers = Layers { quick: true, set: vec![assignment] };
        let _ = <Recipe>::parse(&text, Path::new("r.toml"), &layers);
    }
}
