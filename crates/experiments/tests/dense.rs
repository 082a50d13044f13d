//! `segment` and `detect` on model folders of every kind, on composed scenes of tiny data.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod digits;

use std::fs;
use std::path::Path;

use bauta_experiments::dense::{DenseArguments, DenseData, HeadName, detect, segment};
use serde_json::Value;
use tempfile::TempDir;

/// Digits and photos in their own layouts: `mnist` and `cifar10`.
fn data() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let [mnist, cifar] = ["mnist", "cifar10"].map(|name| folder.path().join(name));
    fs::create_dir(&mnist).unwrap();
    fs::create_dir(&cifar).unwrap();
    digits::write_digits(&mnist);
    let photos: Vec<u8> = (0..20 * 3073_u32).map(|i| (i * 31 % 251) as u8 % 10).collect();
    for number in 1..=5 {
        fs::write(cifar.join(format!("data_batch_{number}.bin")), &photos).unwrap();
    }
    fs::write(cifar.join("test_batch.bin"), &photos).unwrap();
    folder
}

fn arguments(model: &str, root: &Path, set: &[&str]) -> DenseArguments {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(model);
    let few = ["data.limit=8", "data.test_limit=4", "train.batch_size=4", "train.steps=5"];
    let set =
        few.iter().chain(set).chain(&["train.base_lr=0.5", "train.threads=1", "head.width=8"]);
    DenseArguments {
        model,
        data: DenseData::ComposedDigits,
        root: Some(root.into()),
        frozen: false,
        random_init: false,
        set: set.map(|&text| text.to_owned()).collect(),
        out: Some(root.join("out")),
        resume: false,
    }
}

fn report(arguments: &DenseArguments, task: &str) -> Value {
    let file = arguments.out.as_ref().unwrap().join(format!("{task}.json"));
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

#[test]
fn folders_of_every_kind_are_segmented_with() {
    let data = data();
    let models =
        [("mae-normalized", 64), ("beit-masked", 60), ("beit-classifier", 60), ("clip-vision", 60)];
    for (model, size) in models {
        let size = format!("data.image_size={size}");
        let whole = arguments(model, data.path(), &[&size]);
        segment(&whole, HeadName::Linear, &false.into()).unwrap();
        let tuned = report(&whole, "segment");
        assert_eq!(tuned["encoder"], "fine-tuned", "{model}");
        let frozen = DenseArguments { frozen: true, ..whole.clone() };
        segment(&frozen, HeadName::Linear, &false.into()).unwrap();
        let loss = |report: &Value| report["train"]["final_loss"].as_f64().unwrap();
        let frozen = loss(&report(&frozen, "segment"));
        assert!(frozen.is_finite() && frozen != loss(&tuned), "{model} {frozen}");
    }
}

#[test]
fn a_beit_detects_from_its_weights_and_from_random_ones() {
    let data = data();
    let trained = arguments("beit-masked", data.path(), &["data.image_size=60"]);
    let random = DenseArguments { random_init: true, ..trained.clone() };
    let losses = [trained, random].map(|arguments| {
        detect(&arguments, &false.into()).unwrap();
        report(&arguments, "detect")["train"]["final_loss"].as_f64().unwrap()
    });
    assert_ne!(losses[0], losses[1]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let data = data();
    let refuse = |model: &str, set: &str| {
        let refused =
            segment(&arguments(model, data.path(), &[set]), HeadName::Upernet, &false.into());
        format!("{:#}", refused.unwrap_err())
    };
    assert!(refuse("beit-masked", "data.image_size=60").contains("the model has 2 blocks"));
    assert!(refuse("beit-masked", "data.image_size=64").contains("patch size 5"));
    assert!(refuse("beit-encoder", "data.image_size=60").contains("takes 1 channels"));
}
