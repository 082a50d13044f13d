//! Metrics compared with scikit-learn, and their properties for any decisions.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use bauta_multilabel::ndarray::{Array2, Axis};
use bauta_multilabel::{DocumentMetrics, LabelMetrics, PrecisionRecall, label_counts};
use proptest::prelude::*;
use serde_json::Value;

fn table(value: &Value) -> Array2<bool> {
    let rows: Vec<Vec<bool>> = serde_json::from_value(value.clone()).unwrap();
    let sides = (rows.len(), rows[0].len());
    Array2::from_shape_vec(sides, rows.concat()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn metrics_are_those_of_scikit_learn() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("fixtures/metrics.json")).unwrap();
    for case in &cases {
        let (truth, predicted) = (table(&case["truth"]), table(&case["predicted"]));
        let counts = label_counts(truth.view(), predicted.view());
        let (labels, documents) =
            (LabelMetrics::of(&counts), DocumentMetrics::of(truth.view(), predicted.view()));
        for (name, found) in [
            ("micro_precision", labels.micro_precision),
            ("micro_recall", labels.micro_recall),
            ("micro_f1", labels.micro_f1),
            ("macro_f1", labels.macro_f1),
            ("strict", documents.strict),
            ("loose_macro", documents.loose_macro),
        ] {
            let wanted = case[name].as_f64().unwrap();
            assert!((found - wanted).abs() < 1e-9, "{name}: {found} {wanted}");
        }
        for (count, wanted) in counts.iter().zip(numbers(&case["label_f1"])) {
            assert!((count.f1() - wanted).abs() < 1e-9);
        }
        for curve in case["curves"].as_array().unwrap() {
            let label = curve["label"].as_u64().unwrap() as usize;
            let rows = case["scores"].as_array().unwrap();
            let scores = rows.iter().map(|row| numbers(row)[label] as f32);
            let found = PrecisionRecall::of(truth.column(label).iter().copied(), scores);
            let wanted = curve["average_precision"].as_f64().unwrap();
            assert!((found.average_precision() - wanted).abs() < 1e-9);
            let thresholds: Vec<f64> = found.thresholds.iter().map(|&t| f64::from(t)).collect();
            for (name, found) in [
                ("precision", found.precision),
                ("recall", found.recall),
                ("thresholds", thresholds),
            ] {
                let wanted = numbers(&curve[name]);
                assert_eq!(found.len(), wanted.len(), "{name}");
                let close = |(one, other): (&f64, &f64)| (one - other).abs() < 1e-9;
                assert!(found.iter().zip(&wanted).all(close), "{name}: {found:?} {wanted:?}");
            }
        }
    }
}

fn arbitrary_tables() -> impl Strategy<Value = [Array2<bool>; 2]> {
    (1_usize..12, 1_usize..6).prop_flat_map(|(documents, labels)| {
        let one = move || prop::collection::vec(any::<bool>(), documents * labels);
        let shaped = move |bits| Array2::from_shape_vec((documents, labels), bits).unwrap();
        (one(), one()).prop_map(move |(truth, decided)| [shaped(truth), shaped(decided)])
    })
}

fn all(truth: &Array2<bool>, decided: &Array2<bool>) -> [f64; 5] {
    let labels = LabelMetrics::of(&label_counts(truth.view(), decided.view()));
    let documents = DocumentMetrics::of(truth.view(), decided.view());
    [
        labels.micro_f1,
        labels.macro_f1,
        documents.strict,
        documents.loose_macro,
        documents.loose_micro,
    ]
}

proptest! {
    #[test]
    fn a_perfect_prediction_is_one_everywhere([truth, _] in arbitrary_tables()) {
        let mut truth = truth;
        // Each document has a label, as in data for learning label sets.
        truth.column_mut(0).fill(true);
        prop_assert_eq!(all(&truth, &truth), [1.0; 5]);
    }

    #[test]
    fn the_order_of_labels_and_documents_changes_nothing([truth, decided] in arbitrary_tables()) {
        let reversed = |table: &Array2<bool>| {
            let mut table = table.clone();
            table.invert_axis(Axis(0));
            table.invert_axis(Axis(1));
            table
        };
        let (one, other) = (all(&truth, &decided), all(&reversed(&truth), &reversed(&decided)));
        for (one, other) in one.iter().zip(other) {
            prop_assert!((one - other).abs() < 1e-12);
        }
    }

    #[test]
    fn micro_f1_is_a_mediant([truth, decided] in arbitrary_tables()) {
        let counts = label_counts(truth.view(), decided.view());
        let used: Vec<f64> =
            counts.iter().filter(|c| c.predicted + c.borne > 0).map(|c| c.f1()).collect();
        let micro = LabelMetrics::of(&counts).micro_f1;
        let least = used.iter().copied().fold(1.0, f64::min);
        let most = used.iter().copied().fold(0.0, f64::max);
        prop_assert!(used.is_empty() || (least - 1e-12..=most + 1e-12).contains(&micro));
        prop_assert!((micro - DocumentMetrics::of(truth.view(), decided.view()).loose_micro).abs() < 1e-12);
    }

    #[test]
    fn one_label_and_one_prediction_a_document_make_all_metrics_accuracy(
        pairs in prop::collection::vec((0_usize..4, 0_usize..4), 1..30),
    ) {
        let table = |of: fn(&(usize, usize)) -> usize| {
            Array2::from_shape_fn((pairs.len(), 4), |(row, label)| of(&pairs[row]) == label)
        };
        let [micro, _, strict, loose_macro, loose_micro] = all(&table(|p| p.0), &table(|p| p.1));
        for metric in [micro, loose_macro, loose_micro] {
            prop_assert!((metric - strict).abs() < 1e-12);
        }
    }
}
