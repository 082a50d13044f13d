//! Decisions by thresholds, and baselines that tune thresholds on held-out documents.
//!
//! Scores `[D, N]` are probabilities for D documents; a label is predicted if its score is above
//! its threshold.

use ndarray::{Array2, ArrayView2};

/// The labels whose scores are above their thresholds, `[D, N]`.
///
/// # Panics
/// When the number of thresholds is not the number of labels.
pub fn decide(scores: ArrayView2<'_, f32>, thresholds: &[f32]) -> Array2<bool> {
    assert_eq!(scores.ncols(), thresholds.len(), "each label has a threshold");
    Array2::from_shape_fn(scores.dim(), |(document, label)| {
        scores[[document, label]] > thresholds[label]
    })
}

/// The `count` labels with the highest scores of each document, `[D, N]`; among equal scores, the
/// first labels.
pub fn most_probable(scores: ArrayView2<'_, f32>, count: usize) -> Array2<bool> {
    let mut decisions = Array2::from_elem(scores.dim(), false);
    for (row, mut decided) in scores.rows().into_iter().zip(decisions.rows_mut()) {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&one, &other| row[other].total_cmp(&row[one]));
        order.into_iter().take(count).for_each(|label| decided[label] = true);
    }
    decisions
}

/// The common threshold of all labels that maximises micro-F1 on these documents.
pub fn global_threshold(scores: ArrayView2<'_, f32>, truth: ArrayView2<'_, bool>) -> f32 {
    best(scores.iter().copied().zip(truth.iter().copied()).collect())
}

/// The threshold of each label that maximises its F1 on these documents (SCut; Yang 2001); 0.5 for
/// a label that occurs in none of them.
pub fn label_thresholds(scores: ArrayView2<'_, f32>, truth: ArrayView2<'_, bool>) -> Vec<f32> {
    let of_label = |label: usize| {
        let (scores, truth) = (scores.column(label), truth.column(label));
        best(scores.iter().copied().zip(truth.iter().copied()).collect())
    };
    (0..scores.ncols()).map(of_label).collect()
}

/// The threshold with the highest F1 of scored decisions, halfway between two neighbouring scores;
/// the highest of several. 0.5 if nothing is true.
fn best(mut scored: Vec<(f32, bool)>) -> f32 {
    scored.sort_by(|one, other| other.0.total_cmp(&one.0));
    let borne = scored.iter().filter(|(_, borne)| *borne).count();
    let (mut best, mut best_f1, mut hits) = (0.5, 0.0, 0_usize);
    for (place, &(score, is_borne)) in scored.iter().enumerate() {
        hits += usize::from(is_borne);
        let next = scored.get(place + 1).map_or(0.0, |next| next.0);
        let f1 = 2.0 * hits as f64 / (place + 1 + borne) as f64;
        if next < score && f1 > best_f1 {
            let middle = f32::midpoint(score, next);
            // Between neighbouring floats there is no midpoint.
            (best, best_f1) = (if middle < score { middle } else { next }, f1);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::{LabelMetrics, label_counts};

    #[test]
    fn the_most_probable_are_taken() {
        let scores = array![[0.1, 0.9, 0.5], [0.3, 0.3, 0.2]];
        assert_eq!(
            most_probable(scores.view(), 2),
            array![[false, true, true], [true, true, false]]
        );
        assert_eq!(most_probable(scores.view(), 9), Array2::from_elem((2, 3), true));
    }

    proptest! {
        #[test]
        fn no_other_threshold_is_better(
            scored in prop::collection::vec((0.01_f32..0.99, any::<bool>()), 3 * 20),
            other in 0.0_f32..1.0,
        ) {
            let scores = Array2::from_shape_vec((20, 3), scored.iter().map(|s| s.0).collect()).unwrap();
            let truth = Array2::from_shape_vec((20, 3), scored.iter().map(|s| s.1).collect()).unwrap();
            let micro = |thresholds: &[f32]| {
                let counts = label_counts(truth.view(), decide(scores.view(), thresholds).view());
                LabelMetrics::of(&counts).micro_f1
            };
            let global = global_threshold(scores.view(), truth.view());
            prop_assert!(micro(&[global; 3]) >= micro(&[other; 3]));
            let own = label_thresholds(scores.view(), truth.view());
            let tuned = label_counts(truth.view(), decide(scores.view(), &own).view());
            let tried = label_counts(truth.view(), decide(scores.view(), &[other; 3]).view());
            for (tuned, tried) in tuned.iter().zip(&tried) {
                prop_assert!(tuned.f1() >= tried.f1());
            }
        }

        #[test]
        fn raising_a_threshold_adds_nothing_and_touches_no_other_label(
            scores in prop::collection::vec(0.0_f32..1.0, 4 * 30),
            thresholds in prop::collection::vec(0.01_f32..0.99, 4),
            label in 0_usize..4, more in 0.0_f32..1.0,
        ) {
            let scores = Array2::from_shape_vec((30, 4), scores).unwrap();
            let before = decide(scores.view(), &thresholds);
            let mut raised = thresholds.clone();
            raised[label] += more;
            let after = decide(scores.view(), &raised);
            for ((place, &was), &is) in before.indexed_iter().zip(&after) {
                let holds = if place.1 == label { was || !is } else { was == is };
                prop_assert!(holds);
            }
        }
    }

    #[test]
    fn a_label_without_positives_keeps_one_half() {
        let (scores, truth) = (array![[0.2_f32], [0.9]], array![[false], [false]]);
        assert_eq!(label_thresholds(scores.view(), truth.view()), [0.5]);
        assert_eq!(global_threshold(scores.view(), truth.view()), 0.5);
    }
}
