//! `metrics.jsonl`: one JSON object per log step.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use bauta_files::write_whole;
use serde::{Deserialize, Serialize};

use crate::ReportError;

/// Means over the steps since the last record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The phase of the run; empty in logs from before runs had phases.
    #[serde(default)]
    pub phase: String,
    /// Optimiser steps made so far, over all phases.
    pub step: u64,
    /// Passes over the phase's data so far.
    pub epoch: f64,
    /// Mean loss.
    pub loss: f64,
    /// Means of the loss's named parts, before their weights.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, f64>,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Mean norm of the gradient, before clipping.
    pub grad_norm: f64,
    /// Samples trained on per second.
    pub samples_per_second: f64,
    /// Mean seconds per step.
    pub step_seconds: f64,
    /// Of these, seconds that the step waited for data.
    pub data_seconds: f64,
    /// Operations of matrix products per second, as a share of the processor's peak, in [0, 1];
    /// `None` if either is unknown, and in older logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_share: Option<f64>,
    /// The loss of predicting the mean of all targets, in the last step: that of a network that has
    /// learnt nothing but a bias. `None` if the objective does not compute it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_loss: Option<f64>,
    /// For a contrastive loss, the loss of a network with the same output for all samples, in the
    /// last step: ln(1 + K) per InfoNCE term with K negative keys. `None` for other losses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uninformed_loss: Option<f64>,
    /// Norm of the trained parameters after the last step; at log steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter_norm: Option<f64>,
    /// Norm of the change of these parameters in the last step; at log steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_norm: Option<f64>,
    /// Measurements of the features, if any.
    #[serde(flatten)]
    pub features: FeatureRecord,
}

/// Measurements of features during training; `None` if not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FeatureRecord {
    /// Accuracy of the nearest neighbours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knn_top1: Option<f64>,
    /// Effective rank, from 1 to the number of features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_rank: Option<f64>,
    /// Mean Euclidean norm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_norm: Option<f64>,
    /// Standard deviation over the images, averaged over the features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_std: Option<f64>,
}

impl Record {
    /// The share of a step that waits for data, in [0, 1].
    pub fn data_wait_share(&self) -> f64 {
        self.data_seconds / self.step_seconds.max(f64::MIN_POSITIVE)
    }

    /// The optional values of the record, by their names in [`MetricsLog`]'s file.
    pub fn optional(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let FeatureRecord { knn_top1, feature_rank, feature_norm, feature_std } = self.features;
        let values = [
            ("mean_loss", self.mean_loss),
            ("uninformed_loss", self.uninformed_loss),
            ("parameter_norm", self.parameter_norm),
            ("update_norm", self.update_norm),
            ("peak_share", self.peak_share),
            ("knn_top1", knn_top1),
            ("feature_rank", feature_rank),
            ("feature_norm", feature_norm),
            ("feature_std", feature_std),
        ];
        values.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

/// One line for a terminal, with the most important values first.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {:.4}", self.loss)?;
        if let Some(mean_loss) = self.mean_loss {
            write!(f, " (mean {mean_loss:.3})")?;
        }
        if let Some(uninformed) = self.uninformed_loss {
            write!(f, " (uninformed {uninformed:.3})")?;
        }
        write!(f, ", {:.0}/s", self.samples_per_second)?;
        let waiting = 100.0 * self.data_wait_share();
        if waiting >= 5.0 {
            write!(f, ", {waiting:.0} % waiting")?;
        }
        self.parts.iter().try_for_each(|(name, value)| write!(f, ", {name} {value:.3}"))
    }
}

