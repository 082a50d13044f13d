//! `metrics.jsonl`: one JSON object a log step.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use bauta_files::write_whole;
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// Means over the steps since the last record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Optimiser steps made so far.
    pub step: u64,
    /// Passes over the data so far.
    pub epoch: f64,
    /// Mean loss.
    pub loss: f64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Mean norm of the gradient, before clipping.
    pub grad_norm: f64,
    /// Samples trained on in a second.
    pub samples_per_second: f64,
    /// Seconds a step, on average.
    pub step_seconds: f64,
    /// Of these, seconds that the step waited for data.
    pub data_seconds: f64,
}

/// Appends records to a file.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Opens the log to go on after `step`; later records of a former life are dropped.
    ///
    /// # Errors
    /// [`TrainError::Io`] when the file cannot be read or written.
    pub fn open(path: &Path, step: u64) -> Result<Self, TrainError> {
        let mut kept = Vec::new();
        for record in Self::read(path)?.into_iter().filter(|record| record.step <= step) {
            serde_json::to_writer(&mut kept, &record).expect("a record is plain numbers");
            kept.push(b'\n');
        }
        write_whole(path, &kept).map_err(TrainError::io(path))?;
        let file = OpenOptions::new().append(true).open(path).map_err(TrainError::io(path))?;
        Ok(Self { path: path.into(), file })
    }

    /// Reads the whole records of a log; a missing file has none, and a line cut
    /// short by an interruption is left out.
    ///
    /// # Errors
    /// [`TrainError::Io`] when the file exists and cannot be read.
    pub fn read(path: &Path) -> Result<Vec<Record>, TrainError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(TrainError::io(path)(error)),
        };
        let mut records = Vec::new();
        for line in BufReader::new(file).lines() {
            let line = line.map_err(TrainError::io(path))?;
            records.extend(serde_json::from_str::<Record>(&line));
        }
        Ok(records)
    }

    /// Appends one record, as one write.
    ///
    /// # Errors
    /// [`TrainError::Io`] when the disk is full, for example.
    pub fn write(&mut self, record: &Record) -> Result<(), TrainError> {
        let mut line = serde_json::to_vec(record).expect("a record is plain numbers");
        line.push(b'\n');
        self.file.write_all(&line).map_err(TrainError::io(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(step: u64) -> Record {
        Record {
            step,
            epoch: 0.5,
            loss: 1.0,
            lr: 0.1,
            grad_norm: 2.0,
            samples_per_second: 3.0,
            step_seconds: 4.0,
            data_seconds: 0.0,
        }
    }

    #[test]
    fn resuming_drops_later_records_and_cut_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = MetricsLog::open(&path, 0).unwrap();
        for step in [10, 20, 30] {
            log.write(&record(step)).unwrap();
        }
        log.file.write_all(b"{\"step\": 40, \"lo").unwrap();
        assert_eq!(MetricsLog::read(&path).unwrap().len(), 3);
        let mut log = MetricsLog::open(&path, 20).unwrap();
        log.write(&record(30)).unwrap();
        let steps: Vec<u64> = MetricsLog::read(&path).unwrap().iter().map(|r| r.step).collect();
        assert_eq!(steps, [10, 20, 30]);
    }
}
