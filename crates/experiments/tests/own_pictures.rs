//! Users' own inputs: a flat folder of pictures, weights to start from, two processes at once.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod digits;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use bauta_backbones::{Framing, ModelFolder, Resize};
use bauta_data::Statistics;
use bauta_experiments::run::RunEnd;
use bauta_experiments::start::{RunOptions, run};
use bauta_files::FolderLock;
use bauta_recipe::Layers;
use bauta_report::{Section, Summary};
use digits::{DECODER, Place, SMALL, words};
use image::RgbImage;

fn train(recipe: &str, out: &Path, resume: bool, set: &[String]) -> Result<Summary, String> {
    let file = format!("{}/recipes/{recipe}.toml", env!("CARGO_MANIFEST_DIR"));
    let layers = Layers { quick: false, set: set.to_vec() };
    let options = RunOptions { recipe: PathBuf::from(file), layers, out: out.to_owned(), resume };
    match run(&options, &AtomicBool::new(false)) {
        Ok(RunEnd::Finished(summary)) => Ok(*summary),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(format!("{error:#}")),
    }
}

/// A miniature of a recipe on the digits, with more settings.
fn digits(recipe: &str, place: &Place, out: &str, more: &[&str]) -> Result<Summary, String> {
    resumed(recipe, place, out, false, more)
}

fn resumed(
    recipe: &str,
    place: &Place,
    out: &str,
    resume: bool,
    more: &[&str],
) -> Result<Summary, String> {
    let mut set = words(&SMALL);
    if recipe != "maskdistill-cifar10" {
        set.extend(words(&DECODER));
    }
    set.push(format!("data.root={}", place.path("data").display()));
    set.extend(words(more));
    train(recipe, &place.path(out), resume, &set)
}

fn starting_weights(run: &Path) -> Option<Section> {
    let sections = Section::read_all(run).unwrap();
    sections.into_iter().find(|section| section.title == "Starting weights")
}

#[test]
fn a_flat_folder_of_pictures_is_pre_trained_on_and_shown() {
    let place = tempfile::tempdir().unwrap();
    for number in 0..40_u32 {
        let picture = RgbImage::from_fn(40 + number, 70 - number, |x, y| {
            image::Rgb([(x * number) as u8, (y * 7) as u8, (x + y) as u8])
        });
        fs::create_dir_all(place.path().join("photos")).unwrap();
        picture.save(place.path().join(format!("photos/{number}.png"))).unwrap();
    }
    let out = place.path().join("run");
    // The recipe itself, but smaller.
    let small = SMALL.iter().filter(|set| !set.starts_with("data.") && !set.contains("batch_size"));
    let mut set: Vec<String> = small.chain(&DECODER).map(|&set| set.to_owned()).collect();
    let own =
        ["data.image_size=16", "data.shrink=32", "train.batch_size=8", "eval.pictures.count=4"];
    set.extend(words(&own));
    let refused = train("mae-images", &out, false, &set).unwrap_err();
    assert!(refused.contains("give it with --set data.root=DIR"), "{refused}");
    assert!(!out.exists());

    set.push(format!("data.root={}", place.path().join("photos").display()));
    let summary = train("mae-images", &out, false, &set).unwrap();
    assert!(summary.eval.is_empty(), "there are no classes: {:?}", summary.eval);
    let said = summary.protocols.join(" ");
    assert!(said.contains("images are held out by the hash of their paths: 10 %"), "{said}");
    assert!(said.contains("They have no classes"), "{said}");
    let report = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("held out by the hash of their paths"));
    for picture in ["reconstructions", "attention"] {
        assert!(out.join(format!("pictures/{picture}.png")).is_file(), "{picture}");
    }
    let model = ModelFolder::read(&out.join("checkpoints/last")).unwrap();
    let preprocessing = model.preprocessing().expect("each checkpoint says it");
    assert_eq!(preprocessing.statistics(3).unwrap().mean[..], Statistics::IMAGENET.mean[..]);
    let Framing { resize, crop, .. } = preprocessing.framing().unwrap().unwrap();
    assert_eq!((resize, crop), (Resize::ShorterSide(18), Some([16, 16])));
}

