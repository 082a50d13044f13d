//! Narrowings: settings that lie closer together in one metric than in another of the same runs.

use std::fmt;

use serde::Deserialize;

/// The range of the settings, from worst to best, is smaller in one metric than in another.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Narrowing {
    /// The metric in which the settings lie close, such as `linear_top1`.
    pub metric: String,
    /// The metric in which they lie further apart, such as `stage_1.linear_top1`.
    pub than_metric: String,
}

/// Whether a narrowing held; shown as a sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct NarrowingVerdict {
    /// The narrowing that was judged.
    pub narrowing: Narrowing,
    /// The best mean over seeds minus the worst, of [`Narrowing::metric`].
    pub range: f64,
    /// The same for [`Narrowing::than_metric`].
    pub than_range: f64,
}

impl Narrowing {
    /// Judges by each setting's mean over seeds in both metrics; `None` without settings.
    ///
    /// Means that are not finite never satisfy it.
    pub fn judge(&self, means: &[f64], than_means: &[f64]) -> Option<NarrowingVerdict> {
        let range = |values: &[f64]| {
            let best = values.iter().copied().reduce(f64::max)?;
            let range = best - values.iter().copied().reduce(f64::min)?;
            // `max` and `min` pass over NaN.
            Some(if values.iter().all(|value| value.is_finite()) { range } else { f64::NAN })
        };
        let (range, than_range) = (range(means)?, range(than_means)?);
        Some(NarrowingVerdict { narrowing: self.clone(), range, than_range })
    }
}

impl NarrowingVerdict {
    /// Whether the range is smaller; NaN never is.
    pub fn held(&self) -> bool {
        self.range < self.than_range
    }
}

impl fmt::Display for NarrowingVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { narrowing: Narrowing { metric, than_metric }, range, than_range } = self;
        f.write_str(if self.held() { "held: " } else { "did not hold: " })?;
        write!(
            f,
            "the settings lie within {range:.4} in {metric}, and within {than_range:.4} in \
             {than_metric} (wanted: a smaller range)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_compared_and_told() {
        let narrowing =
            Narrowing { metric: "top1".to_owned(), than_metric: "stage_1.top1".to_owned() };
        let verdict = narrowing.judge(&[0.50, 0.52, 0.51], &[0.40, 0.48, 0.45]).unwrap();
        assert!(verdict.held());
        assert_eq!(
            verdict.to_string(),
            "held: the settings lie within 0.0200 in top1, and within 0.0800 in stage_1.top1 \
             (wanted: a smaller range)"
        );
        let other = narrowing.judge(&[0.40, 0.48], &[0.50, 0.52]).unwrap();
        assert!(!other.held() && other.to_string().starts_with("did not hold: "));
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for (means, than) in [
                ([odd, 0.50, 0.51], [0.1, 0.3, 0.5]),
                ([0.50, 0.51, odd], [0.1, 0.3, 0.5]),
                ([0.50, 0.51, 0.52], [0.1, odd, 0.5]),
            ] {
                let verdict = narrowing.judge(&means, &than).unwrap();
                assert!(!verdict.held(), "{verdict}");
            }
        }
        assert!(!narrowing.judge(&[f64::NAN, f64::NAN], &[0.1, 0.2]).unwrap().held());
        assert_eq!(narrowing.judge(&[], &[]), None);
    }
}
