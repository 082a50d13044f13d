//! The shrinkage guard: thresholds of labels with few documents are drawn towards a common one.
//!
//! Thresholds of labels with few positives overfit; tuned individually, they have a lower micro-F1
//! than one global threshold.

use ndarray::ArrayView2;

use crate::metrics::label_counts;
use crate::thresholds::decide;

/// Number of positives from which a threshold can be kept; also the weight of the common one.
pub const FEW: f64 = 20.0;

/// Guarded thresholds.
///
/// A label's threshold is kept if the label has at least [`FEW`] positives among the held-out
/// documents and the threshold beats 0.5 there in F1; any other becomes `(n q + FEW · global) / (n
/// + FEW)` for its n positives.
///
/// `scores` and `truth` are `[D, N]`, `thresholds` N.
pub fn shrink(
    scores: ArrayView2<'_, f32>,
    truth: ArrayView2<'_, bool>,
    thresholds: &[f32],
    global: f32,
) -> Vec<f32> {
    let half = vec![0.5; thresholds.len()];
    let own = label_counts(truth, decide(scores, thresholds).view());
    let plain = label_counts(truth, decide(scores, &half).view());
    let guarded =
        |((&threshold, own), plain): ((&f32, &crate::LabelCounts), &crate::LabelCounts)| {
            let positives = own.borne as f64;
            if positives >= FEW && own.f1() > plain.f1() {
                return threshold;
            }
            let (q, global) = (f64::from(threshold), f64::from(global));
            ((positives * q + FEW * global) / (positives + FEW)) as f32
        };
    thresholds.iter().zip(&own).zip(&plain).map(guarded).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    fn many_positives_and_a_gain_let_a_threshold_stand() {
        // Label 0: 30 positives at 0.4, which 0.3 finds and 0.5 does not. Label 1: 5 of them. Label
        // 2: 30 at 0.9, for which 0.3 and 0.5 find the same. Label 3: none.
        let mut scores = Array2::from_elem((60, 4), 0.1_f32);
        let mut truth = Array2::from_elem((60, 4), false);
        for (label, count, score) in [(0, 30, 0.4), (1, 5, 0.4), (2, 30, 0.9)] {
            for document in 0..count {
                scores[[document, label]] = score;
                truth[[document, label]] = true;
            }
        }
        let found = shrink(scores.view(), truth.view(), &[0.3, 0.3, 0.3, 0.9], 0.2);
        let wanted = [0.3, (5.0 * 0.3 + 4.0) / 25.0, (30.0 * 0.3 + 4.0) / 50.0, 0.2];
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
        }
    }
}
