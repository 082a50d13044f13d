//! COCO folders written by the tests, and masks compared with pycocotools.

use std::fs;

use image::ImageFormat;
use serde_json::{Value, json};

use super::segmentation::Segmentation;
use super::*;
use crate::dense::check_dense_splits;
use crate::image::tests::{encode, gradient};
use crate::regular::tests::make_pipe;

/// Two images of 8 × 10 and 6 × 6 pixels, the second without objects.
fn document() -> Value {
    json!({
        "images": [
            {"id": 9, "file_name": "b.png", "height": 6, "width": 6},
            {"id": 2, "file_name": "a.png", "height": 8, "width": 10, "license": 3},
        ],
        "categories": [{"id": 44, "name": "cup"}, {"id": 7, "name": "train"}],
        "annotations": [
            {"id": 1, "image_id": 2, "category_id": 44, "bbox": [1, 1, 3, 2], "area": 5.5,
             "iscrowd": 0, "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]]},
            {"id": 2, "image_id": 2, "category_id": 7, "bbox": [0, 0, 10, 8], "iscrowd": 1,
             "segmentation": {"counts": [8, 4, 68], "size": [8, 10]}},
            {"id": 3, "image_id": 2, "category_id": 7, "bbox": [2.5, 1, 4, 2]},
        ],
    })
}

fn folder(document: &Value) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for part in ["annotations", "val2017"] {
        fs::create_dir(root.path().join(part)).unwrap();
    }
    fs::write(root.path().join("annotations/instances_val2017.json"), document.to_string())
        .unwrap();
    for (name, height, width) in [("a.png", 8, 10), ("b.png", 6, 6)] {
        let picture = encode(&gradient(height, width, 0), ImageFormat::Png);
        fs::write(root.path().join("val2017").join(name), picture).unwrap();
    }
    root
}

#[test]
fn images_have_their_objects_with_boxes_and_masks() {
    let root = folder(&document());
    let source = Coco::open(Split::Test, root.path()).unwrap();
    assert_eq!((source.len(), source.object_classes()), (2, &["train".into(), "cup".into()][..]));
    assert!(source.describe(0).ends_with("val2017/a.png"));
    let sample = source.sample(0).unwrap();
    assert_eq!((sample.image.height(), sample.image.width()), (8, 10));
    let [cup, crowd, plain] = &sample.objects[..] else { panic!("{:?}", sample.objects) };
    let mask = cup.mask.as_ref().unwrap();
    assert_eq!((cup.class, cup.area, cup.crowd), (1, 5.5, false));
    assert_eq!((mask.area(), mask.bounds()), (6, Some([1.0, 1.0, 3.0, 2.0])));
    assert_eq!((crowd.class, crowd.area, crowd.crowd), (0, 4.0, true));
    assert_eq!((plain.bbox, plain.area, &plain.mask), ([2.5, 1.0, 4.0, 2.0], 8.0, &None));
    assert!(source.sample(1).unwrap().objects.is_empty());
}

#[test]
fn what_is_missing_is_named() {
    let root = folder(&document());
    let error = |split| Coco::open(split, root.path()).unwrap_err().to_string();
    assert!(error(Split::Train).contains("instances_train"), "{}", error(Split::Train));
    let at = |path: &str| root.path().join(path);
    fs::copy(at("annotations/instances_val2017.json"), at("annotations/instances_val2014.json"))
        .unwrap();
    assert!(error(Split::Test).contains("keep one"), "{}", error(Split::Test));
    fs::remove_file(at("annotations/instances_val2014.json")).unwrap();
    fs::remove_file(at("val2017/b.png")).unwrap();
    let source = Coco::open(Split::Test, root.path()).unwrap();
    assert!(source.sample(1).unwrap_err().to_string().contains("b.png"));
    fs::remove_dir_all(at("val2017")).unwrap();
    assert!(error(Split::Test).contains("images/val2017"), "{}", error(Split::Test));
}

