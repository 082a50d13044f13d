//! Common mistakes, and hostile files: each is refused at once, in a short message that says what
//! is accepted.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod valid;

use std::path::Path;
use std::time::{Duration, Instant};

use bauta_recipe::claim::{Claim, Size};
use bauta_recipe::{
    DenseSettings, EvaluateSettings, FineTuneSettings, Folders, LIMITS, Layers, Mae, Protocol,
    Recipe, prepare_run_folder,
};

fn error_of(text: &str, set: &[&str]) -> String {
    let set: Vec<String> = set.iter().map(|&text| text.to_owned()).collect();
    <Recipe>::parse(text, Path::new("r.toml"), &Layers::of(&set)).unwrap_err().to_string()
}

#[test]
fn a_megabyte_is_refused_at_once_and_in_short() {
    let begun = Instant::now();
    let long = "a".repeat(1_000_000);
    let dots = "a.".repeat(500_000);
    let after = |line: &str| valid::RECIPE.replace("seed = 7", &format!("seed = 7\n{line}"));
    let many: String = (0..70_000).map(|number| format!("k{number} = 1\n")).collect();
    for text in [
        after(&format!("{long} = 1")),
        after(&format!("\"{dots}\" = 1")),
        after(&format!("{dots}a = 1")),
        after(&many),
        valid::RECIPE.replace("\"mae\"", &format!("\"{long}\"")),
        valid::RECIPE.replace("\"random\"", &format!("\"{long}\"")),
        valid::RECIPE.replace("\"cifar10\"", &format!("\"{long}\"")),
        valid::RECIPE.replace("epochs = 4", &format!("epochs = \"{long}\"")),
        valid::RECIPE.replace("epochs = 4", &format!("epochs = {}", "9".repeat(1_000_000))),
        valid::RECIPE.replace("ratio = 0.75", &format!("ratio = {}", "[".repeat(500_000))),
        after(&format!("# {}", "a".repeat(2_000_000))),
    ] {
        let error = error_of(&text, &[]);
        assert!(error.len() < 2500, "{} bytes: {}", error.len(), &error[..200]);
        assert!(error.starts_with("r.toml"), "{}", &error[..200]);
    }
    let (key, deep) = ("a".repeat(60_000), "a.".repeat(30_000));
    for set in [
        format!("{long}=1"),
        format!("{key}=1"),
        format!("{deep}a=1"),
        format!("mask.strategy={key}"),
        key.clone(),
    ] {
        let error = error_of(valid::RECIPE, &[&set]);
        assert!(error.len() < 1000, "{} bytes: {}", error.len(), &error[..200]);
    }
    for line in [format!("{long} = 1"), format!("set = {{ \"{dots}\" = 1 }}"), many] {
        let error = Claim::parse(&line, Path::new("c.toml"), Size::Full).unwrap_err().to_string();
        assert!(error.len() < 1000, "{} bytes: {}", error.len(), &error[..200]);
    }
    // Without bounds it takes minutes; the margin is for a busy machine.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_recipe_is_a_regular_file() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("folder.toml");
    std::fs::create_dir_all(&folder).unwrap();
    let load = |path: &Path| <Recipe>::load(path, &Layers::default()).unwrap_err().to_string();
    assert!(load(&folder).ends_with("it is not a regular file"), "{}", load(&folder));
    let large = Path::new(env!("CARGO_TARGET_TMPDIR")).join("large.toml");
    std::fs::write(&large, "#".repeat(1 << 21)).unwrap();
    assert!(load(&large).ends_with("it has more than 1048576 bytes"), "{}", load(&large));
}

#[test]
fn what_one_table_lacks_is_said_together() {
    let train = "epochs = 4\nbatch_size = 128\nbase_lr = 1.0e-3\n";
    assert_eq!(
        error_of(&valid::RECIPE.replace(train, ""), &[]),
        "r.toml:29: missing keys train.epochs, train.batch_size and train.base_lr"
    );
    assert_eq!(
        error_of(&valid::RECIPE.replace("dim = 64\ndepth = 2\n", ""), &[]),
        "r.toml:14: missing keys model.dim and model.depth"
    );
    assert_eq!(
        error_of("system = \"mae\"\n", &[]),
        "r.toml:1: data, model, decoder, mask, target and train are missing: \
         system \"mae\" needs these tables"
    );
    let optional = "system = \"i-mae\"\nmask.ratio = 0.5\ntarget = {}\nmixture = {}\n\
                    train = { epochs = 1, batch_size = 1, base_lr = 1 }\n";
    assert_eq!(
        error_of(optional, &[]),
        "r.toml:1: data, model and decoder are missing: system \"i-mae\" needs these tables"
    );
    let claim = Claim::parse("recipe = \"mae\"", Path::new("c.toml"), Size::Full).unwrap_err();
    assert_eq!(
        claim.to_string(),
        "c.toml: missing keys source, summary, metric and seeds and table quick"
    );
}

