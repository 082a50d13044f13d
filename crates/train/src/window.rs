//! The window between two log steps: times and means for a record.

use std::time::{Duration, Instant};

use bauta_data::Inputs;
use bauta_report::{FeatureRecord, Record};

use crate::step::Readings;
use crate::{Phase, Progress, Reference};

/// Time since the last log step.
pub(crate) struct Window {
    start: Instant,
    waited: Duration,
    skipped: u64,
}

impl Window {
    pub(crate) fn open<T>(inputs: &Inputs<T>) -> Self {
        Self { start: Instant::now(), waited: inputs.waited(), skipped: inputs.skipped() }
    }

    /// Adds the window to the run's progress, makes its record, and opens the next.
    pub(crate) fn close<T>(
        &mut self,
        inputs: &Inputs<T>,
        phase: &Phase,
        progress: &mut Progress,
        read: Readings,
        lr: f64,
    ) -> Record {
        let config = &phase.config;
        let seconds = self.start.elapsed().as_secs_f64();
        let waited = (inputs.waited() - self.waited).as_secs_f64();
        let made = read.losses.len();
        let steps = made as f64;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / steps;
        let samples = made * config.batch_size * config.accumulate;
        progress.samples += samples as u64;
        progress.seconds += seconds;
        progress.data_seconds += waited;
        progress.skipped += inputs.skipped() - self.skipped;
        progress.first_loss.get_or_insert(read.losses[0]);
        progress.final_loss = Some(mean(&read.losses));
        *self = Self::open(inputs);
        let reference = |wanted| read.reference.filter(|of| of.0 == wanted).map(|of| of.1);
        let [mean_loss, uninformed_loss] = [Reference::Mean, Reference::Uninformed].map(reference);
        Record {
            phase: phase.name.clone(),
            step: progress.step,
            epoch: progress.phase_step as f64 / config.steps_per_epoch as f64,
            loss: mean(&read.losses),
            parts: read.parts,
            lr,
            grad_norm: mean(&read.norms),
            samples_per_second: samples as f64 / seconds,
            step_seconds: seconds / steps,
            data_seconds: waited / steps,
            peak_share: None,
            mean_loss,
            uninformed_loss,
            parameter_norm: read.parameter_norm,
            update_norm: read.update_norm,
            features: FeatureRecord::default(),
        }
    }
}