#[test]
fn hostile_annotations_are_refused_by_number() {
    let table: [(&str, Value, &str); 15] = [
        ("/images/0/file_name", json!("../b.png"), "../b.png"),
        ("/images/0/file_name", json!("/etc/passwd"), "/etc/passwd"),
        ("/images/0/file_name", json!(""), "image 9"),
        ("/images/0/height", json!(0), "0 × 6"),
        ("/images/0/height", json!(1_u64 << 40), "image 9 claims"),
        ("/images/0/height", json!(-1), "-1"),
        ("/images/0/id", json!(2), "two images"),
        ("/images", json!([]), "no images"),
        ("/categories/0/id", json!(7), "two categories"),
        ("/annotations/0/category_id", json!(1), "category 1"),
        ("/annotations/0/image_id", json!(3), "image 3"),
        ("/annotations/0/bbox", json!([0, 0, -1, 1]), "annotation 1 has the box"),
        ("/annotations/0/bbox", json!([0, 0, 1]), "length 3"),
        ("/annotations/0/iscrowd", json!(2), "annotations[0].iscrowd: invalid value: integer `2`"),
        // One polygon without the list around it.
        (
            "/annotations/0/segmentation",
            json!([1, 1, 4, 1, 4, 3]),
            "annotations[0].segmentation: must be polygons, [[x, y, x, y, ...], ...], or runs",
        ),
    ];
    for (pointer, value, word) in table {
        let mut document = document();
        *document.pointer_mut(pointer).unwrap() = value;
        let root = folder(&document);
        let error = Coco::open(Split::Test, root.path()).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains("instances_val2017"), "{pointer}: {error}");
    }
    for text in ["", "[]", "{\"images\": 3}", "not json"] {
        let root = folder(&document());
        fs::write(root.path().join("annotations/instances_val2017.json"), text).unwrap();
        assert!(Coco::open(Split::Test, root.path()).is_err(), "{text}");
    }
}

#[test]
fn masks_and_sizes_that_do_not_fit_are_told_when_the_image_is_read() {
    for (pointer, value, word) in [
        ("/annotations/0/segmentation", json!([[1, 1, 4]]), "annotation 1: a polygon has 3"),
        (
            "/annotations/1/segmentation/size",
            json!([10, 8]),
            "annotation 2: the RLE mask has size [10, 8]",
        ),
        (
            "/images/1/width",
            json!(11),
            "image 2 is listed with 8 × 11 pixels, but its file has 8 × 10",
        ),
    ] {
        let mut document = document();
        *document.pointer_mut(pointer).unwrap() = value;
        let root = folder(&document);
        let source = Coco::open(Split::Test, root.path()).unwrap();
        let error = source.sample(0).unwrap_err().to_string();
        assert!(error.contains(word), "{pointer}: {error}");
    }
}

/// The fixture is written by `fixtures/coco_masks.py`.
#[test]
fn masks_equal_pycocotools() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/coco_masks.json");
    let fixture: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for case in fixture["cases"].as_array().unwrap() {
        let side = |name: &str| case[name].as_u64().unwrap() as usize;
        let (height, width) = (side("height"), side("width"));
        let runs = json!({"counts": case["runs"], "size": [height, width]});
        let mask = |value: Value| {
            let parsed: Segmentation = serde_json::from_value(value).unwrap();
            parsed.mask(height, width).unwrap().unwrap()
        };
        let (filled, unrolled) = (mask(case["polygons"].clone()), mask(runs));
        assert_eq!(unrolled.area(), side("area"));
        if let Some(bounds) = unrolled.bounds() {
            assert_eq!(json!(bounds), case["bbox"]);
        }
        assert_eq!(filled, unrolled, "{}", case["polygons"]);
    }
}

/// Adds a training split to a folder whose other split has `document`.
fn with_training(document: &Value, training: &Value) -> tempfile::TempDir {
    let root = folder(document);
    let at = |path: &str| root.path().join(path);
    fs::rename(at("val2017"), at("images")).unwrap();
    fs::write(at("annotations/instances_train2017.json"), training.to_string()).unwrap();
    root
}