#[test]
fn a_recipe_of_ones_own_needs_no_provenance() {
    let about = valid::RECIPE.find("[about]").unwrap()..valid::RECIPE.find("[data]").unwrap();
    let mut text = valid::RECIPE.to_owned();
    text.replace_range(about, "");
    let recipe = |text: &str| Recipe::<Mae>::parse(text, Path::new("r.toml"), &Layers::default());
    let read = recipe(&text).unwrap();
    assert_eq!((read.about.summary.as_str(), read.about.minutes), ("", 0.0));
    assert_eq!(recipe(&read.to_toml().unwrap()).unwrap(), read);
    let some = recipe(&format!("about.summary = \"mine\"\n{text}")).unwrap();
    assert_eq!((some.about.summary.as_str(), some.about.metric.as_str()), ("mine", ""));
}

#[test]
fn the_recipes_of_this_workspace_say_where_they_come_from() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments/recipes");
    if !folder.is_dir() {
        return; // A published crate travels without the workspace's recipes.
    }
    for name in bauta_recipe::names(&folder).unwrap() {
        let path = bauta_recipe::find(&folder, &name).unwrap();
        let about = <Recipe>::outline(&path).unwrap().about;
        for (key, text) in [
            ("summary", &about.summary),
            ("paper", &about.paper),
            ("machine", &about.machine),
            ("metric", &about.metric),
        ] {
            assert!(!text.is_empty(), "{name} has no about.{key}");
        }
        assert!(about.minutes > 0.0, "{name} has no about.minutes");
    }
}

#[test]
fn words_of_the_field_find_what_they_are_called_here() {
    for (assignment, meant) in [
        ("train.device=gpu", "cuda"),
        ("train.device=cuda:0", "cuda"),
        ("train.lr=1e-3", "train.base_lr"),
        ("lr=1e-3", "train.base_lr"),
        ("train.learning_rate=1", "train.base_lr"),
        ("eval.linear.lr=1", "eval.linear.base_lr"),
        ("data.name=imagenet", "folder"),
        ("data.name=ImageFolder", "folder"),
        ("data.name=webdataset", "shards"),
        ("data.dataset=mnist", "data.name"),
        ("data.path=/srv", "data.root"),
        ("model.embed_dim=64", "model.dim"),
        ("model.hidden_size=64", "model.dim"),
        ("model.num_layers=2", "model.depth"),
        ("decoder.num_heads=2", "decoder.heads"),
        ("train.bs=64", "train.batch_size"),
        ("train.num_workers=2", "train.threads"),
        ("train.wd=0.1", "train.weight_decay"),
        ("train.warmup=1", "train.warmup_epochs"),
        ("train.num_epochs=2", "train.epochs"),
        ("train.precision=bfloat16", "bf16"),
        ("train.precision=float32", "fp32"),
        ("mask_ratio=0.5", "mask.ratio"),
        ("mask.masking_ratio=0.5", "mask.ratio"),
        ("data.img_size=32", "data.image_size"),
        ("train.accum_iter=2", "train.accumulate"),
        ("norm_pix_loss=true", "target.kind"),
    ] {
        let error = error_of(valid::RECIPE, &[assignment]);
        assert!(error.contains(&format!("did you mean {meant}?")), "{assignment}: {error}");
    }
}

