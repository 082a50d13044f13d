//! A whole run on images with captions, in miniature: killed once, and resumed to the same bits.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod program;

use std::fs;
use std::path::Path;

use bauta_data::pairs::{PairName, PairOptions, open_pairs};
use bauta_report::{MetricsLog, Summary};
use program::{finish, kill_after, run, same_files, start};

/// Pairs of every kind: whole, without caption, without picture, with a long caption.
const PAIRS: [&str; 21] = [
    "data.name=pairs",
    "data.image_size=8",
    "data.shrink=8",
    "data.text_length=6",
    "data.drop_text=0.1",
    "data.drop_image=0.2",
    "model.patch_size=2",
    "model.dim=16",
    "model.depth=2",
    "model.heads=2",
    "decoder.dim=8",
    "decoder.heads=2",
    "train.epochs=40",
    "train.batch_size=8",
    "train.warmup_epochs=1",
    "train.device=cpu",
    "train.threads=1",
    "train.log_every=4",
    "train.checkpoint_every=20",
    "train.ema=0.9",
    "eval={ protocols = [\"knn\"], draws = 2, knn = { k = 3 }, pictures = { count = 4 } }",
];

/// Bars in two classes whose captions name the class, and a vocabulary.
fn write_pairs(folder: &Path, vocabulary: &Path) {
    for number in 0..48_u32 {
        let class = number % 2;
        let is_bright = |x: u32, y: u32| if class == 0 { x / 3 == 1 } else { y / 3 == 1 };
        let shade =
            |x: u32, y: u32| if is_bright(x, y) { 250 } else { ((number * 7 + x) % 60) as u8 };
        let image = image::GrayImage::from_fn(9, 9, |x, y| image::Luma([shade(x, y)]));
        let name = folder.join(["upright", "level"][class as usize]);
        fs::create_dir_all(&name).unwrap();
        image.save(name.join(format!("{number}.png"))).unwrap();
        let caption = match number % 12 {
            11 => continue,
            7 => "one two three four five six seven eight".to_owned(),
            _ => format!("{} bar number {number}", ["upright", "level"][class as usize]),
        };
        fs::write(name.join(format!("{number}.txt")), caption).unwrap();
    }
    fs::write(folder.join("upright/alone.txt"), "level bar").unwrap();
    let pieces =
        "[PAD] [UNK] [CLS] [SEP] [MASK] upright level bar number one two three four 0 1 2 3";
    fs::write(vocabulary, pieces.replace(' ', "\n")).unwrap();
}

#[test]
fn what_cannot_be_trained_on_leaves_no_folder() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    write_pairs(&path("data"), &path("vocab.txt"));
    fs::write(path("unpadded.txt"), "[UNK]\n[CLS]\n[SEP]\nbar\n").unwrap();
    fs::create_dir(path("empty")).unwrap();
    fs::write(path("strange.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n猫\n").unwrap();
    fs::create_dir_all(path("latin/upright")).unwrap();
    fs::copy(path("data/upright/0.png"), path("latin/upright/0.png")).unwrap();
    fs::write(path("latin/upright/0.txt"), b"caf\xe9").unwrap();
    for (data, vocabulary, set, problem) in [
        ("data", "unpadded.txt", "seed=1", "no token for padding"),
        ("data", "absent.json", "seed=1", "absent.json"),
        ("data", "strange.txt", "seed=1", "are unknown to"),
        ("latin", "vocab.txt", "seed=1", "0.txt: is not UTF-8 from byte 3 on"),
        ("empty", "vocab.txt", "seed=1", "NAME.jpg (.png, .webp) beside NAME.txt"),
        ("data", "vocab.txt", "mask.text_ratio=1.0", "mask.text_ratio is 1; it must be in (0, 1)"),
        ("data", "vocab.txt", "data.drop_text=0.9", "they must be at most 1"),
        ("data", "vocab.txt", "model.patch_size=3", "not a multiple of the patch size 3"),
    ] {
        let own = [("data.root", data), ("data.vocabulary", vocabulary)];
        let own = own.map(|(key, name)| format!("{key}={}", path(name).display()));
        let all = PAIRS.iter().map(|&text| text.to_owned()).chain(own).chain([set.to_owned()]);
        let output = run("m3ae-stamps", all, &path("out")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(problem), "{set}: {said}");
        assert!(!path("out").exists(), "{set} left a folder");
    }
}

