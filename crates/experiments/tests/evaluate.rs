//! `evaluate` on small model folders and data: numbers, and clear refusals.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

use bauta_data::DatasetName;
use bauta_experiments::evaluate::{Arguments, evaluate};
use bauta_recipe::{NamedData, Pooling, Protocol};
use clap::Parser;
use strum::VariantArray;
use tempfile::TempDir;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

/// Arguments as a user types them; the model is a fixture.
fn arguments(model: &str, root: &Path, rest: &[&str]) -> Arguments {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(model);
    let given = ["evaluate", "--data", "cifar10", "--threads", "1", "--model"].map(PathBuf::from);
    let given = given.into_iter().chain([model, "--root".into(), root.into()]);
    Line::parse_from(given.chain(rest.iter().map(PathBuf::from))).arguments
}

/// CIFAR-10's layout: five batches of `train` images and one of `test`, of the classes
/// 0..`classes`; the class determines which three rows are bright.
fn data(train: u32, test: u32, classes: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let batch = |images: u32, first: u32| -> Vec<u8> {
        (first..first + images)
            .flat_map(|image| {
                let class = (image % classes) as u8;
                let pixel = move |i: u32| {
                    let bright = i % 1024 / 32 / 3 == u32::from(class);
                    u8::from(bright) * 150 + (i.wrapping_mul(image + 7) % 13) as u8
                };
                [class].into_iter().chain((0..3072).map(pixel))
            })
            .collect()
    };
    for number in 0..5 {
        let file = format!("data_batch_{}.bin", number + 1);
        fs::write(folder.path().join(file), batch(train, number * train)).unwrap();
    }
    fs::write(folder.path().join("test_batch.bin"), batch(test, 1_000_000)).unwrap();
    folder
}

fn refusal(arguments: &Arguments) -> String {
    let refused = evaluate(arguments, &AtomicBool::new(false));
    format!("{:#}", refused.map(|found| found.to_string()).unwrap_err())
}

fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "\"{word}\" is not in: {text}");
    }
}

#[test]
fn every_protocol_measures_a_hugging_face_folder_and_its_baselines() {
    let data = data(60, 50, 10);
    let json = data.path().join("found.json");
    let arguments = arguments(
        "mae-normalized",
        data.path(),
        &[
            "--protocol=knn,linear,few-shot,semi",
            "--baselines",
            "--features=cls",
            "--seed=3",
            "--set=eval.linear.epochs=3",
            "--set=eval.semi.percents=[10]",
            "--set=eval.few_shot.shots=[2]",
        ],
    );
    assert_eq!(
        (arguments.data, arguments.features),
        (NamedData::Images(DatasetName::Cifar10), Some(Pooling::Cls))
    );
    assert_eq!(arguments.protocol, Protocol::VARIANTS);
    let found = evaluate(&arguments, &AtomicBool::new(false)).unwrap();
    let names: Vec<_> = found.values().filter(|&(of, ..)| of == "model").map(|v| v.1).collect();
    assert_eq!(
        names,
        [
            "knn_top1",
            "linear_top1",
            "linear_top5",
            "few_shot_2_top1",
            "few_shot_2_top1_std",
            "linear_10pct_top1",
            "linear_10pct_top5"
        ]
    );
    for of in ["raw_pixels", "random_init"] {
        assert_eq!(found.values().filter(|found| found.0 == of).count(), names.len());
    }
    for (of, metric, value) in found.values() {
        assert!((0.0..=1.0).contains(&value), "{of} {metric} {value}");
    }
    let rows = found.values().find(|v| v.0 == "raw_pixels" && v.1 == "knn_top1").unwrap();
    assert_eq!(rows.2, 1.0);

    found.write(&json).unwrap();
    let read: serde_json::Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    assert_eq!(read["normalization"], "the data set's statistics");
    let few_shot = &read["results"][3];
    assert_eq!(few_shot["training_images"], 20);
    assert_eq!((&few_shot["test_images"], &few_shot["seed"]), (&50.into(), &3.into()));
    assert_eq!(
        (&few_shot["split"], &few_shot["features"]),
        (&"test".into(), &"class token".into())
    );

    let again = evaluate(&arguments, &AtomicBool::new(false)).unwrap();
    assert_eq!(again.values().collect::<Vec<_>>(), found.values().collect::<Vec<_>>());
}

