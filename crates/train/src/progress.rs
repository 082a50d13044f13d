//! A run's progress: `state.json` of a checkpoint.

use std::fs;
use std::path::Path;

use bauta_report::Training;
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// A run's progress over all its phases and restarts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The phase being trained, or trained last; empty before the first.
    pub phase: String,
    /// Optimiser steps made in this phase.
    pub phase_step: u64,
    /// Optimiser steps of this phase in all.
    pub phase_steps: u64,
    /// The phases before this one, in order.
    pub finished: Vec<String>,
    /// Optimiser steps made in all phases.
    pub step: u64,
    /// Samples in the inputs of these steps.
    pub samples: u64,
    /// Seconds spent on them.
    pub seconds: f64,
    /// The part of these seconds that steps waited for data.
    pub data_seconds: f64,
    /// Samples left out because they could not be read.
    pub skipped: u64,
    /// Loss of the first step.
    pub first_loss: Option<f64>,
    /// Mean loss of the last log window.
    pub final_loss: Option<f64>,
}

impl Progress {
    /// The summary of the training of a network with `parameters` parameters.
    pub fn training(&self, parameters: usize) -> Training {
        Training {
            steps: self.step,
            samples: self.samples,
            seconds: self.seconds,
            samples_per_second: self.samples as f64 / self.seconds,
            data_seconds: self.data_seconds,
            skipped_samples: self.skipped,
            first_loss: self.first_loss,
            final_loss: self.final_loss,
            parameters,
        }
    }

    /// The run's progress when the checkpoint in `folder` was written.
    ///
    /// # Errors
    /// [`TrainError::Io`] or [`TrainError::Checkpoint`] when `state.json` is missing or broken.
    pub fn read(folder: &Path) -> Result<Self, TrainError> {
        let path = folder.join("state.json");
        let text = fs::read_to_string(&path).map_err(TrainError::io(&path))?;
        serde_json::from_str(&text).map_err(|error| TrainError::Checkpoint {
            reason: format!(
                "cannot read the state of training: {error}; go on with the version that wrote it, \
                 or start the run again"
            ),
            path,
        })
    }

    /// Whether a phase has made all its steps.
    pub fn is_over(&self, phase: &str) -> bool {
        let present = self.phase == phase && self.phase_step >= self.phase_steps;
        !phase.is_empty() && (present || self.is_earlier(phase))
    }

    /// Whether a later phase has begun.
    pub(crate) fn is_earlier(&self, phase: &str) -> bool {
        self.finished.iter().any(|name| name == phase)
    }

    /// Ends the current phase where it stands, if it is this one; whether that changed anything.
    pub(crate) fn abandon(&mut self, phase: &str) -> bool {
        let unfinished = self.phase == phase && !self.is_over(phase);
        if unfinished {
            self.phase_steps = self.phase_step;
        }
        unfinished
    }

    /// Ends the current phase, if there is one, and begins another with `steps` steps.
    pub(crate) fn begin(&mut self, phase: &str, steps: u64) {
        let former = std::mem::replace(&mut self.phase, phase.to_owned());
        if !former.is_empty() {
            self.finished.push(former);
        }
        (self.phase_step, self.phase_steps) = (0, steps);
    }
}
