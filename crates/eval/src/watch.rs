//! Observers of a long measurement, which may stop it.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bauta_data::Inputs;
use bauta_train::{End, Event, Objective, Phase, Progress, TrainConfig, Trainer};

use crate::EvalError;

/// Receives a measurement's progress, and can stop it.
///
/// A flag alone is a watch, too: it shows nothing.
pub trait Watch {
    /// Set to end it early.
    fn stop(&self) -> &AtomicBool;

    /// A part begins that takes a while, such as `features of 500 images: trained`.
    fn begin(&self, what: &str);

    /// Training, of `steps` optimiser steps in all, came to `event`.
    fn training(&self, event: &Event<'_>, steps: u64);
}

impl Watch for AtomicBool {
    fn stop(&self) -> &AtomicBool {
        self
    }

    fn begin(&self, _what: &str) {}

    fn training(&self, _event: &Event<'_>, _steps: u64) {}
}

/// Refuses to go on once `stop` is set.
pub(crate) fn go_on(stop: &AtomicBool) -> Result<(), EvalError> {
    match stop.load(Ordering::Relaxed) {
        true => Err(EvalError::Stopped),
        false => Ok(()),
    }
}

/// Folder, frequency and observer of a training protocol's metrics and checkpoints.
#[derive(Clone, Copy)]
pub struct TrainingRun<'a> {
    /// The folder; made if it is not there.
    pub folder: &'a Path,
    /// Continue from the folder's last checkpoint, if there is one.
    pub resume: bool,
    /// Write a checkpoint every this many steps; 0 only at the end, and when stopped.
    pub checkpoint_every: u64,
    /// Write metrics every this many steps, at least 1.
    pub log_every: u64,
    /// Receives the progress; may stop it, which writes a checkpoint.
    pub watch: &'a dyn Watch,
}

impl<'a> TrainingRun<'a> {
    /// A run that begins in this folder, with a checkpoint at its end and metrics every 50 steps.
    pub fn new(folder: &'a Path, watch: &'a dyn Watch) -> Self {
        Self { folder, resume: false, checkpoint_every: 0, log_every: 50, watch }
    }

    /// Trains an objective as the only phase of the run: its progress in the end.
    ///
    /// # Errors
    /// [`EvalError::TrainingStopped`] when the watch ends it, and those of [`Trainer::fit`].
    pub(crate) fn fit<O: Objective>(
        self,
        name: &str,
        config: TrainConfig,
        objective: &mut O,
        feed: impl FnMut(Range<u64>) -> Inputs<O::Input>,
    ) -> Result<Progress, EvalError> {
        let Self { checkpoint_every, log_every, .. } = self;
        let phase = Phase::new(name, TrainConfig { checkpoint_every, log_every, ..config });
        let steps = phase.config.schedule.steps;
        let mut trainer = Trainer::open(self.folder, self.resume, self.watch.stop())?;
        let observe = |event: Event<'_>| self.watch.training(&event, steps);
        match trainer.fit(&phase, objective, feed, observe)? {
            End::Finished | End::Earlier => Ok(trainer.progress().clone()),
            End::Stopped { step } => Err(EvalError::TrainingStopped { step }),
        }
    }
}