#[test]
fn a_limit_among_the_settings_is_the_limit() {
    let data = data(20, 20, 10);
    let training_images = |rest: &[&str]| {
        let rest = [&["--protocol=knn", "--set=eval.limit=40"][..], rest].concat();
        let found = evaluate(&arguments("mae-normalized", data.path(), &rest), &false.into());
        let json = data.path().join("found.json");
        found.unwrap().write(&json).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
        read["results"][0]["training_images"].clone()
    };
    assert_eq!(training_images(&[]), 40);
    assert_eq!(training_images(&["--limit=30"]), 30);
}

/// As in `bauta evaluate … | head -0`.
#[test]
fn results_are_kept_although_nobody_reads_what_is_printed() {
    let data = data(20, 20, 10);
    let json = data.path().join("found.json");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mae-normalized");
    let mut command = Command::new(env!("CARGO_BIN_EXE_bauta"));
    command.args(["evaluate", "--data=cifar10", "--threads=1", "--device=cpu", "--protocol=knn"]);
    command.args(["--set", "eval.baselines=true", "--set", "eval.knn.k=5"]);
    command.arg("--model").arg(model).arg("--root").arg(data.path()).arg("--json").arg(&json);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(json.is_file(), "{said}");
    assert_says(&said, &["--set eval.baselines=true changes nothing: --baselines measures them"]);
    assert!(!said.contains("eval.knn"), "{said}");
}

#[test]
fn images_of_another_size_get_interpolated_positions_and_say_so() {
    let data = data(20, 20, 10);
    let rest = ["--protocol=knn", "--image-size", "16", "24"];
    let found = evaluate(&arguments("mae-normalized", data.path(), &rest), &false.into()).unwrap();
    assert_says(&found.to_string(), &["16 × 24 (positions interpolated from 32 × 32)"]);
    let rest = ["--image-size", "16", "20"];
    assert_says(
        &refusal(&arguments("mae-normalized", data.path(), &rest)),
        &["images of 16 × 20; choose another image_size", "patch size 8"],
    );
}

#[test]
fn folders_of_beit_and_clip_are_measured_too() {
    let data = data(20, 20, 10);
    for (model, side) in
        [("beit-masked", 20), ("beit-classifier", 12), ("clip-vision", 12), ("clip-both", 12)]
    {
        // Twice the model's own size.
        let size = (2 * side).to_string();
        let rest = ["--protocol=knn", "--baselines", "--image-size", &size, &size];
        let found = evaluate(&arguments(model, data.path(), &rest), &false.into()).unwrap();
        let interpolated = format!("(positions interpolated from {side} × {side})");
        assert_says(&found.to_string(), &[&interpolated]);
        let whose: Vec<&str> = found.values().map(|(of, ..)| of).collect();
        assert_eq!(whose, ["model", "raw_pixels", "random_init"], "{model}");
    }
}

