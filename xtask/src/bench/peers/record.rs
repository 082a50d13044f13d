//! The measurements, as a table for readers and as JSON with every sample.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::cases::{Case, OURS};
use super::profile::Profile;
use crate::bench::machine::Machine;
use crate::bench::write_json;

/// The output of a side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measurement {
    /// Seconds of each timed call.
    seconds: Vec<f64>,
    /// The unit of a call's work, and the number of units.
    unit: String,
    items: f64,
    /// Loss of the first and of the last timed step, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    losses: Option<[f64; 2]>,
    /// Operations of the matrix products of a training step; our side counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    operations: Option<f64>,
    /// Operations per second of large products of the same precision, measured by our side.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak: Option<f64>,
    /// Versions of PyTorch's side.
    #[serde(default, skip_serializing)]
    versions: BTreeMap<String, String>,
}

/// One turn of one side.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    pub variant: String,
    pub way: &'static str,
    pub round: u32,
    pub threads: usize,
    #[serde(flatten)]
    pub measurement: Measurement,
}

/// One of PyTorch's ways that failed in a variant, which is then measured without it.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    pub variant: String,
    pub way: &'static str,
    pub message: String,
}

/// What was found of one case.
#[derive(Default)]
pub struct Found {
    pub samples: Vec<Sample>,
    pub profiles: Vec<Profile>,
    pub failures: Vec<Failure>,
}

/// The whole comparison.
#[derive(Default, Serialize)]
pub struct Record {
    pub machine: Machine,
    /// Versions of PyTorch's side.
    pub versions: BTreeMap<String, String>,
    pub rounds: u32,
    pub steps: u32,
    pub cases: Vec<CaseRecord>,
}

/// The results of one case, with the samples that they come from.
#[derive(Serialize)]
pub struct CaseRecord {
    name: &'static str,
    about: &'static str,
    results: Vec<Figures>,
    samples: Vec<Sample>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    profiles: Vec<Profile>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<Failure>,
}

/// All rounds of one way of one variant.
#[derive(Debug, PartialEq, Serialize)]
struct Figures {
    variant: String,
    way: &'static str,
    threads: usize,
    median_seconds: f64,
    least_seconds: f64,
    greatest_seconds: f64,
    unit: String,
    items_per_second: f64,
    /// Mean over the rounds of the losses of the first and of the last timed step.
    #[serde(skip_serializing_if = "Option::is_none")]
    losses: Option<[f64; 2]>,
    /// Its median seconds over ours: above 1, ours is faster.
    over_ours: f64,
    /// The operations that the step needs over its median seconds, as a share of the greatest peak
    /// that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_share: Option<f64>,
}

impl Record {
    /// Adds a case.
    pub fn add(&mut self, case: &Case, found: Found) {
        let Found { samples, profiles, failures } = found;
        for sample in &samples {
            self.versions.extend(sample.measurement.versions.clone());
        }
        let results = figures(&samples);
        let Case { name, about, .. } = *case;
        self.cases.push(CaseRecord { name, about, results, samples, profiles, failures });
    }

    /// Writes the record, atomically.
    pub fn write(&self, file: &Path) -> Result<()> {
        write_json(file, self)
    }
}

/// The figures of every way of every variant, in the order in which they were measured.
fn figures(samples: &[Sample]) -> Vec<Figures> {
    let mut found: Vec<Figures> = Vec::new();
    for sample in samples {
        let Sample { variant, way, threads, measurement, .. } = sample;
        if found.iter().any(|f| f.variant == *variant && f.way == *way) {
            continue;
        }
        let of = |name: &str| -> Vec<&Measurement> {
            let same = samples.iter().filter(|s| s.variant == *variant && s.way == name);
            same.map(|s| &s.measurement).collect()
        };
        let (this, ours) = (of(way), of(OURS));
        let [least, median, greatest] = spread(&this);
        let peak = ours.iter().filter_map(|m| m.peak).reduce(f64::max);
        let operations = ours.iter().find_map(|m| m.operations);
        let losses: Vec<[f64; 2]> = this.iter().filter_map(|m| m.losses).collect();
        let mean = |end: usize| losses.iter().map(|l| l[end]).sum::<f64>() / losses.len() as f64;
        found.push(Figures {
            variant: variant.clone(),
            way,
            threads: *threads,
            median_seconds: median,
            least_seconds: least,
            greatest_seconds: greatest,
            unit: measurement.unit.clone(),
            items_per_second: measurement.items / median,
            losses: (!losses.is_empty()).then(|| [mean(0), mean(1)]),
            over_ours: median / spread(&ours)[1],
            peak_share: operations.zip(peak).map(|(operations, peak)| operations / median / peak),
        });
    }
    found
}

/// Least, median and greatest of all calls.
fn spread(measurements: &[&Measurement]) -> [f64; 3] {
    let mut sorted: Vec<f64> = measurements.iter().flat_map(|m| m.seconds.clone()).collect();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return [f64::NAN; 3] };
    let median = f64::midpoint(sorted[last / 2], sorted[sorted.len() / 2]);
    [sorted[0], median, sorted[last]]
}

