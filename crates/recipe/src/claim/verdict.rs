//! Verdicts on relations: means and standard deviations over seeds, judged.

use std::fmt;

/// A relation: one setting must be better than another, where greater is better.
#[derive(Clone, Debug, PartialEq)]
pub struct Relation {
    /// Label of the setting that must be better.
    pub better: String,
    /// Label of the setting that it is compared with.
    pub than: String,
    /// How much better it must be.
    pub margin: Margin,
    /// The metric of `better`.
    pub metric: String,
    /// The metric of `than`: mostly the same, or another of the same runs, such as a baseline's.
    pub than_metric: String,
}

/// How much better is enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Margin {
    /// The difference is at least this.
    By(f64),
    /// The quotient is at least this.
    Times(f64),
}

/// Mean and standard deviation of a metric over seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation (divided by n − 1); `None` for a single value.
    pub deviation: Option<f64>,
    /// Number of values.
    pub count: usize,
}

impl Spread {
    /// Mean and deviation of the values; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (count > 1).then(|| (squares / (count as f64 - 1.0)).sqrt());
        (count > 0).then_some(Self { mean, deviation, count })
    }
}

/// Whether a relation held; shown as a sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The relation.
    pub relation: Relation,
    /// Whether it held for the mean over seeds.
    pub held: bool,
    /// Difference or quotient of the two settings, seed by seed.
    pub found: Spread,
    /// Number of seeds for which it held, each taken alone.
    pub seeds: usize,
}

/// Tolerance, so that the rounding of a difference of fractions does not decide.
const SLACK: f64 = 1e-9;

impl Relation {
    /// Judges the relation by values of its two settings, paired by seed; `None` without a pair.
    ///
    /// Values that are not finite never satisfy it.
    pub fn judge(&self, better: &[f64], than: &[f64]) -> Option<Verdict> {
        let pairs = better.iter().zip(than);
        let (found, wanted): (Vec<f64>, f64) = match self.margin {
            Margin::By(wanted) => (pairs.map(|(b, t)| b - t).collect(), wanted),
            Margin::Times(wanted) => (pairs.map(|(b, t)| b / t).collect(), wanted),
        };
        let enough = |found: f64| found.is_finite() && found >= wanted - SLACK;
        let seeds = found.iter().filter(|&&found| enough(found)).count();
        let found = Spread::of(&found)?;
        Some(Verdict { relation: self.clone(), held: enough(found.mean), found, seeds })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { relation, found, .. } = self;
        let Relation { better, than, margin, metric, than_metric } = relation;
        let mean = found.mean;
        f.write_str(if self.held { "held: " } else { "did not hold: " })?;
        let deviation = |digits: usize| match found.deviation {
            Some(deviation) => format!(" ± {deviation:.digits$}"),
            None => String::new(),
        };
        // A setting that is compared with itself is compared in two different metrics.
        let own = better == than;
        let [left, right] = if own {
            [format!("{better}: {metric}"), than_metric.clone()]
        } else {
            [better.clone(), than.clone()]
        };
        let wanted = match margin {
            Margin::By(wanted) => {
                let size = shown(mean.abs());
                let size = size + &deviation(if mean.abs() < 10.0 { 4 } else { 0 });
                match (own, mean < 0.0) {
                    (true, true) => write!(f, "{left} is {size} below {right}")?,
                    (true, false) => write!(f, "{left} is {size} above {right}")?,
                    (false, true) => write!(f, "{left} is behind {right} by {size}")?,
                    (false, false) => write!(f, "{left} beats {right} by {size}")?,
                }
                format!("{wanted}")
            }
            Margin::Times(wanted) => {
                write!(f, "{left} is {mean:.2}{} times {right}", deviation(2))?;
                format!("{wanted} times")
            }
        };
        if !own {
            write!(f, " in {metric}")?;
            if metric != than_metric {
                write!(f, " against {than_metric}")?;
            }
        }
        write!(f, " (wanted: at least {wanted}; ")?;
        match (found.count, self.seeds) {
            (1, _) => f.write_str("one seed)"),
            (count, seeds) => write!(f, "so in {seeds} of {count} seeds)"),
        }
    }
}

