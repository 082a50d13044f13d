//! A claim's verdict as a small file that is kept, and the table of all of them.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use bauta_files::write_whole;
use bauta_recipe::claim::{Cell, Claim, Size};
use bauta_recipe::{Layers, Recipe};
use serde::{Deserialize, Serialize};

use super::findings::{Findings, spread};
use super::run::{check_alike, makes_the_same};
use crate::ReportError;
use crate::summary::Summary;

/// A record of a claim's results, without the runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The claim's name.
    pub claim: String,
    /// How large the runs were.
    pub size: Size,
    /// Whether every relation held.
    pub held: bool,
    /// One sentence for each relation and narrowing.
    pub sentences: Vec<String>,
    /// The metric that is compared.
    pub metric: String,
    /// Label of each setting, and mean over seeds with its standard deviation.
    pub settings: Vec<(String, String)>,
    /// Seeds of each setting.
    pub seeds: usize,
    /// Minutes of training and evaluation of all runs together.
    pub minutes: f64,
    /// Processor or device, threads and precision.
    pub machine: String,
    /// Version of Bauta.
    pub version: String,
    /// The commit of the work tree when this was recorded, with `+changes` if the tree differed;
    /// `None` if it was not in a repository, and in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// If the claim did not hold: possible reasons, and what was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

impl Record {
    /// The results of a claim's finished runs, computed on a processor of this name, without a
    /// commit.
    ///
    /// # Errors
    /// When a run lacks a metric.
    pub fn new(
        claim: &Claim,
        cells: &[Cell],
        summaries: &[Summary],
        processor: &str,
    ) -> Result<Self, ReportError> {
        let findings = Findings::new(claim, cells, summaries, 0.0)?;
        let first = summaries.first();
        let machine = first.map_or_else(String::new, |summary| summary.machine(processor));
        let settings = findings.rows.iter().map(|row| (row.label.clone(), spread(&row.ours[0])));
        Ok(Self {
            claim: claim.name.clone(),
            size: claim.size,
            held: findings.held(),
            settings: settings.collect(),
            metric: claim.metric.clone(),
            seeds: claim.seeds.len(),
            minutes: (findings.run_seconds / 6.0).round() / 10.0,
            machine,
            version: first.map_or_else(String::new, |summary| summary.version.clone()),
            sentences: findings.judgements.into_iter().map(|judged| judged.sentence).collect(),
            commit: None,
            remark: None,
        })
    }

    /// Keeps the remark of an earlier record; returns it instead if the metric or the settings are
    /// others now, or other relations held.
    pub fn keep_remark(&mut self, earlier: Self) -> Option<String> {
        if self.outline() != earlier.outline() {
            return earlier.remark;
        }
        self.remark = earlier.remark;
        None
    }

    /// The metric, the labels of the settings, and which relations held.
    fn outline(&self) -> (&str, Vec<&str>, Vec<bool>) {
        let labels = self.settings.iter().map(|(label, _)| label.as_str()).collect();
        let held = self.sentences.iter().map(|sentence| sentence.starts_with("held: ")).collect();
        (self.metric.as_str(), labels, held)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When the file cannot be read or is not a record.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let text =
            fs::read(path).map_err(|source| ReportError::Read { path: path.to_owned(), source })?;
        serde_json::from_slice(&text).map_err(|error| ReportError::Unusable {
            path: path.to_owned(),
            message: error.to_string(),
        })
    }

    /// Writes the record.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        let mut text = serde_json::to_vec_pretty(self).expect("words and numbers have a JSON form");
        text.push(b'\n');
        write_whole(path, &text).map_err(ReportError::write(path))
    }
}

