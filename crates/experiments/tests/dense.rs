//! `segment` and `detect` on model folders of every kind, on composed scenes of tiny data.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod digits;

use std::fs;
use std::path::Path;

use bauta_experiments::dense::{DenseArguments, DenseData, HeadName, detect, segment};
use serde_json::{Value, json};
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
    let out = Some(root.join(format!("{model}-out")));
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
        out,
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
        let out = Some(data.path().join(format!("{model}-frozen")));
        let frozen = DenseArguments { frozen: true, out, ..whole.clone() };
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
    let out = Some(data.path().join("random"));
    let random = DenseArguments { random_init: true, out, ..trained.clone() };
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
        let arguments = arguments(model, data.path(), &[set]);
        let refused = segment(&arguments, HeadName::Upernet, &false.into());
        assert!(!arguments.out.unwrap().exists(), "a refused run leaves no folder");
        format!("{:#}", refused.unwrap_err())
    };
    assert!(refuse("beit-masked", "data.image_size=60").contains("the model has 2"));
    assert!(refuse("beit-masked", "data.image_size=64").contains("patch size 5"));
    assert!(refuse("beit-encoder", "data.image_size=60").contains("but the model takes 1"));
    let few = arguments("clip-vision", data.path(), &["data.image_size=60", "train.batch_size=9"]);
    let error = segment(&few, HeadName::Linear, &false.into()).unwrap_err().to_string();
    assert!(error.contains("batch_size") && !few.out.unwrap().exists(), "{error}");
}

#[test]
fn a_result_is_not_written_over() {
    let data = data();
    let first = arguments("clip-vision", data.path(), &["data.image_size=60"]);
    segment(&first, HeadName::Linear, &false.into()).unwrap();
    let out = first.out.clone().unwrap();
    let read = || fs::read(out.join("segment.json")).unwrap();
    let kept = read();
    let again = segment(&first, HeadName::Linear, &false.into()).unwrap_err().to_string();
    assert!(again.contains("clip-vision-out already holds a result"), "{again}");
    // Another task would overwrite its checkpoints.
    let other = detect(&first, &false.into()).unwrap_err().to_string();
    assert!(other.contains("already holds a result"), "{other}");
    assert_eq!(read(), kept);
    fs::remove_dir_all(out.join("checkpoints")).unwrap();
    assert!(segment(&first, HeadName::Linear, &false.into()).is_err());
}

/// A folder in COCO's layout: two photos with one box each in either split.
fn coco() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let image =
        |id: u64| json!({"id": id, "file_name": format!("{id}.png"), "height": 60, "width": 60});
    let annotation = |id: u64| json!({"image_id": id, "category_id": 1, "bbox": [9, 9, 30, 30]});
    let document = json!({
        "images": [image(1), image(2)],
        "categories": [{"id": 1, "name": "cup"}],
        "annotations": [annotation(1), annotation(2)],
    });
    fs::create_dir(root.path().join("annotations")).unwrap();
    let pixels = image::RgbImage::from_fn(60, 60, |x, y| {
        image::Rgb([x as u8 * 4, y as u8 * 3, (x * y % 251) as u8])
    });
    for split in ["train", "val"] {
        let file = root.path().join(format!("annotations/instances_{split}.json"));
        fs::write(file, document.to_string()).unwrap();
        fs::create_dir(root.path().join(split)).unwrap();
        for id in [1, 2] {
            pixels.save(root.path().join(format!("{split}/{id}.png"))).unwrap();
        }
    }
    root
}

/// Cuts a file in half, after its header.
fn cut_off(path: &Path) {
    let whole = fs::read(path).unwrap();
    fs::write(path, &whole[..whole.len() / 2]).unwrap();
}

#[test]
fn a_damaged_picture_is_counted_in_measuring_or_ends_it_after_a_checkpoint() {
    let root = coco();
    let few = ["data.image_size=60", "train.batch_size=1", "train.steps=2"];
    let skip =
        DenseArguments { data: DenseData::Coco, ..arguments("clip-vision", root.path(), &few) };
    cut_off(&root.path().join("val/2.png"));
    detect(&skip, &false.into()).unwrap();
    let report = report(&skip, "detect");
    assert_eq!(report["test"]["skipped_samples"], 1, "{report}");
    assert_eq!(report["train"]["skipped_samples"], 0, "{report}");

    let few = [&few[..], &["data.on_error=stop"]].concat();
    let out = root.path().join("stopped");
    let stop = DenseArguments {
        data: DenseData::Coco,
        out: Some(out.clone()),
        ..arguments("clip-vision", root.path(), &few)
    };
    let error = format!("{:#}", detect(&stop, &false.into()).unwrap_err());
    assert!(error.contains("val/2.png"), "{error}");
    // The training is not lost: once the picture is repaired, it is measured.
    fs::copy(root.path().join("val/1.png"), root.path().join("val/2.png")).unwrap();
    let resumed = DenseArguments { resume: true, ..stop };
    detect(&resumed, &false.into()).unwrap();
    assert_eq!(self::report(&resumed, "detect")["test"]["skipped_samples"], 0);
}

#[test]
fn no_test_picture_that_can_be_decoded_is_an_error() {
    let root = coco();
    let few = ["data.image_size=60", "train.batch_size=1", "train.steps=1"];
    let arguments =
        DenseArguments { data: DenseData::Coco, ..arguments("clip-vision", root.path(), &few) };
    for id in [1, 2] {
        cut_off(&root.path().join(format!("val/{id}.png")));
    }
    let error = format!("{:#}", detect(&arguments, &false.into()).unwrap_err());
    assert!(error.contains("none of the 2 test images can be decoded"), "{error}");
}

#[test]
fn a_split_that_cannot_measure_leaves_no_folder() {
    let root = coco();
    let file = root.path().join("annotations/instances_val.json");
    let text = fs::read_to_string(&file).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    document["annotations"] = json!([]);
    fs::write(&file, document.to_string()).unwrap();
    let arguments = DenseArguments {
        data: DenseData::Coco,
        ..arguments("clip-vision", root.path(), &["data.image_size=60"])
    };
    let error = format!("{:#}", detect(&arguments, &false.into()).unwrap_err());
    assert!(error.contains("instances_val.json holds no box"), "{error}");
    assert!(!arguments.out.unwrap().exists());
}