/// Appends records to a file.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Opens the log to continue after `step`; records of later steps are dropped.
    ///
    /// # Errors
    /// [`ReportError::Read`] and [`ReportError::Write`] when the file cannot be used.
    pub fn open(path: &Path, step: u64) -> Result<Self, ReportError> {
        let mut kept = Vec::new();
        for record in Self::read(path)?.iter().filter(|record| record.step <= step) {
            kept.extend(line(record));
        }
        write_whole(path, &kept).map_err(ReportError::write(path))?;
        let file = OpenOptions::new().append(true).open(path).map_err(ReportError::write(path))?;
        Ok(Self { path: path.into(), file })
    }

    /// Reads the complete records of a log; a missing file has none, and a line cut short by an
    /// interruption is left out.
    ///
    /// # Errors
    /// [`ReportError::Read`] when the file exists and cannot be read.
    pub fn read(path: &Path) -> Result<Vec<Record>, ReportError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(ReportError::read(path)(error)),
        };
        let lines = bytes.split(|&byte| byte == b'\n');
        Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }

    /// Appends one record, as one write.
    ///
    /// # Errors
    /// [`ReportError::Write`] when the disk is full, for example.
    pub fn write(&mut self, record: &Record) -> Result<(), ReportError> {
        self.file.write_all(&line(record)).map_err(ReportError::write(&self.path))
    }

    /// Flushes the records to the disk; due with each checkpoint, since a run resumes there.
    ///
    /// # Errors
    /// [`ReportError::Write`] when the disk fails.
    pub fn flush(&self) -> Result<(), ReportError> {
        self.file.sync_all().map_err(ReportError::write(&self.path))
    }
}

fn line(record: &Record) -> Vec<u8> {
    let mut line = serde_json::to_vec(record).expect("a record is names and numbers");
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(step: u64) -> Record {
        let parts = BTreeMap::from([("pixels".to_owned(), 0.75), ("distance".to_owned(), 0.25)]);
        Record {
            phase: "main".to_owned(),
            step,
            epoch: 0.5,
            loss: 1.0,
            parts,
            peak_share: Some(0.25),
            features: FeatureRecord { knn_top1: Some(0.375), ..FeatureRecord::default() },
            ..Record::default()
        }
    }

    #[test]
    fn a_line_says_what_matters_most_first_and_waiting_where_there_is_any() {
        let quick = Record { samples_per_second: 1523.4, mean_loss: Some(0.979), ..record(10) };
        assert_eq!(
            quick.to_string(),
            "loss 1.0000 (mean 0.979), 1523/s, distance 0.250, pixels 0.750"
        );
        let contrastive = Record { uninformed_loss: Some(6.931), ..Record::default() };
        assert_eq!(contrastive.to_string(), "loss 0.0000 (uninformed 6.931), 0/s");
        let waiting = Record { step_seconds: 0.5, data_seconds: 0.1, ..Record::default() };
        assert_eq!(waiting.to_string(), "loss 0.0000, 0/s, 20 % waiting");
    }

    #[test]
    fn what_was_not_measured_is_not_written() {
        let text = String::from_utf8(line(&record(10))).unwrap();
        assert!(text.contains(r#""peak_share":0.25,"knn_top1":0.375}"#), "{text}");
        assert!(!text.contains("feature_rank") && !text.contains("mean_loss"), "{text}");
        let found: Vec<_> = record(10).optional().collect();
        assert_eq!(found, [("peak_share", 0.25), ("knn_top1", 0.375)]);
    }

    #[test]
    fn resuming_drops_later_records_and_cut_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path, 0).unwrap();
        for step in [10, 20, 30] {
            log.write(&record(step)).unwrap();
        }
        // Cut within a character.
        log.file.write_all(b"{\"step\": 40, \"phase\": \"\xc3").unwrap();
        log.flush().unwrap();
        assert_eq!(MetricsLog::read(&path).unwrap(), [10, 20, 30].map(record));
        let mut log = MetricsLog::open(&path, 20).unwrap();
        log.write(&record(30)).unwrap();
        assert_eq!(MetricsLog::read(&path).unwrap(), [10, 20, 30].map(record));
    }

    #[test]
    fn a_log_without_phases_and_parts_still_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        assert_eq!(MetricsLog::read(&path).unwrap(), [], "a missing log has no records");
        let old = r#"{"step":50,"epoch":0.25,"loss":1.5,"lr":0.001,"grad_norm":2.0,"samples_per_second":900.0,"step_seconds":0.1,"data_seconds":0.0}"#;
        fs::write(&path, format!("{old}\n")).unwrap();
        let [record] = &MetricsLog::read(&path).unwrap()[..] else { panic!("one record") };
        assert_eq!((record.step, record.loss, record.grad_norm), (50, 1.5, 2.0));
        assert!(record.phase.is_empty() && record.parts.is_empty());
        assert_eq!(record.peak_share, None);
    }
}