#[test]
fn the_folder_says_how_pixels_are_normalised() {
    let data = data(20, 20, 10);
    let model = tempfile::tempdir().unwrap();
    let mut arguments = arguments("mae-normalized", data.path(), &["--protocol=knn"]);
    for file in ["config.json", "model.safetensors"] {
        fs::copy(arguments.model.join(file), model.path().join(file)).unwrap();
    }
    arguments.model = model.path().into();
    let said = model.path().join("preprocessor_config.json");
    fs::write(&said, r#"{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#).unwrap();
    let found = evaluate(&arguments, &false.into()).unwrap();
    assert_says(&found.to_string(), &["pixels normalised by the model's preprocessor_config.json"]);
    fs::write(&said, r#"{"image_mean": [0.5], "image_std": [0.5]}"#).unwrap();
    assert_says(&refusal(&arguments), &["preprocessor_config.json", "1 channels", "have 3"]);
    fs::write(&said, "{}").unwrap();
    assert_says(&refusal(&arguments), &["preprocessor_config.json", "image_mean"]);
    fs::remove_file(model.path().join("model.safetensors")).unwrap();
    assert_says(&refusal(&arguments), &["this one has none"]);
}

#[test]
fn data_that_do_not_suit_a_protocol_are_refused_before_anything_is_encoded() {
    let few = data(4, 20, 10);
    let refuse = |root: &Path, rest: &[&str]| refusal(&arguments("mae-normalized", root, rest));
    assert_says(
        &refuse(few.path(), &["--protocol=knn", "--set=eval.knn.k=21"]),
        &["protocol knn", "k is 21", "only 20 training features"],
    );
    assert_says(
        &refuse(few.path(), &["--protocol=few-shot"]),
        &["protocol few-shot, class airplane", "2 training samples, 5 are needed"],
    );
    assert_says(
        &refuse(few.path(), &["--limit=8"]),
        &["training images of cifar10 lack 2 of 10 classes: ship, truck", "limit of 8"],
    );
    assert_says(
        &refuse(few.path(), &["--limit-test=9"]),
        &["test images of cifar10 lack 1 of 10 classes: truck"],
    );
    assert_says(
        &refuse(data(4, 20, 9).path(), &[]),
        &["lack 1 of 10 classes: truck", "leave the classes out"],
    );
    assert_says(
        &refusal(&arguments("mae-raw-grey", few.path(), &[])),
        &["images of cifar10 have 3 channels", "mae-raw-grey expects 1"],
    );
}

#[test]
fn unlabelled_images_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for split in ["train", "val"] {
        fs::create_dir(folder.path().join(split)).unwrap();
        image::GrayImage::new(8, 8).save(folder.path().join(split).join("a.png")).unwrap();
    }
    let mut arguments = arguments("mae-normalized", folder.path(), &[]);
    arguments.data = NamedData::Images(DatasetName::Folder);
    assert_says(
        &refusal(&arguments),
        &["training images of folder have no labels", "subfolder per class"],
    );
}

#[test]
fn unknown_names_list_the_known_ones() {
    let parse = |rest: &[&str]| {
        let line = ["evaluate", "--model=m"].iter().chain(rest);
        Line::try_parse_from(line).map(|_| ()).unwrap_err().to_string()
    };
    assert_says(
        &parse(&["--data=cifar10", "--protocol=knn,liner"]),
        &["no protocol named liner; did you mean linear? Known: knn, linear, few-shot, semi"],
    );
    assert_says(&parse(&["--data=cifar"]), &["no data set named cifar; did you mean cifar10?"]);
    assert_says(&parse(&["--data=mnist", "--features=max"]), &["Known: mean, cls"]);
    assert_says(&parse(&["--data=mnist", "--limit=0"]), &["must be at least 1"]);
}

#[test]
fn a_residual_network_is_measured_and_has_no_class_token() {
    let data = data(20, 30, 10);
    let found =
        arguments("resnet-classifier", data.path(), &["--protocol=knn,linear", "--baselines"]);
    let found = evaluate(&found, &AtomicBool::new(false)).unwrap();
    for of in ["model", "random_init", "raw_pixels"] {
        assert_eq!(found.values().filter(|found| found.0 == of).count(), 3);
    }
    assert!(found.to_string().contains("mean over places"), "{found}");
    let refused = refusal(&arguments("resnet-classifier", data.path(), &["--features=cls"]));
    assert_says(&refused, &["a residual network has no class token"]);
}
