//! The protocols against scikit-learn and brute force, on features that are not
//! linearly separable; `fixtures/linear_probe.py` generates them.

#![expect(clippy::unwrap_used, reason = "a test's preparations may panic")]

use std::collections::HashMap;
use std::path::Path;

use bauta_eval::{
    EncodedData, EncodedSplit, Evaluator, FewShotRidge, KnnEvaluator, LinearProbe, ProbeOptimizer,
    SemiSupervised,
};
use tch::{Kind, Tensor};

const CLASSES: usize = 5;

fn fixture() -> HashMap<String, Tensor> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/references.safetensors");
    Tensor::read_safetensors(file).unwrap().into_iter().collect()
}

fn features(fixture: &HashMap<String, Tensor>) -> EncodedData {
    let split = |name: &str| {
        let labels = fixture[&format!("{name}_labels")].to_kind(Kind::Int64);
        EncodedSplit::new(fixture[name].shallow_clone(), labels).unwrap()
    };
    EncodedData::new(split("train"), split("test"), CLASSES).unwrap()
}

fn differing(found: &Tensor, expected: &Tensor) -> i64 {
    found.not_equal_tensor(&expected.to_kind(Kind::Int64)).sum(Kind::Int64).int64_value(&[])
}

#[test]
fn knn_agrees_exactly_with_brute_force() {
    let fixture = fixture();
    let predictions = KnnEvaluator::new(20, 0.07).unwrap().predict(&features(&fixture)).unwrap();
    assert_eq!(differing(&predictions, &fixture["knn"]), 0);
}

#[test]
fn the_linear_probe_agrees_with_logistic_regression_to_a_point() {
    let fixture = fixture();
    let features = features(&fixture);
    let logistic = fixture["logistic_top1"].double_value(&[0]);
    for optimizer in [ProbeOptimizer::Sgd, ProbeOptimizer::Lars] {
        let probe = LinearProbe { optimizer, batch_size: 128, ..LinearProbe::default() };
        let top1 = probe.evaluate(&features, 0).unwrap().get("linear_top1").unwrap();
        assert!((top1 - logistic).abs() < 0.01, "{optimizer:?} {top1}, scikit-learn {logistic}");
    }
}

#[test]
fn few_shot_ridge_agrees_with_scikit_learn() {
    let fixture = fixture();
    let features = features(&fixture).standardized();
    let shots = Vec::<i64>::try_from(&fixture["shots"]).unwrap();
    let shots: Vec<usize> = shots.into_iter().map(|shot| shot as usize).collect();
    let predictions = FewShotRidge::predict(&features, &shots);
    assert_eq!(differing(&predictions, &fixture["ridge"]), 0);
}

#[test]
fn more_labels_help() {
    let features = features(&fixture());
    let few_shot = |shots| {
        let metrics = FewShotRidge::new(shots, 10).unwrap().evaluate(&features, 0).unwrap();
        let get = |end| metrics.get(&format!("few_shot_{shots}_top1{end}")).unwrap();
        (get(""), get("_std"))
    };
    let (one, many) = (few_shot(1), few_shot(50));
    assert!(one.0 > 0.2 && many.0 > one.0 + 0.2 && many.1 < one.1, "{one:?}, {many:?}");

    let semi = |percent| {
        let probe = LinearProbe { epochs: 100, batch_size: 64, ..LinearProbe::default() };
        let semi = SemiSupervised { percent, probe };
        semi.evaluate(&features, 0).unwrap().get(&format!("linear_{percent}pct_top1")).unwrap()
    };
    let (few, all) = (semi(2.0), semi(100.0));
    assert!(few > 0.25 && all > few + 0.1, "{few}, {all}");
}

/// If a learning rate were chosen on the test split, each labelling would choose its own.
#[test]
fn no_protocol_looks_at_the_labels_of_the_test_split() {
    let features = features(&fixture());
    let relabelled = |shift: i64| {
        let copy = |split: &EncodedSplit, shift: i64| {
            let labels = (split.labels() + shift).remainder(CLASSES as i64);
            EncodedSplit::new(split.features().shallow_clone(), labels).unwrap()
        };
        EncodedData::new(copy(features.train(), 0), copy(features.test(), shift), CLASSES).unwrap()
    };
    let probe = LinearProbe { epochs: 3, ..LinearProbe::default() };
    let knn = KnnEvaluator::new(20, 0.07).unwrap();
    let ridge = FewShotRidge::new(3, 1).unwrap();
    let semi = SemiSupervised { percent: 10.0, probe: probe.clone() };
    for evaluator in [&probe as &dyn Evaluator, &knn, &ridge, &semi] {
        // Each guess is right under exactly one of the five labellings.
        let sum: f64 = (0..CLASSES as i64)
            .map(|shift| {
                let metrics = evaluator.evaluate(&relabelled(shift), 0).unwrap();
                metrics.iter().find(|(name, _)| name.ends_with("_top1")).unwrap().1
            })
            .sum();
        assert!((sum - 1.0).abs() < 1e-9, "{}: {sum}", evaluator.name());
    }
}
