//! Metrics of dense tasks, against scikit-learn and pycocotools on the same labels and boxes.
//!
//! The fixtures are written by `fixtures/iou.py` and `fixtures/average_precision.py`.

#![expect(clippy::unwrap_used, reason = "a test's preparations may panic")]

use bauta_eval::dense::{AveragePrecision, ConfusionMatrix, Detection, TruthBox};
use serde_json::Value;
use tch::{Device, Tensor};

fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn numbers(list: &Value) -> Vec<Option<f64>> {
    list.as_array().unwrap().iter().map(Value::as_f64).collect()
}

fn labels(case: &Value, name: &str) -> Tensor {
    let values: Vec<i64> =
        case[name].as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect();
    let shape: Vec<i64> =
        case["shape"].as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect();
    Tensor::from_slice(&values).view(shape.as_slice())
}

fn check(what: &str, found: &[Option<f64>], wanted: &[Option<f64>]) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (place, pair) in found.iter().zip(wanted).enumerate() {
        match pair {
            (None, None) => {}
            (Some(a), Some(b)) if (a - b).abs() < 1e-6 => {}
            (found, wanted) => panic!("{what} {place}: {found:?}, reference {wanted:?}"),
        }
    }
}

#[test]
fn mean_iou_equals_scikit_learns() {
    let fixture = fixture("iou.json");
    for case in fixture["cases"].as_array().unwrap() {
        let classes = case["classes"].as_u64().unwrap() as usize;
        let mut matrix =
            ConfusionMatrix::new(classes, fixture["ignored"].as_i64(), Device::Cpu).unwrap();
        let (truth, predicted) = (labels(case, "truth"), labels(case, "predicted"));
        // Counts add up image by image.
        for image in 0..truth.size()[0] {
            matrix.add(&truth.get(image), &predicted.get(image)).unwrap();
        }
        let counts: Vec<Option<f64>> =
            matrix.counts().concat().into_iter().map(|n| Some(n as f64)).collect();
        let rows = case["matrix"].as_array().unwrap();
        check("count", &counts, &rows.iter().flat_map(numbers).collect::<Vec<_>>());
        check("iou", &matrix.ious(), &numbers(&case["ious"]));
        check("mean", &[matrix.mean_iou()], &[case["mean_iou"].as_f64()]);
        check("accuracy", &[matrix.pixel_accuracy()], &[case["pixel_accuracy"].as_f64()]);
    }
}

/// The rows of an image: the category, from 0, the box, and the remaining columns.
fn rows(case: &Value, name: &str, image: u64) -> Vec<(usize, [f64; 4], Vec<f64>)> {
    let rows = case[name].as_array().unwrap().iter().filter(|row| row[0] == image);
    rows.map(|row| {
        let row: Vec<f64> = numbers(row).into_iter().map(Option::unwrap).collect();
        // Categories are numbered from 1, as in COCO.
        (row[1] as usize - 1, std::array::from_fn(|i| row[2 + i]), row[6..].to_vec())
    })
    .collect()
}

#[test]
fn average_precision_equals_pycocotools() {
    let fixture = fixture("average_precision.json");
    let classes = fixture["classes"].as_u64().unwrap() as usize;
    for case in fixture["cases"].as_array().unwrap() {
        let mut precision = AveragePrecision::new(classes).unwrap();
        for image in 1..=fixture["images"].as_u64().unwrap() {
            let truths = rows(case, "truths", image).into_iter();
            let truths = truths.map(|(class, bbox, rest)| TruthBox {
                class,
                bbox,
                area: rest[0],
                crowd: rest[1] == 1.0,
            });
            let detections = rows(case, "detections", image).into_iter();
            let detections =
                detections.map(|(class, bbox, rest)| Detection { class, bbox, score: rest[0] });
            let (truths, detections): (Vec<_>, Vec<_>) = (truths.collect(), detections.collect());
            precision.add(&truths, &detections).unwrap();
        }
        let scores = precision.scores();
        check("class", &scores.ap_by_class, &numbers(&case["by_class"]));
        let found = [
            scores.ap,
            scores.ap50,
            scores.ap75,
            scores.ap_small,
            scores.ap_medium,
            scores.ap_large,
            scores.ar1,
            scores.ar10,
            scores.ar100,
            scores.ar_small,
            scores.ar_medium,
            scores.ar_large,
        ];
        check("stat", &found, &numbers(&case["stats"]));
    }
}

const TRUTH: TruthBox =
    TruthBox { class: 0, bbox: [10.0, 10.0, 40.0, 40.0], area: 1600.0, crowd: false };
const FOUND: Detection = Detection { class: 0, bbox: TRUTH.bbox, score: 0.5 };

#[test]
fn one_box_found_exactly_is_perfect_and_a_second_time_wrong() {
    let score = |truths: &[TruthBox], found: &[Detection]| {
        let mut precision = AveragePrecision::new(2).unwrap();
        precision.add(truths, found).unwrap();
        precision.scores()
    };
    let perfect = score(&[TRUTH], &[FOUND]);
    assert_eq!((perfect.ap_medium, perfect.ap_small), (perfect.ap, None));
    check("perfect", &[perfect.ap, perfect.ar1], &[Some(1.0), Some(1.0)]);
    assert_eq!(perfect.ap_by_class[1], None, "a class without true boxes");

    // The wrong detection comes first: precision ½ at every recall.
    let first = Detection { score: 0.9, bbox: [100.0, 10.0, 40.0, 40.0], ..FOUND };
    check("half", &[score(&[TRUTH], &[FOUND, first]).ap], &[Some(0.5)]);
    check("nothing", &[score(&[TRUTH], &[]).ap], &[Some(0.0)]);
    assert_eq!(score(&[], &[FOUND]).metrics().iter().count(), 0);
    let crowd = TruthBox { crowd: true, ..TRUTH };
    assert_eq!(score(&[crowd], &[FOUND]).ap, None, "a crowd is not to be found");
}

#[test]
fn impossible_boxes_are_refused() {
    let mut precision = AveragePrecision::new(1).unwrap();
    for found in [
        Detection { class: 1, ..FOUND },
        Detection { score: f64::NAN, ..FOUND },
        Detection { bbox: [0.0, 0.0, -1.0, 2.0], ..FOUND },
        Detection { bbox: [f64::INFINITY, 0.0, 1.0, 2.0], ..FOUND },
    ] {
        assert!(precision.add(&[TRUTH], &[FOUND, found]).is_err(), "{found:?}");
    }
    assert_eq!(precision.scores().ap, None, "nothing was added");
    assert!(AveragePrecision::new(0).is_err());
}