#[test]
fn splits_have_the_training_categories_however_the_other_file_numbers_them() {
    let classes = |test: &Value| {
        let root = with_training(test, &document());
        let [train, test] = Coco::open_splits(root.path(), u64::MAX).map_err(|e| e.to_string())?;
        assert_eq!(train.object_classes(), ["train", "cup"]);
        assert_eq!(test.object_classes(), train.object_classes());
        check_dense_splits(&train, &test).unwrap();
        let objects = test.sample(0).unwrap().objects;
        Ok::<_, String>(objects.iter().map(|object| object.class).collect::<Vec<_>>())
    };
    assert_eq!(classes(&document()).unwrap(), [1, 0, 0]);
    // The same categories under each other's numbers, in another order.
    let mut swapped = document();
    swapped["categories"] = json!([{"id": 7, "name": "cup"}, {"id": 44, "name": "train"}]);
    assert_eq!(classes(&swapped).unwrap(), [0, 1, 1]);
    // Additional categories, which nothing uses.
    let mut more = document();
    let list = more["categories"].as_array_mut().unwrap();
    list.insert(0, json!({"id": 1, "name": "emu"}));
    assert_eq!(classes(&more).unwrap(), [1, 0, 0]);
    more["annotations"][0]["category_id"] = json!(1);
    let error = classes(&more).unwrap_err();
    assert!(error.contains("instances_val2017") && error.contains("`emu`"), "{error}");
    // Fewer than in the training file.
    let mut fewer = document();
    fewer["categories"] = json!([{"id": 44, "name": "cup"}]);
    fewer["annotations"].as_array_mut().unwrap().truncate(1);
    assert_eq!(classes(&fewer).unwrap(), [1]);
    let alone = Coco::open(Split::Test, folder(&fewer).path()).unwrap();
    let root = with_training(&fewer, &document());
    let [train, _] = Coco::open_splits(root.path(), u64::MAX).unwrap();
    let error = check_dense_splits(&train, &alone).unwrap_err().to_string();
    assert!(error.contains("1 classes") && error.contains("2 classes"), "{error}");
}

#[test]
fn boxes_without_masks_numbers_or_extent_are_read() {
    for (key, value) in [("segmentation", json!([])), ("segmentation", Value::Null)] {
        let mut document = document();
        document["annotations"][0][key] = value;
        let root = folder(&document);
        let objects = Coco::open(Split::Test, root.path()).unwrap().sample(0).unwrap().objects;
        assert_eq!((objects.len(), &objects[0].mask), (3, &None));
    }
    let mut document = document();
    document["annotations"][0].as_object_mut().unwrap().remove("id");
    document["annotations"][2]["bbox"] = json!([8, 8, 0, 32]);
    let root = folder(&document);
    let objects = Coco::open(Split::Test, root.path()).unwrap().sample(0).unwrap().objects;
    assert_eq!(objects.len(), 2, "a box of no width is no object");
}

#[test]
fn boxes_outside_of_their_image_are_refused_and_overhang_is_counted() {
    let opened = |boxes: [Value; 3]| {
        let mut document = document();
        for (annotation, bbox) in boxes.into_iter().enumerate() {
            document["annotations"][annotation]["bbox"] = bbox;
        }
        let document = serde_json::from_value(document).unwrap();
        index(document).map(|(_, _, notes)| notes.join("; "))
    };
    // Image 2 has 8 × 10 pixels; sides are often rounded up.
    assert_eq!(
        opened([json!([1, 1, 9, 7]), json!([0, 0, 11, 9]), json!([2, 1, 4, 2])]),
        Ok(String::new())
    );
    let notes = opened([json!([6, 4, 9, 7]), json!([0, 0, 10, 8]), json!([2, 1, 4, 2])]).unwrap();
    assert!(notes.contains("1 of 3 boxes") && notes.contains("annotation 1 [6, 4, 9, 7]"));
    let corners = opened([json!([6, 4, 9, 7]), json!([5, 5, 8, 8]), json!([2, 1, 4, 2])]);
    assert!(corners.unwrap_err().contains("not [x1, y1, x2, y2]"));
    let outside = opened([json!([1, 1, 3, 2]), json!([100, 0, 5, 5]), json!([2, 1, 4, 2])]);
    let outside = outside.unwrap_err();
    assert!(outside.contains("annotation 2 [100, 0, 5, 5] on 8 × 10 pixels lies outside"));
}

#[test]
fn pictures_that_are_pipes_or_too_large_are_errors() {
    let root = with_training(&document(), &document());
    let [train, _] = Coco::open_splits(root.path(), 79).unwrap();
    assert!(train.sample(0).unwrap_err().to_string().contains("max_pixels"));
    fs::remove_file(root.path().join("images/a.png")).unwrap();
    make_pipe(&root.path().join("images/a.png"));
    assert!(train.sample(0).unwrap_err().to_string().contains("pipe"));
}