/// The summaries of a claim's runs below `folder`, all of which are finished and were made by the
/// same program on the same device.
///
/// # Errors
/// [`ReportError::Unfinished`] for a run that is not, and [`ReportError::Unusable`] for one with
/// other settings than the claim's, or of another program or device than the others.
pub fn finished(cells: &[Cell], folder: &Path) -> Result<Vec<Summary>, ReportError> {
    let summary = |cell: &Cell| {
        let own = folder.join(&cell.name);
        let recipe = own.join("recipe.toml");
        if !recipe.is_file() {
            return Err(ReportError::NoRun(own));
        }
        match Recipe::load(&recipe, &Layers::default()) {
            Ok(recipe) if makes_the_same(&recipe, &cell.recipe) => {}
            _ => {
                let message = "was made with other settings than the claim has now".to_owned();
                return Err(ReportError::Unusable { path: recipe, message });
            }
        }
        let path = own.join("summary.json");
        if !path.is_file() {
            return Err(ReportError::Unfinished(own));
        }
        Summary::read(&path)
    };
    let summaries = cells.iter().map(summary).collect::<Result<Vec<_>, _>>()?;
    check_alike(cells, folder)?;
    Ok(summaries)
}

/// The table of verdicts, in Markdown: one row for each record, in order.
pub fn table(records: &[Record]) -> String {
    let mut out =
        "| claim | verdict | numbers | seeds | minutes | machine |\n|---|---|---|---|---|---|\n"
            .to_owned();
    for record in records {
        let form = record.size.table().map_or_else(String::new, |size| format!(" `--{size}`"));
        let verdict = if record.held { "held" } else { "**did not hold**" };
        let mut words = match &record.sentences[..] {
            // The verdict already says whether it held.
            [only] => only.split_once(": ").map_or(only.as_str(), |(_, rest)| rest).to_owned(),
            several => several.join("; "),
        };
        if let Some(remark) = &record.remark {
            write!(words, ". {remark}").expect("a string takes everything");
        }
        let numbers: Vec<String> =
            record.settings.iter().map(|(label, number)| format!("{label}: {number}")).collect();
        let mut machine = record.machine.clone();
        if let Some(commit) = &record.commit {
            write!(machine, "; recorded at commit {commit}").expect("a string takes everything");
        }
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        writeln!(
            out,
            "| `{}`{form} | {verdict}: {} | {} {} | {} | {} | {} |",
            record.claim,
            cell(&words),
            record.metric,
            cell(&numbers.join(", ")),
            record.seeds,
            format_args!("{:.1}", record.minutes),
            cell(&machine),
        )
        .expect("a string takes everything");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let setting = |label: &str| (label.to_owned(), "0.5000 ± 0.0100".to_owned());
        Record {
            claim: "mae-mask-ratio".to_owned(),
            size: Size::Quick,
            held: false,
            sentences: vec!["held: a beats b".to_owned(), "did not hold: c is behind a".to_owned()],
            metric: "linear_top1".to_owned(),
            settings: ["a", "b", "c"].map(setting).to_vec(),
            seeds: 2,
            minutes: 3.0,
            machine: "cpu, 2 threads, fp32".to_owned(),
            version: "0.1.0".to_owned(),
            commit: None,
            remark: None,
        }
    }

    #[test]
    fn a_commit_is_kept_and_shown_where_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        for (commit, shown) in [
            (None, "| cpu, 2 threads, fp32 |\n"),
            (Some("abc1234"), "| cpu, 2 threads, fp32; recorded at commit abc1234 |\n"),
        ] {
            let record = Record { commit: commit.map(str::to_owned), ..record() };
            record.write(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap().contains("commit"), commit.is_some());
            assert_eq!(Record::read(&path).unwrap(), record);
            assert!(table(&[record]).ends_with(shown));
        }
    }

    #[test]
    fn a_remark_stays_only_while_settings_and_verdicts_do() {
        let remark = Some("c is too small".to_owned());
        let earlier = || Record { remark: remark.clone(), ..record() };
        let mut again = Record { minutes: 2.0, ..record() };
        again.sentences[0] += " by 0.0100";
        assert_eq!(again.keep_remark(earlier()), None);
        assert_eq!(again.remark, remark);

        let mut other_verdict = record();
        other_verdict.sentences[1] = "held: c beats a".to_owned();
        let mut other_setting = record();
        other_setting.settings[2].0 = "d".to_owned();
        for mut other in [other_verdict, other_setting] {
            assert_eq!(other.keep_remark(earlier()), remark);
            assert_eq!(other.remark, None);
        }
        assert_eq!(record().keep_remark(record()), None);
    }
}