#[test]
fn absurd_sizes_are_refused_with_their_limit() {
    for (assignment, message) in [
        ("model.dim=1000000000", "model.dim is 1000000000; it must be at most 16384"),
        ("model.depth=1000000000", "model.depth is 1000000000; it must be at most 1000 blocks"),
        ("model.heads=100000", "model.heads is 100000; it must be at most 1024 heads"),
        ("model.mlp_ratio=1e300", "it must be at most 64"),
        ("model.patch_size=100000", "model.patch_size is 100000; it must be at most 1024 pixels"),
        ("decoder.dim=1000000", "decoder.dim is 1000000; it must be at most 16384"),
        ("decoder.depth=1000000", "decoder.depth is 1000000; it must be at most 1000 blocks"),
        ("data.image_size=100000", "data.image_size is 100000; it must be at most 8192 pixels"),
        ("data.image_size=[32, 100000]", "data.image_size is 100000; it must be at most 8192"),
        ("train.batch_size=1000000000", "it must be at most 65536 images"),
        ("train.epochs=4294967295", "train.epochs is 4294967295; it must be at most 1000000"),
        ("train.accumulate=1000000000000", "it must be at most 10000 forward passes"),
        ("train.threads=100000", "train.threads is 100000; it must be at most 1024 threads"),
        ("eval.linear.epochs=4294967295", "it must be at most 10000 epochs"),
        ("eval.linear.batch_size=1000000000000", "it must be at most 1000000 features"),
        ("eval.semi.epochs=4294967295", "it must be at most 10000 epochs"),
        ("eval.few_shot.draws=4294967295", "it must be at most 10000 draws"),
        ("eval.few_shot.shots=[1000000000]", "it must be at most 100000 images"),
        ("eval.knn.k=1000000000", "it must be at most 100000 neighbours"),
        ("eval.pictures.count=1000000000", "it must be at most 1000 images"),
        ("eval.finetune.epochs=4294967295", "it must be at most 100000 epochs"),
        ("eval.finetune.mixup=1e300", "it must be at most 100"),
    ] {
        let error = error_of(valid::RECIPE, &[assignment]);
        assert!(error.contains(message) && error.len() < 300, "{assignment}: {error}");
    }
    let together = |set: &[&str]| error_of(valid::RECIPE, set);
    let error = together(&["model.dim=16384", "model.depth=1000"]);
    assert!(error.ends_with("make 3.2e12 weights; they must be at most 1e10"), "{error}");
    let error = together(&["train.batch_size=65536", "data.image_size=8192"]);
    assert!(error.contains("pixels in one forward pass; it must be at most 4294967296"), "{error}");
    let error = together(&["model.patch_size=1", "data.image_size=1024"]);
    assert!(error.ends_with("into 1048576 tokens; they must be at most 65536"), "{error}");
    for set in ["train.steps=1000000000000", "train.threads=100000", "head.width=8000000"] {
        let error = DenseSettings::parse(&[set.to_owned()]).unwrap_err().to_string();
        assert!(error.contains("must be at most"), "{error}");
    }
    for set in ["train.threads=100000", "data.image_size=100000", "eval.finetune.blocks=100000"] {
        let error = FineTuneSettings::parse(&[set.to_owned()]).unwrap_err().to_string();
        assert!(error.contains("must be at most"), "{error}");
    }
}

/// Each limit must be enforced by some check.
#[test]
fn every_limit_is_checked() {
    let of_clips = valid::RECIPE
        .replace("system = \"mae\"", "system = \"mae-st\"")
        .replace("cifar10", "moving-mnist")
        .replace("[model]\n", "[model]\npatch_frames = 2\n");
    let (head, _) = valid::RECIPE.split_once("[model]").unwrap();
    let (_, train) = valid::RECIPE.split_once("[train]").unwrap();
    let of_views = head.replace("system = \"mae\"", "system = \"mixmask\"")
        + "[model]\nnetwork = \"resnet18\"\n[siamese]\n[mask]\nratio = 0.5\ngrid = 4\n[train]"
        + train;
    for limit in LIMITS {
        let above = format!("{}={}", limit.key, limit.most + 1);
        let listed = format!("{}=[{}]", limit.key, limit.most + 1);
        let texts = [valid::RECIPE, &of_clips, &of_views];
        let tries = texts.into_iter().flat_map(|text| [(text, &above), (text, &listed)]);
        let of_mae = tries.into_iter().any(|(text, set)| {
            let others: &[&str] = match limit.key {
                "mask.min_block" => &["mask.strategy=block"],
                _ => &[],
            };
            let set = [others, &[set.as_str()]].concat();
            let set: Vec<String> = set.into_iter().map(str::to_owned).collect();
            let read = <Recipe>::parse(text, Path::new("r.toml"), &Layers::of(&set));
            read.is_err_and(|error| error.to_string().contains("must be at most"))
        });
        let of_dense = DenseSettings::parse(std::slice::from_ref(&above))
            .is_err_and(|error| error.to_string().contains("must be at most"));
        let elsewhere = ["teacher.", "stages."].iter().any(|table| limit.key.starts_with(table));
        assert!(of_mae || of_dense || elsewhere, "{above} is taken");
    }
}

