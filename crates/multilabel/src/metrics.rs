//! Metrics of decisions, named by what they average over.
//!
//! Decisions and truth are `[D, N]`, D documents by N labels. Metrics *over labels* count each
//! label's hits in all documents; metrics *over documents* compare each document's set of labels.
//! "Macro over labels" and "macro over documents" are different numbers.

use ndarray::ArrayView2;

/// How often a label was predicted, true, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LabelCounts {
    /// Documents with the label for which it is predicted.
    pub hits: usize,
    /// Documents for which it is predicted.
    pub predicted: usize,
    /// Documents with the label.
    pub borne: usize,
}

impl LabelCounts {
    /// `2 hits / (predicted + borne)`; 0 where both are 0.
    pub fn f1(&self) -> f64 {
        ratio(2 * self.hits, self.predicted + self.borne)
    }

    /// `hits / predicted`; 0 where nothing is predicted.
    pub fn precision(&self) -> f64 {
        ratio(self.hits, self.predicted)
    }

    /// `hits / borne`; 0 if no document has the label.
    pub fn recall(&self) -> f64 {
        ratio(self.hits, self.borne)
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The counts of each label.
///
/// # Panics
/// When the shapes differ.
pub fn label_counts(
    truth: ArrayView2<'_, bool>,
    decided: ArrayView2<'_, bool>,
) -> Vec<LabelCounts> {
    assert_eq!(truth.dim(), decided.dim(), "each document has decisions on each label");
    let mut counts = vec![LabelCounts::default(); truth.ncols()];
    for (truth, decided) in truth.rows().into_iter().zip(decided.rows()) {
        for ((count, &borne), &predicted) in counts.iter_mut().zip(truth).zip(decided) {
            count.hits += usize::from(borne && predicted);
            count.predicted += usize::from(predicted);
            count.borne += usize::from(borne);
        }
    }
    counts
}

/// Metrics over labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelMetrics {
    /// Hits divided by predictions, summed over all labels.
    pub micro_precision: f64,
    /// Hits divided by true labels, summed over all labels.
    pub micro_recall: f64,
    /// F1 of the summed counts.
    pub micro_f1: f64,
    /// The mean F1 over the labels that occur in some document; the others are left out, not
    /// counted as 0.
    pub macro_f1: f64,
}

impl LabelMetrics {
    /// Computes the metrics from the counts of each label.
    pub fn of(counts: &[LabelCounts]) -> Self {
        let sum = counts.iter().fold(LabelCounts::default(), |sum, count| LabelCounts {
            hits: sum.hits + count.hits,
            predicted: sum.predicted + count.predicted,
            borne: sum.borne + count.borne,
        });
        let borne: Vec<f64> =
            counts.iter().filter(|count| count.borne > 0).map(LabelCounts::f1).collect();
        Self {
            micro_precision: sum.precision(),
            micro_recall: sum.recall(),
            micro_f1: sum.f1(),
            macro_f1: mean(&borne),
        }
    }
}

/// Metrics over documents, as entity typing uses them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DocumentMetrics {
    /// The fraction of documents whose labels are predicted exactly.
    pub strict: f64,
    /// F1 of the mean precision and the mean recall over documents. The precision of a document
    /// without predictions is 0, and so is the recall of one without labels.
    pub loose_macro: f64,
    /// F1 of the summed counts of all documents, which is micro-F1 over labels.
    pub loose_micro: f64,
}

impl DocumentMetrics {
    /// Compares decisions with the truth.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn of(truth: ArrayView2<'_, bool>, decided: ArrayView2<'_, bool>) -> Self {
        assert_eq!(truth.dim(), decided.dim(), "each document has decisions on each label");
        let (mut exact, mut precision, mut recall) = (Vec::new(), Vec::new(), Vec::new());
        let mut sum = LabelCounts::default();
        for (truth, decided) in truth.rows().into_iter().zip(decided.rows()) {
            let both = truth.iter().zip(decided).filter(|(borne, taken)| **borne && **taken);
            let count = LabelCounts {
                hits: both.count(),
                predicted: decided.iter().filter(|taken| **taken).count(),
                borne: truth.iter().filter(|borne| **borne).count(),
            };
            exact.push(f64::from(u8::from(truth == decided)));
            precision.push(count.precision());
            recall.push(count.recall());
            sum.hits += count.hits;
            sum.predicted += count.predicted;
            sum.borne += count.borne;
        }
        let (precision, recall) = (mean(&precision), mean(&recall));
        let both = precision + recall;
        Self {
            strict: mean(&exact),
            loose_macro: if both > 0.0 { 2.0 * precision * recall / both } else { 0.0 },
            loose_micro: sum.f1(),
        }
    }
}

/// The mean; 0 if there are no values.
fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}