/// One line per way, with its time over ours, and one per way that failed.
pub fn table(case: &Case, found: &Found) -> String {
    let mut text = format!("{}: {}\n", case.name, case.about);
    let _ = writeln!(
        text,
        "  {:10} {:>7}  {:11} {:>10}  {:>23}  {:>22}  {:>9}  {:>7}",
        "variant",
        "threads",
        "way",
        "median",
        "least to greatest",
        "per second",
        "over ours",
        "of peak"
    );
    for figures in figures(&found.samples) {
        let spread = [figures.least_seconds, figures.greatest_seconds].map(duration).join(" to ");
        let rate = format!("{} {}", rounded(figures.items_per_second), figures.unit);
        let ratio = match figures.way {
            OURS => String::new(),
            _ => format!("{:.2}", figures.over_ours),
        };
        let share =
            figures.peak_share.map_or_else(String::new, |share| format!("{:.0} %", 100.0 * share));
        let _ = write!(
            text,
            "  {:10} {:>7}  {:11} {:>10}  {spread:>23}  {rate:>22}  {ratio:>9}  {share:>7}",
            figures.variant,
            figures.threads,
            figures.way,
            duration(figures.median_seconds),
        );
        if let Some([first, last]) = figures.losses {
            let _ = write!(text, "  loss {first:.3} to {last:.3}");
        }
        text.push('\n');
    }
    for Failure { variant, way, message } in &found.failures {
        let _ = writeln!(text, "  {variant:10} {way}: {message}");
    }
    text
}

/// Where the time of each way goes: the kinds of work with at least a hundredth of it.
pub fn shares(profiles: &[Profile]) -> String {
    let mut text = String::new();
    for Profile { variant, way, kinds, .. } in profiles {
        let kinds = kinds.iter().filter(|(_, share)| *share >= 0.01);
        let kinds: Vec<String> =
            kinds.map(|(kind, share)| format!("{kind} {:.0} %", 100.0 * share)).collect();
        let _ = writeln!(text, "  {variant}, {way}: {}", kinds.join(", "));
    }
    text
}

/// Formats a duration: `1.234 s`, `12.3 ms`, `456 µs`.
fn duration(seconds: f64) -> String {
    match seconds {
        ..1e-3 => format!("{:.0} µs", seconds * 1e6),
        1e-3..1.0 => format!("{:.1} ms", seconds * 1e3),
        _ => format!("{seconds:.3} s"),
    }
}

/// Formats a number: `97.3`, `12345`, `1.86e9`.
fn rounded(number: f64) -> String {
    match number {
        ..1e3 => format!("{number:.1}"),
        1e3..1e7 => format!("{number:.0}"),
        _ => format!("{number:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(way: &'static str, round: u32, seconds: &[f64]) -> Sample {
        let measurement = Measurement {
            seconds: seconds.to_vec(),
            unit: "images".to_owned(),
            items: 128.0,
            losses: Some([2.0, f64::from(round)]),
            operations: (way == OURS).then_some(8.0),
            peak: (way == OURS).then(|| 5.0 - f64::from(round)),
            versions: BTreeMap::new(),
        };
        Sample { variant: "fp32".to_owned(), way, round, threads: 2, measurement }
    }

    #[test]
    fn medians_are_of_all_rounds_and_ratios_of_medians() {
        let samples = [
            sample(OURS, 0, &[1.0, 2.0]),
            sample("eager", 0, &[3.0, 3.5]),
            sample(OURS, 1, &[9.0]),
            sample("eager", 1, &[4.0, 5.0]),
        ];
        let found = figures(&samples);
        assert_eq!(found.iter().map(|f| f.way).collect::<Vec<_>>(), [OURS, "eager"]);
        assert_eq!((found[0].median_seconds, found[0].over_ours), (2.0, 1.0));
        assert_eq!((found[1].median_seconds, found[1].over_ours), (3.75, 1.875));
        assert_eq!((found[1].least_seconds, found[1].greatest_seconds), (3.0, 5.0));
        assert_eq!([found[0].peak_share, found[1].peak_share], [Some(0.8), Some(8.0 / 3.75 / 5.0)]);
        assert_eq!((found[0].items_per_second, found[0].losses), (64.0, Some([2.0, 0.5])));
    }

    #[test]
    fn a_way_that_failed_is_told_beside_those_that_did_not() {
        let (variant, message) = ("fp32".to_owned(), "python failed: no compiler".to_owned());
        let found = Found {
            samples: vec![sample(OURS, 0, &[1.0]), sample("eager", 0, &[2.0])],
            failures: vec![Failure { variant, way: "compile", message }],
            ..Found::default()
        };
        let case = &super::super::CASES[0];
        let text = table(case, &found);
        assert!(text.ends_with("  fp32       compile: python failed: no compiler\n"), "{text}");
        assert!(text.contains("eager") && text.contains("2.00"), "{text}");
        let mut record = Record::default();
        record.add(case, found);
        let record = serde_json::to_value(&record).unwrap();
        assert_eq!(record["cases"][0]["failures"][0]["way"], "compile");
        assert_eq!(record["cases"][0]["results"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn what_either_side_prints_is_understood() {
        let line =
            r#"{"seconds": [0.5], "unit": "images", "items": 512, "versions": {"torch": "2"}}"#;
        let measurement: Measurement = serde_json::from_str(line).unwrap();
        assert_eq!((measurement.items, measurement.losses), (512.0, None));
        assert_eq!(measurement.versions["torch"], "2");
    }

    #[test]
    fn numbers_are_readable_at_every_size() {
        assert_eq!([4.56e-4, 0.0123, 1.2345].map(duration), ["456 µs", "12.3 ms", "1.234 s"]);
        assert_eq!([97.31, 12345.6, 1.86e9].map(rounded), ["97.3", "12346", "1.86e9"]);
    }
}