#[test]
fn a_held_out_picture_that_cannot_be_decoded_is_left_out_with_its_caption() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    write_pairs(&path("data"), &path("vocab.txt"));
    let options = PairOptions { holdout: 0.2, ..PairOptions::default() };
    let splits = open_pairs(PairName::Pairs, &path("data"), place.path(), &options).unwrap();
    let held_out = splits.test.images;
    assert!(held_out.len() > 2, "{}", held_out.len());
    fs::write(held_out.describe(1), "no picture").unwrap();
    let own = [("data.root", path("data")), ("data.vocabulary", path("vocab.txt"))];
    let own = own.map(|(key, path)| format!("{key}={}", path.display()));
    let set = PAIRS.iter().map(|&text| text.to_owned()).chain(own);
    let set = set.chain(["train.epochs=2".to_owned()]);
    finish(start(&mut run("m3ae-stamps", set, &path("run"))));
    let summary = Summary::read(&path("run").join("summary.json")).unwrap();
    let measured = format!("word pieces of {} test captions", held_out.len() - 1);
    assert!(summary.protocols.iter().any(|line| line.contains(&measured)), "{summary:?}");
    let report = fs::read_to_string(path("run/report.html")).unwrap();
    assert!(report.contains("predicted with the image"), "no section Words");
}

#[test]
fn a_killed_run_of_pairs_ends_as_a_whole_one() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    write_pairs(&path("data"), &path("vocab.txt"));
    let begin = |out: &str, resume: bool| {
        let own = [("data.root", path("data")), ("data.vocabulary", path("vocab.txt"))];
        let own = own.map(|(key, path)| format!("{key}={}", path.display()));
        let set = PAIRS.iter().map(|&text| text.to_owned()).chain(own);
        let mut command = run("m3ae-stamps", set, &path(out));
        start(if resume { command.arg("--resume") } else { &mut command })
    };
    finish(begin("whole", false));
    kill_after(begin("killed", false), &path("killed/checkpoints/step-40/state.json"));
    assert!(!path("killed/summary.json").exists(), "killed too late to tell anything");
    finish(begin("killed", true));
    let files = ["model", "training", "optimizer"]
        .map(|name| format!("checkpoints/last/{name}.safetensors"));
    same_files(&path("whole"), &path("killed"), &files.each_ref().map(String::as_str));
    let [one, other] =
        ["whole", "killed"].map(|run| Summary::read(&path(run).join("summary.json")).unwrap());
    assert_eq!((&one.eval, &one.baseline), (&other.eval, &other.baseline));
    for name in [
        "word_top1_with_image",
        "word_top1_without_image",
        "category_knn_top1",
        "word_top1_other_image",
        "word_top1_whole_image",
        "text_category_knn_top1",
        "pair_category_knn_top1",
        "image_to_text_recall_1",
        "text_to_image_recall_10",
    ] {
        assert!(one.eval.contains_key(name), "no {name}: {:?}", one.eval);
    }
    for name in ["random_init.word_top1_with_image", "random_init.category_knn_top1"] {
        assert!(one.baseline.contains_key(name), "no {name}: {:?}", one.baseline);
    }
    assert!(one.train.final_loss < one.train.first_loss, "{:?}", one.train);
    let last = MetricsLog::read(&path("killed/metrics.jsonl")).unwrap().pop().unwrap();
    let named: Vec<&str> = last.parts.keys().map(String::as_str).collect();
    assert_eq!(named, ["pixels", "words"]);
    assert!(path("killed/pictures/reconstructions.png").is_file());
    let report = fs::read_to_string(path("killed/report.html")).unwrap();
    assert!(report.contains("predicted with the image"), "no section Words");
}