#[test]
fn training_starts_from_a_former_run_and_says_what_it_took() {
    let place = Place::new();
    let first = digits("mae-cifar10", &place, "first", &["train.epochs=4"]).unwrap();
    let init = format!("model.init={}", place.path("first/checkpoints/last").display());
    let again = digits("mae-cifar10", &place, "again", &[&init]).unwrap();
    let loss = |summary: &Summary| summary.train.first_loss.unwrap();
    let trained = first.train.final_loss.unwrap();
    assert!(loss(&again) < 0.5 * (loss(&first) + trained), "{} {trained}", loss(&again));
    let section = starting_weights(&place.path("again")).unwrap();
    assert_eq!(section.body.len(), 1, "nothing was left out: {section:?}");
    assert!(starting_weights(&place.path("first")).is_none());

    // A finished run is resumed without the folder, and its report does not change.
    fs::rename(place.path("first"), place.path("moved")).unwrap();
    resumed("mae-cifar10", &place, "again", true, &[&init]).unwrap();
    assert_eq!(starting_weights(&place.path("again")), Some(section));
    let gone = digits("mae-cifar10", &place, "none", &[&init]).unwrap_err();
    assert!(gone.contains("model.init") && gone.contains("config.json"), "{gone}");
    assert!(!place.path("none").exists());
}

#[test]
fn every_system_starts_from_weights_of_its_kind_alone() {
    let place = Place::new();
    digits("mae-cifar10", &place, "mae", &[]).unwrap();
    let mae = format!("model.init={}", place.path("mae/checkpoints/last").display());
    let pixels = "teacher={ kind = \"pixels\" }";
    let distilling = ["teacher={ kind = \"random\" }", "stages.count=2"];
    let folder = place.path("mae/checkpoints/last").display().to_string();
    let teacher = format!("teacher={{ kind = \"folder\", model = \"{folder}\" }}");
    let mixing = ["mixture.init=random", &teacher];
    // dBOT's decoder predicts features; the rest is the masked autoencoder's.
    digits("dbot-cifar10", &place, "dbot", &[&distilling[..], &[&mae]].concat()).unwrap();
    let section = format!("{:?}", starting_weights(&place.path("dbot")).unwrap());
    assert!(section.contains("decoder_pred.weight ([4, 8] there, [16, 8] here)"), "{section}");
    let stage = ModelFolder::read(&place.path("dbot/checkpoints/stage-1")).unwrap();
    let said = stage.preprocessing().expect("what teaches says it, too").statistics(1).unwrap();
    assert_eq!(said.mean[..], Statistics::MNIST.mean[..]);
    digits("i-mae-cifar10", &place, "i-mae", &[&mixing[..], &[&mae]].concat()).unwrap();
    let twice = ["mixture.init=teacher", &teacher, &mae];
    let refused = digits("i-mae-cifar10", &place, "no", &twice).unwrap_err();
    assert!(refused.contains("both say what training starts from"), "{refused}");

    digits("maskdistill-cifar10", &place, "beit", &[pixels]).unwrap();
    let beit = format!("model.init={}", place.path("beit/checkpoints/last").display());
    digits("maskdistill-cifar10", &place, "again", &[pixels, &beit]).unwrap();
    assert_eq!(starting_weights(&place.path("again")).unwrap().body.len(), 1);
    for (recipe, more, words) in [
        ("maskdistill-cifar10", vec![pixels, &mae], "the network has the encoder of a BEiT"),
        ("mae-cifar10", vec![&*beit], "it holds a BEiT"),
        ("mae-cifar10", vec!["model.dim=24", &mae], "model.dim is 24 against the folder's 16"),
        ("mae-cifar10", vec!["model.depth=3", &mae], "model.depth is 3 against the folder's 2"),
        ("mae-cifar10", vec!["model.patch_size=4", &mae], "model.patch_size is 4"),
    ] {
        let refused = digits(recipe, &place, "no", &more).unwrap_err();
        assert!(refused.contains(words) && refused.contains("model.init"), "{refused}");
        assert!(!place.path("no").exists(), "{refused}");
    }
}

