//! Errors on opening both splits, in folders written by the tests.

use std::fs;

use ::image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::image::tests::{encode, gradient};

const LIMITS: [usize; 2] = [9, 9];

fn write(root: &TempDir, path: &str, bytes: &[u8]) {
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn photo() -> Vec<u8> {
    encode(&gradient(32, 48, 0), ImageFormat::Jpeg)
}

fn labels(of: impl Fn(u32) -> u8) -> Vec<u8> {
    let image = GrayImage::from_fn(48, 32, |x, _| Luma([of(x)]));
    encode(&DynamicImage::ImageLuma8(image), ImageFormat::Png)
}

/// Two images in each split.
fn ade20k() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for part in ["training", "validation"] {
        for name in ["a", "b"] {
            write(&root, &format!("images/{part}/{name}.jpg"), &photo());
            let classes = labels(|x| (x % 7) as u8);
            write(&root, &format!("annotations/{part}/{name}.png"), &classes);
        }
    }
    root
}

fn open_ade20k(root: &TempDir, on_error: OnError) -> Result<DenseSplits, String> {
    DenseSplits::ade20k(root.path(), LIMITS, on_error).map_err(|error| error.to_string())
}

#[test]
fn annotations_that_are_wrong_in_either_split_are_refused_at_opening() {
    let sixteen = ImageBuffer::from_fn(48, 32, |_, _| Luma([1_u16]));
    let sixteen = encode(&DynamicImage::ImageLuma16(sixteen), ImageFormat::Png);
    for (bytes, word) in [
        (labels(|_| 254), "label 254"),
        (labels(|_| 151), "label 151"),
        (encode(&gradient(32, 48, 0), ImageFormat::Png), "Rgb of 8 bits"),
        (sixteen, "Grayscale of 16 bits"),
        (
            encode(&gradient(48, 32, 0).grayscale(), ImageFormat::Png),
            "the annotation has 48 × 32 pixels",
        ),
    ] {
        for part in ["training", "validation"] {
            let root = ade20k();
            assert!(open_ade20k(&root, OnError::Stop).is_ok());
            write(&root, &format!("annotations/{part}/b.png"), &bytes);
            let error = open_ade20k(&root, OnError::Skip).err().unwrap();
            assert!(error.contains(word) && error.contains(&format!("{part}/b.png")), "{error}");
        }
    }
}

#[test]
fn images_and_annotations_without_each_other_are_refused_alike() {
    for (gone, words) in [
        ("images/validation/b.jpg", ["images/validation", "annotation b.png"]),
        ("annotations/validation/b.png", ["annotations/validation", "b.png"]),
    ] {
        let root = ade20k();
        fs::remove_file(root.path().join(gone)).unwrap();
        let error = open_ade20k(&root, OnError::Skip).err().unwrap();
        assert!(words.iter().all(|word| error.contains(word)), "{gone}: {error}");
    }
}

#[test]
fn damaged_files_stop_the_opening_or_are_left_to_be_skipped() {
    for (path, kept) in [("annotations/validation/b.png", 60), ("images/training/b.jpg", 20)] {
        let root = ade20k();
        let whole = fs::read(root.path().join(path)).unwrap();
        write(&root, path, &whole[..kept]);
        let error = open_ade20k(&root, OnError::Stop).err().unwrap();
        assert!(error.contains(path) && error.contains("cannot be decoded"), "{error}");
        let splits = open_ade20k(&root, OnError::Skip).unwrap();
        let split = if path.contains("training") { splits.train } else { splits.test };
        assert!(matches!(split.sample(1), Err(DataError::Image { .. })));
        // With the other image damaged as well, opening fails.
        let other = path.replace("b.", "a.");
        write(&root, &other, &whole[..kept]);
        let error = open_ade20k(&root, OnError::Skip).err().unwrap();
        assert!(error.contains(&other), "{error}");
    }
}

#[test]
fn splits_without_a_label_are_refused() {
    for part in ["training", "validation"] {
        let root = ade20k();
        write(&root, &format!("annotations/{part}/a.png"), &labels(|x| [0, 255][x as usize % 2]));
        assert!(open_ade20k(&root, OnError::Skip).is_ok(), "the other one has labels");
        let used = DenseSplits::ade20k(root.path(), [1, 1], OnError::Skip).err().unwrap();
        let used = used.to_string();
        assert!(used.contains("no labelled pixel") && used.contains("that are used (1)"), "{used}");
        assert!(used.contains(&format!("annotations/{part}")), "{used}");
    }
}

/// Two images with a box each.
fn document() -> Value {
    let image =
        |id: u64| json!({"id": id, "file_name": format!("{id}.jpg"), "height": 32, "width": 48});
    let annotation = |id: u64| {
        json!({"id": 10 + id, "image_id": id, "category_id": 1, "bbox": [1, 1, 9, 9],
               "segmentation": [[1, 1, 9, 1, 9, 9]]})
    };
    json!({
        "images": [image(1), image(2)],
        "categories": [{"id": 1, "name": "cup"}],
        "annotations": [annotation(1), annotation(2)],
    })
}

