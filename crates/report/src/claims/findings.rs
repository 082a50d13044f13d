//! A claim's results: means and standard deviations by setting, and verdicts.

use std::fmt;

use bauta_recipe::claim::{Best, Cell, Claim, Relation, Spread};

use crate::ReportError;
use crate::number::short;
use crate::summary::Summary;

/// The table of the paper's numbers against ours, and the verdicts on the relations.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The heading of the settings: the varied key, or `setting`.
    pub axis: String,
    /// The metrics of our columns; the claim's own first.
    pub metrics: Vec<String>,
    /// A description of the paper's numbers.
    pub paper: Option<String>,
    /// One row per setting.
    pub rows: Vec<Row>,
    /// One judgement per relation, then one per narrowing.
    pub judgements: Vec<Judgement>,
    /// A sentence on the best setting, if the claim asks for it.
    pub best: Option<String>,
    /// Seconds of training and evaluation of all runs together.
    pub run_seconds: f64,
    /// Seconds that this call took.
    pub call_seconds: f64,
}

/// The verdict on one relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether it held.
    pub held: bool,
    /// By how much, in a sentence.
    pub sentence: String,
}

/// The row of one setting.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its label.
    pub label: String,
    /// Its value on the axis.
    pub number: Option<f64>,
    /// The paper's number.
    pub paper: Option<f64>,
    /// Our numbers, by column.
    pub ours: Vec<Spread>,
}

/// A metric of a summary by its name: of the evaluation, of a baseline or of the training.
///
/// # Errors
/// [`ReportError::NoMetric`] with the known names.
pub fn metric(summary: &Summary, name: &str) -> Result<f64, ReportError> {
    let train = &summary.train;
    let training = [
        ("samples_per_second", Some(train.samples_per_second)),
        ("train_seconds", Some(train.seconds)),
        ("first_loss", train.first_loss),
        ("final_loss", train.final_loss),
    ];
    let training = training.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let measured = summary.eval.iter().chain(&summary.baseline);
    let mut numbers = measured.map(|(name, &value)| (name.as_str(), value)).chain(training);
    let found = numbers.clone().find(|(known, _)| *known == name);
    found.map(|(_, value)| value).ok_or_else(|| ReportError::NoMetric {
        name: name.to_owned(),
        known: numbers.by_ref().map(|(known, _)| known.to_owned()).collect(),
    })
}

impl Findings {
    /// Gathers the summaries of all cells, in order.
    ///
    /// # Errors
    /// When a run lacks a metric of the claim.
    pub fn new(
        claim: &Claim,
        cells: &[Cell],
        summaries: &[Summary],
        call_seconds: f64,
    ) -> Result<Self, ReportError> {
        let mut metrics = vec![claim.metric.clone()];
        let held = claim.holds.iter().flat_map(|r| [r.metric.as_str(), r.than_metric.as_str()]);
        let near = claim.narrows.iter().flat_map(|n| [n.metric.as_str(), n.than_metric.as_str()]);
        for name in held.chain(near).chain(["samples_per_second"]) {
            if !metrics.iter().any(|known| known == name) {
                metrics.push(name.to_owned());
            }
        }
        let runs = || cells.iter().zip(summaries);
        // In the order of the seeds, so that the values of two settings are pairs.
        let values = |setting: usize, name: &str| -> Result<Vec<f64>, ReportError> {
            let own = runs().filter(|(cell, _)| cell.setting == setting);
            own.map(|(cell, summary)| metric(summary, name).map_err(|error| error.of(&cell.name)))
                .collect()
        };
        let mut rows = Vec::new();
        for (place, setting) in claim.settings.iter().enumerate() {
            let spread = |name: &String| {
                Spread::of(&values(place, name)?).ok_or_else(|| ReportError::NoSetting {
                    label: setting.label().to_owned(),
                    lacks: "a run",
                })
            };
            let paper = claim.paper.as_ref().and_then(|p| p.values.get(setting.label()).copied());
            rows.push(Row {
                label: setting.label().to_owned(),
                number: setting.number(),
                paper,
                ours: metrics.iter().map(spread).collect::<Result<_, _>>()?,
            });
        }
        let place = |label: &str| {
            let place = claim.settings.iter().position(|setting| setting.label() == label);
            place
                .ok_or_else(|| ReportError::NoSetting { label: label.to_owned(), lacks: "a value" })
        };
        let mut judgements = Vec::new();
        for relation in &claim.holds {
            let Relation { better, than, metric, than_metric, .. } = relation;
            let [better, than] = [(better, metric), (than, than_metric)]
                .map(|(label, metric)| values(place(label)?, metric));
            judgements.extend(
                relation
                    .judge(&better?, &than?)
                    .map(|verdict| Judgement { held: verdict.held, sentence: verdict.to_string() }),
            );
        }
        let column = |name: &str| -> Vec<f64> {
            let place = metrics.iter().position(|known| known == name);
            place.map_or(Vec::new(), |place| {
                rows.iter().map(|row: &Row| row.ours[place].mean).collect()
            })
        };
        for narrowing in &claim.narrows {
            let (near, far) = (column(&narrowing.metric), column(&narrowing.than_metric));
            judgements.extend(
                narrowing.judge(&near, &far).map(|verdict| Judgement {
                    held: verdict.held(),
                    sentence: verdict.to_string(),
                }),
            );
        }
        let seconds = |summary: &Summary| summary.train.seconds + summary.eval_seconds;
        let axis = claim.axis.clone().unwrap_or_else(|| "setting".to_owned());
        Ok(Self {
            best: claim.best.and_then(|end| best(end, &axis, &claim.metric, &rows)),
            axis,
            metrics,
            paper: claim.paper.as_ref().map(|paper| paper.what.clone()),
            rows,
            judgements,
            run_seconds: summaries.iter().map(seconds).sum(),
            call_seconds,
        })
    }