#[test]
fn positions_come_to_the_recipes_grid() {
    let place = Place::new();
    digits("mae-cifar10", &place, "mae", &[]).unwrap();
    let init = format!("model.init={}", place.path("mae/checkpoints/last").display());
    digits("mae-cifar10", &place, "larger", &["data.image_size=12", &init]).unwrap();
    let section = format!("{:?}", starting_weights(&place.path("larger")).unwrap());
    assert!(section.contains("decoder_pos_embed, pos_embed"), "{section}");
}

#[test]
fn one_process_trains_in_a_folder() {
    let place = Place::new();
    digits("mae-cifar10", &place, "run", &[]).unwrap();
    let held = FolderLock::take(&place.path("run")).unwrap();
    fs::write(place.path("run/summary.json.partial"), "half").unwrap();
    let refused = resumed("mae-cifar10", &place, "run", true, &[]).unwrap_err();
    let folder = place.path("run").display().to_string();
    assert!(refused.contains(&format!("another process trains in {folder}")), "{refused}");
    drop(held);
    resumed("mae-cifar10", &place, "run", true, &[]).unwrap();
    assert!(!place.path("run/summary.json.partial").exists(), "what a kill left is cleared");
}

#[test]
fn a_test_split_that_no_picture_can_be_read_of_is_refused_before_training() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    for (class, shade) in [("light", 200), ("dark", 20)] {
        for split in ["train", "val"] {
            fs::create_dir_all(at(&format!("photos/{split}/{class}"))).unwrap();
            for number in 0..6_u32 {
                let picture = RgbImage::from_fn(20, 20, |x, y| {
                    image::Rgb([shade, (x * 9) as u8, (y * number) as u8])
                });
                picture.save(at(&format!("photos/{split}/{class}/{number}.png"))).unwrap();
            }
        }
    }
    let damage = |class: &str, numbers: std::ops::Range<u32>| {
        for number in numbers {
            fs::write(at(&format!("photos/val/{class}/{number}.png")), b"\x89PNG\r\n\x1a\n")
                .unwrap();
        }
    };
    let small = SMALL.iter().filter(|set| !set.starts_with("data.") && !set.contains("batch_size"));
    let mut set: Vec<String> = small.chain(&DECODER).map(|&set| set.to_owned()).collect();
    set.extend(words(&["data.image_size=16", "train.batch_size=4", "eval.pictures.count=4"]));
    set.push("eval.knn.k=3".to_owned());
    set.push(format!("data.root={}", at("photos").display()));

    // The first of the test split, and all that would be shown: others are shown instead.
    damage("dark", 0..5);
    let out = at("run");
    let summary = train("mae-images", &out, false, &set).unwrap();
    assert!(summary.eval.contains_key("knn_top1"), "{:?}", summary.eval);
    assert!(out.join("pictures/reconstructions.png").is_file());

    damage("dark", 5..6);
    damage("light", 0..6);
    let out = at("refused");
    let refused = train("mae-images", &out, false, &set).unwrap_err();
    assert!(refused.contains("none of the 12 images to measure on can be decoded"), "{refused}");
    assert!(!out.exists());
}

#[test]
fn a_runs_folder_in_a_models_place_is_told_where_the_model_is() {
    let place = Place::new();
    digits("mae-cifar10", &place, "first", &[]).unwrap();
    for folder in ["first", "first/checkpoints"] {
        let init = format!("model.init={}", place.path(folder).display());
        let refused = digits("mae-cifar10", &place, "again", &[&init]).unwrap_err();
        let model = place.path("first/checkpoints/last");
        assert!(refused.contains(&format!("its model is {}", model.display())), "{refused}");
    }
}