/// Formats fractions with four decimals, and larger numbers such as speeds with none.
fn shown(value: f64) -> String {
    if value.abs() < 10.0 { format!("{value:.4}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(margin: Margin) -> Relation {
        let (better, than) = ("0.75".to_owned(), "0.25".to_owned());
        let metric = "linear_top1".to_owned();
        Relation { better, than, margin, than_metric: metric.clone(), metric }
    }

    #[test]
    fn a_setting_can_be_held_against_its_own_baseline() {
        let than_metric = "mae.linear_top1".to_owned();
        let own = Relation { than: "0.75".to_owned(), than_metric, ..relation(Margin::By(0.02)) };
        assert_eq!(
            own.judge(&[0.5], &[0.4]).unwrap().to_string(),
            "held: 0.75: linear_top1 is 0.1000 above mae.linear_top1 \
             (wanted: at least 0.02; one seed)"
        );
        assert_eq!(
            own.judge(&[0.5, 0.3], &[0.4, 0.5]).unwrap().to_string(),
            "did not hold: 0.75: linear_top1 is 0.0500 ± 0.2121 below mae.linear_top1 \
             (wanted: at least 0.02; so in 1 of 2 seeds)"
        );
    }

    #[test]
    fn deviations_are_those_of_a_sample() {
        let spread = Spread::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert_eq!((spread.mean, spread.count), (5.0, 8));
        assert!((spread.deviation.unwrap() - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12);
        assert_eq!(Spread::of(&[3.0]), Some(Spread { mean: 3.0, deviation: None, count: 1 }));
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[0.5, 0.5]).unwrap().deviation, Some(0.0));
    }

    #[test]
    fn verdicts_say_by_how_much() {
        let by = relation(Margin::By(0.02));
        for (better, than, held, text) in [
            (
                &[0.50, 0.54][..],
                &[0.46, 0.48][..],
                true,
                "held: 0.75 beats 0.25 by 0.0500 ± 0.0141 in linear_top1 \
                 (wanted: at least 0.02; so in 2 of 2 seeds)",
            ),
            (
                &[0.50, 0.47],
                &[0.45, 0.47],
                true,
                "held: 0.75 beats 0.25 by 0.0250 ± 0.0354 in linear_top1 \
                 (wanted: at least 0.02; so in 1 of 2 seeds)",
            ),
            (
                &[0.46],
                &[0.45],
                false,
                "did not hold: 0.75 beats 0.25 by 0.0100 in linear_top1 \
                 (wanted: at least 0.02; one seed)",
            ),
            (
                &[0.40],
                &[0.45],
                false,
                "did not hold: 0.75 is behind 0.25 by 0.0500 in linear_top1 \
                 (wanted: at least 0.02; one seed)",
            ),
        ] {
            let verdict = by.judge(better, than).unwrap();
            assert_eq!((verdict.held, verdict.to_string().as_str()), (held, text));
        }
        let times = relation(Margin::Times(1.5)).judge(&[300.0, 500.0], &[100.0, 200.0]).unwrap();
        assert_eq!(
            times.to_string(),
            "held: 0.75 is 2.75 ± 0.35 times 0.25 in linear_top1 \
             (wanted: at least 1.5 times; so in 2 of 2 seeds)"
        );
    }

    #[test]
    fn the_margin_itself_is_enough_and_rounding_does_not_decide() {
        let verdict = relation(Margin::By(0.02)).judge(&[0.47], &[0.45]).unwrap();
        assert!(verdict.found.mean < 0.02 && verdict.held, "{verdict:?}");
        assert!(relation(Margin::By(0.0)).judge(&[0.4], &[0.4]).unwrap().held);
    }

    #[test]
    fn nothing_that_is_not_a_number_holds() {
        for (better, than) in [(f64::NAN, 1.0), (f64::INFINITY, 1.0), (1.0, f64::NAN)] {
            for margin in [Margin::By(0.0), Margin::Times(0.1)] {
                let verdict = relation(margin).judge(&[better], &[than]).unwrap();
                assert!(!verdict.held && verdict.seeds == 0, "{verdict:?}");
            }
        }
        assert!(!relation(Margin::Times(1.0)).judge(&[1.0], &[0.0]).unwrap().held);
        assert_eq!(relation(Margin::By(0.1)).judge(&[], &[]), None);
    }
}