#[test]
fn what_differs_from_the_recipe_that_a_run_was_begun_with_is_named() {
    let recipe = |set: &[&str]| {
        let set: Vec<String> = set.iter().map(|&text| text.to_owned()).collect();
        Recipe::<Mae>::parse(valid::RECIPE, Path::new("r.toml"), &Layers::of(&set)).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let begun = recipe(&[]).to_toml().unwrap();
    std::fs::write(folder.path().join("recipe.toml"), begun).unwrap();
    let refused =
        |set: &[&str]| recipe(set).check_run_folder(folder.path(), true).unwrap_err().to_string();
    let two = refused(&["train.epochs=5", "data.limit=500", "train.log_every=7"]);
    let named = "data.limit is 500, but the run was begun with none; train.epochs is 5, but the \
                 run was begun with 4; resume with";
    assert!(two.contains("begun with another recipe") && two.contains(named), "{two}");
    let others = ["mask.ratio=0.5", "train.epochs=5", "data.limit=500", "seed=1"];
    let many = refused(&[&others[..], &["decoder.depth=3", "model.depth=4"]].concat());
    assert!(many.contains("; and 1 more; resume with"), "{many}");
}

#[test]
fn a_folder_of_ones_own_is_no_runs_if_a_run_would_replace_a_part_of_it() {
    let recipe: Recipe<Mae> =
        Recipe::parse(valid::RECIPE, Path::new("r.toml"), &Layers::default()).unwrap();
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let check = |resume| recipe.check_run_folder(folder, resume).map_err(|e| e.to_string());
    assert_eq!(recipe.check_run_folder(&folder.join("new"), false).map_err(drop), Ok(()));
    // What a claim and a shell put there first, and an empty folder.
    for name in ["cell.json", "log.txt", ".lock", "recipe.toml.partial"] {
        std::fs::write(folder.join(name), "text").unwrap();
    }
    std::fs::create_dir(folder.join("checkpoints")).unwrap();
    assert_eq!((check(false), check(true)), (Ok(()), Ok(())));
    let others = ["metrics.jsonl", "events.out.tfevents.1.host", "data.partial", "checkpoints/a"];
    for name in others {
        let path = folder.join(name);
        std::fs::write(&path, "text").unwrap();
        for resume in [false, true] {
            let refused = check(resume).unwrap_err();
            let held = name.split('/').next().unwrap();
            assert!(refused.contains(&format!("it holds {held}, which")), "{refused}");
        }
        std::fs::remove_file(path).unwrap();
    }
    let refused = recipe.check_run_folder(&folder.join("log.txt"), false).unwrap_err().to_string();
    assert!(refused.starts_with("cannot write the run folder"), "{refused}");
}

#[test]
fn a_begun_run_without_checkpoints_is_told_from_one_that_is_not_begun() {
    let place = tempfile::tempdir().unwrap();
    let folders = Folders::beside(Path::new("r.toml"), &place.path().join("run"));
    assert_eq!(folders.lost_checkpoints(), None);
    prepare_run_folder(&folders.run, "").unwrap();
    let checkpoints = folders.run.join("checkpoints");
    assert_eq!(folders.lost_checkpoints().as_ref(), Some(&checkpoints));
    std::fs::create_dir(checkpoints).unwrap();
    assert_eq!(folders.lost_checkpoints(), None);
}

#[test]
fn settings_of_a_protocol_that_is_not_run_are_told() {
    let set = ["eval.protocols=[\"semi\"]", "eval.knn.k=5", "eval.linear.epochs=2"];
    let set = [&set[..], &["eval.few_shot.draws=2", "eval.semi.epochs=3"]].concat();
    let set: Vec<String> = set.iter().map(|&text| text.to_owned()).collect();
    let eval = EvaluateSettings::parse(&set).unwrap().eval;
    let told: Vec<_> = eval.without_effect(&set).collect();
    let wanted = [(set[1].as_str(), Protocol::Knn), (set[3].as_str(), Protocol::FewShot)];
    assert_eq!(told, wanted);
}

#[test]
fn resuming_asks_for_the_same_result_only() {
    let recipe = |set: &[&str]| {
        let set: Vec<String> = set.iter().map(|&text| text.to_owned()).collect();
        Recipe::<Mae>::parse(valid::RECIPE, Path::new("r.toml"), &Layers::of(&set)).unwrap()
    };
    let own = recipe(&[]);
    let free = ["train.checkpoint_every=3", "train.checkpoint_blocks=true", "about.summary=x"];
    let free = [&free[..], &["train.log_every=7", "train.shard_optimizer=true"]].concat();
    let other = recipe(&free);
    assert!(own != other && own.same_result(&other));
    assert_eq!(own.differing_keys(&other).unwrap(), [""; 0]);
    let text = |recipe: &Recipe<Mae>| recipe.settings_of_result().unwrap();
    assert_eq!(text(&own), text(&other));
    assert_ne!(text(&own), text(&recipe(&["train.epochs=5"])));
    let looked_at = recipe(&["eval.every=3", "eval.features_in_memory=0"]);
    assert!(own != looked_at && own.same_result(&looked_at) && looked_at.same_result(&own));
    let other = recipe(&["train.log_every=7", "train.epochs=5", "data.limit=500", "seed=1"]);
    assert!(!own.same_result(&other));
    assert_eq!(own.differing_keys(&other).unwrap(), ["seed", "data.limit", "train.epochs"]);
    assert_eq!(other.differing_keys(&own).unwrap(), ["seed", "data.limit", "train.epochs"]);
}