/// A folder whose training or test file is `changed`.
fn coco(changed: &Value, split: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for part in ["train", "val"] {
        let text = if part == split { changed.to_string() } else { document().to_string() };
        write(&root, &format!("annotations/instances_{part}.json"), text.as_bytes());
        for id in [1, 2] {
            write(&root, &format!("{part}/{id}.jpg"), &photo());
        }
    }
    root
}

fn open_coco(root: &TempDir, on_error: OnError) -> Result<DenseSplits, String> {
    let open = DenseSplits::coco(root.path(), 1 << 20, LIMITS, on_error);
    open.map_err(|error| error.to_string())
}

#[test]
fn what_annotations_claim_falsely_is_refused_at_opening() {
    let runs = |size: [u32; 2], counts: Value| json!({"size": size, "counts": counts});
    for (pointer, value, words) in [
        (
            "/images/1/width",
            json!(96),
            "image 2 is listed with 32 × 96 pixels, but its file has 32 × 48",
        ),
        (
            "/annotations/1/segmentation",
            runs([9, 9], json!([81])),
            "annotation 12: the RLE mask has size",
        ),
        (
            "/annotations/1/segmentation",
            runs([32, 48], json!("1234")),
            "annotation 12: the RLE mask has",
        ),
        ("/annotations/1/segmentation", json!([[1, 2, 3]]), "annotation 12: a polygon has 3"),
        ("/annotations/1/bbox", json!(["1", 1, 9, 9]), "annotations[1].bbox[0]: invalid type"),
        ("/annotations/1/image_id", json!("2"), "annotations[1].image_id: invalid type"),
        ("/annotations/1/category_id", json!("1"), "annotations[1].category_id: invalid type"),
        ("/annotations/1/iscrowd", json!("0"), "annotations[1].iscrowd: invalid type"),
        ("/images/1/id", json!("2"), "images[1].id: invalid type"),
    ] {
        for split in ["train", "val"] {
            let mut changed = document();
            changed["annotations"][1]["iscrowd"] = json!(0);
            *changed.pointer_mut(pointer).unwrap() = value.clone();
            let error = open_coco(&coco(&changed, split), OnError::Skip).err().unwrap();
            let file = format!("instances_{split}.json");
            assert!(error.contains(words) && error.contains(&file), "{pointer}: {error}");
        }
    }
}

#[test]
fn pictures_that_are_not_there_are_refused_and_damaged_ones_skipped() {
    for split in ["train", "val"] {
        let root = coco(&document(), split);
        let path = format!("{split}/2.jpg");
        write(&root, &path, &photo()[..20]);
        let error = open_coco(&root, OnError::Stop).err().unwrap();
        assert!(error.contains(&path) && error.contains("cannot be decoded"), "{error}");
        assert!(open_coco(&root, OnError::Skip).is_ok());
        fs::remove_file(root.path().join(&path)).unwrap();
        let error = open_coco(&root, OnError::Skip).err().unwrap();
        let file = format!("instances_{split}.json lists it (image 2)");
        assert!(error.contains("holds no 2.jpg") && error.contains(&file), "{error}");
    }
}

#[test]
fn file_names_may_begin_with_the_folder() {
    for folder in ["", "images/"] {
        let mut prefixed = document();
        for image in prefixed["images"].as_array_mut().unwrap() {
            image["file_name"] = json!(format!("val/{}.jpg", image["id"]));
        }
        let root = coco(&prefixed, "val");
        for split in ["train", "val"] {
            let [from, to] = [split, &format!("{folder}{split}")].map(|at| root.path().join(at));
            if from != to {
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::rename(from, to).unwrap();
            }
        }
        let test = open_coco(&root, OnError::Stop).unwrap().test;
        assert!(test.sample(1).is_ok());
        assert!(test.describe(1).ends_with(&format!("{folder}val/2.jpg")), "{}", test.describe(1));
    }
}

#[test]
fn splits_without_a_box_are_refused_and_crowds_are_none() {
    for split in ["train", "val"] {
        for crowds in [json!(true), json!(1)] {
            let mut changed = document();
            changed["annotations"][0]["iscrowd"] = crowds.clone();
            changed["annotations"][1]["iscrowd"] = json!(null);
            assert!(open_coco(&coco(&changed, split), OnError::Stop).is_ok());
            changed["annotations"][1]["iscrowd"] = crowds;
            let error = open_coco(&coco(&changed, split), OnError::Skip).err().unwrap();
            let words = format!("instances_{split}.json holds no box");
            assert!(error.contains(&words), "{error}");
            assert!(error.contains("that are used (2)"), "{error}");
        }
        let mut changed = document();
        changed["annotations"] = json!([]);
        assert!(open_coco(&coco(&changed, split), OnError::Skip).is_err());
    }
}