    /// Whether every relation held.
    pub fn held(&self) -> bool {
        self.judgements.iter().all(|judgement| judgement.held)
    }

    /// The claim's verdict in a sentence, or the best setting if nothing must hold.
    pub fn verdict(&self) -> String {
        if let (Some(best), true) = (&self.best, self.judgements.is_empty()) {
            return best.clone();
        }
        let held = self.judgements.iter().filter(|judgement| judgement.held).count();
        let all = self.judgements.len();
        match held {
            _ if held == all => "The claim held here.".to_owned(),
            0 => "The claim did not hold here.".to_owned(),
            _ => format!("The claim did not hold here: {held} of {all} relations did."),
        }
    }

    /// The time that the runs and this call took, in words.
    pub fn time(&self) -> String {
        let minutes = |seconds: f64| {
            if seconds < 90.0 {
                format!("{seconds:.0} s")
            } else {
                format!("{:.1} min", seconds / 60.0)
            }
        };
        format!(
            "{} of training and evaluation; this call took {}",
            minutes(self.run_seconds),
            minutes(self.call_seconds)
        )
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut header = vec![self.axis.clone()];
        header.extend(self.paper.as_ref().map(|_| "paper".to_owned()));
        header.extend(self.metrics.iter().cloned());
        let mut lines = vec![header];
        for row in &self.rows {
            let mut line = vec![row.label.clone()];
            line.extend(
                self.paper
                    .as_ref()
                    .map(|_| row.paper.map_or_else(|| "-".to_owned(), |number| number.to_string())),
            );
            line.extend(row.ours.iter().map(spread));
            lines.push(line);
        }
        let width = |column: usize| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
        writeln!(f)?;
        for line in &lines {
            write!(f, "{:<width$}", line[0], width = widths[0])?;
            for (cell, width) in line.iter().zip(&widths).skip(1) {
                write!(f, "  {cell:>width$}")?;
            }
            writeln!(f)?;
        }
        let seeds = self.rows.first().map_or(0, |row| row.ours[0].count);
        write!(f, "ours: {}", over(seeds))?;
        match &self.paper {
            Some(what) => writeln!(f, "; paper: {what}")?,
            None => writeln!(f)?,
        }
        for judgement in &self.judgements {
            writeln!(f, "{}", judgement.sentence)?;
        }
        write!(f, "{} {}", self.verdict(), self.time())
    }
}

/// The best setting by the mean of the metric, the first column of the rows.
fn best(end: Best, axis: &str, metric: &str, rows: &[Row]) -> Option<String> {
    let mut ranked: Vec<&Row> = rows.iter().filter(|row| row.ours[0].mean.is_finite()).collect();
    ranked.sort_by(|a, b| end.compare(b.ours[0].mean, a.ours[0].mean));
    let first = ranked.first()?;
    let ahead = ranked.get(1).map_or_else(String::new, |second| {
        let margin = (first.ours[0].mean - second.ours[0].mean).abs();
        format!(", {} from {}", short(margin), second.label)
    });
    let (label, number) = (&first.label, spread(&first.ours[0]));
    Some(format!("Best by {metric}: {axis} {label} with {number}{ahead}."))
}

/// An explanation of `a ± b`.
pub(crate) fn over(seeds: usize) -> String {
    match seeds {
        1 => "one seed, so no standard deviation".to_owned(),
        seeds => format!("mean ± standard deviation over {seeds} seeds"),
    }
}

/// Formats mean and deviation, as in `0.4812 ± 0.0034`.
pub(crate) fn spread(spread: &Spread) -> String {
    match spread.deviation {
        Some(deviation) if spread.mean.abs() >= 10.0 => {
            format!("{} ± {deviation:.0}", short(spread.mean))
        }
        Some(deviation) => format!("{} ± {deviation:.4}", short(spread.mean)),
        None => short(spread.mean),
    }
}
