//! Precision and recall over all thresholds.

/// The curve of one label, or of all decisions together.
#[derive(Clone, Debug, PartialEq)]
pub struct PrecisionRecall {
    /// Precision at each threshold, followed by 1, where nothing is predicted.
    pub precision: Vec<f64>,
    /// Recall at each threshold, falling, followed by 0.
    pub recall: Vec<f64>,
    /// The distinct scores, rising; a label is predicted if its score is at least the threshold.
    pub thresholds: Vec<f32>,
}

impl PrecisionRecall {
    /// The curve of scored decisions: the truth of each and its score.
    ///
    /// As scikit-learn's `precision_recall_curve`; recall is 1 at all thresholds if nothing is
    /// true.
    pub fn of(
        truth: impl IntoIterator<Item = bool>,
        scores: impl IntoIterator<Item = f32>,
    ) -> Self {
        let mut scored: Vec<(f32, bool)> = scores.into_iter().zip(truth).collect();
        scored.sort_by(|one, other| other.0.total_cmp(&one.0));
        let borne = scored.iter().filter(|(_, borne)| *borne).count();
        let (mut curve, mut hits) =
            (Self { precision: vec![1.0], recall: vec![0.0], thresholds: Vec::new() }, 0_usize);
        for (place, &(score, is_borne)) in scored.iter().enumerate() {
            hits += usize::from(is_borne);
            if scored.get(place + 1).is_some_and(|next| next.0 == score) {
                continue;
            }
            curve.precision.push(hits as f64 / (place + 1) as f64);
            curve.recall.push(if borne == 0 { 1.0 } else { hits as f64 / borne as f64 });
            curve.thresholds.push(score);
        }
        curve.precision.reverse();
        curve.recall.reverse();
        curve.thresholds.reverse();
        curve
    }

    /// Average precision: the sum of precisions, each multiplied by the gain in recall.
    pub fn average_precision(&self) -> f64 {
        let gains = self.recall.windows(2).map(|pair| pair[0] - pair[1]);
        gains.zip(&self.precision).map(|(gain, precision)| gain * precision).sum()
    }
}
