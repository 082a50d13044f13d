//! Observers of a long measurement, which can stop it.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bauta_data::Inputs;
use bauta_train::{End, Event, Objective, Phase, Progress, TrainConfig, Trainer};

use crate::EvalError;

/// Receives a measurement's progress, and can stop it.
///
/// An [`AtomicBool`] alone is also a watch, which shows nothing.
pub trait Watch {
    /// A flag that is set to end the measurement early.
    fn stop(&self) -> &AtomicBool;

    /// Called when a long part begins, such as `features of 500 images: trained`.
    fn begin(&self, what: &str);

    /// Called at each event of a training of `steps` optimiser steps in all.
    fn training(&self, event: &Event<'_>, steps: u64);
}

impl Watch for AtomicBool {
    fn stop(&self) -> &AtomicBool {
        self
    }

    fn begin(&self, _what: &str) {}

    fn training(&self, _event: &Event<'_>, _steps: u64) {}
}

/// Returns an error once `stop` is set.
pub(crate) fn go_on(stop: &AtomicBool) -> Result<(), EvalError> {
    match stop.load(Ordering::Relaxed) {
        true => Err(EvalError::Stopped),
        false => Ok(()),
    }
}

/// Folder, intervals and observer of a training protocol's metrics and checkpoints.
#[derive(Clone, Copy)]
pub struct TrainingRun<'a> {
    /// The folder, which is created if it does not exist.
    pub folder: &'a Path,
    /// Continue from the folder's last checkpoint, if there is one.
    pub resume: bool,
    /// Write a checkpoint every this many steps; with 0, only at the end and when stopped.
    pub checkpoint_every: u64,
    /// Write metrics every this many steps, at least 1.
    pub log_every: u64,
    /// The observer, which can stop the training; a checkpoint is then written.
    pub watch: &'a dyn Watch,
}

impl<'a> TrainingRun<'a> {
    /// A new run in `folder`, with a checkpoint at its end and metrics every 50 steps.
    pub fn new(folder: &'a Path, watch: &'a dyn Watch) -> Self {
        Self { folder, resume: false, checkpoint_every: 0, log_every: 50, watch }
    }

    /// Trains an objective as the only phase of the run and returns the final progress.
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
