//! The training loop.
//!
//! It starts in one of two ways: fresh, or from the run's last checkpoint. Losses
//! and norms are read from the device every `log_every` steps; the first that
//! is not finite stops the run.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bauta_backbones::checkpoint::write_tensors;
use bauta_data::Batches;

use crate::{
    AdamWConfig, Checkpoints, MetricsLog, Objective, Progress, Record, Schedule, StepMaker,
    TrainError,
};

/// Arithmetic of matrix products; parameters and losses stay in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Single precision.
    #[default]
    Fp32,
    /// bfloat16 autocast.
    Bf16,
}

/// Where a stage stands in its run, for runs that train one student after another.
///
/// Steps are counted on through the stages of a run; the schedule begins anew in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// Its number, from 0.
    pub index: u32,
    /// Steps of the stages before it.
    pub first_step: u64,
    /// Begin with the optimiser state of the stage before it.
    pub keep_optimizer: bool,
}

/// How a run trains.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainConfig {
    /// The stage; the first for runs that have no other.
    pub stage: Stage,
    /// Learning rate and number of optimiser steps, of one stage.
    pub schedule: Schedule,
    /// Optimiser steps in a pass over the data.
    pub steps_per_epoch: u64,
    /// Samples in one input.
    pub batch_size: usize,
    /// Inputs in one optimiser step; their gradients are averaged.
    pub accumulate: usize,
    /// Optimiser settings.
    pub adamw: AdamWConfig,
    /// Clip the gradient's global norm to this.
    pub clip_grad: Option<f64>,
    /// Decay of an average of the weights, kept beside them.
    pub ema: Option<f64>,
    /// Arithmetic of the forward pass.
    pub precision: Precision,
    /// Write a checkpoint every this many steps; 0 only at the end.
    pub checkpoint_every: u64,
    /// Read losses and write metrics every this many steps.
    pub log_every: u64,
}

/// What the loop tells while it runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step was made; not yet read from the device.
    Step {
        /// Steps made so far.
        step: u64,
    },
    /// Metrics were read and written.
    Record(&'a Record),
    /// A checkpoint was written.
    Checkpoint(&'a Path),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Where it stands.
    pub progress: Progress,
    /// Whether it was stopped before the end of its schedule.
    pub stopped: bool,
}

/// Trains `objective` to the end of its schedule, or until `stop` is set.
///
/// `feed` gives the inputs of a range of input steps (`accumulate` of them an
/// optimiser step), the same for the same step in any life of the run. With
/// `resume`, goes on from the last checkpoint of `run_folder`, if there is one; a later
/// stage begins at the checkpoint that ended the one before it.
/// When `stop` is set the present step is finished and a checkpoint written.
/// With `ema`, the averaged weights replace the trained ones at the end.
///
/// # Errors
/// Whatever keeps the run from going on; the last checkpoint stands then.
pub fn fit<O: Objective>(
    objective: &O,
    mut feed: impl FnMut(Range<u64>) -> Batches<O::Input>,
    config: &TrainConfig,
    run_folder: &Path,
    resume: bool,
    stop: &AtomicBool,
    mut observe: impl FnMut(Event<'_>),
) -> Result<Outcome, TrainError> {
    let Stage { first_step, index, .. } = config.stage;
    let steps = first_step + config.schedule.steps;
    let micro = config.accumulate as u64;
    let checkpoints = Checkpoints::of(run_folder);
    let mut step = StepMaker::new(objective, config);
    let mut progress = match checkpoints.last().filter(|_| resume || index > 0) {
        Some(last) => step.load(&last)?,
        None => Progress::default(),
    };
    progress.stage = index;
    let metrics_path = run_folder.join("metrics.jsonl");
    let mut metrics = MetricsLog::open(&metrics_path, progress.step)?;
    let mut batches = feed(progress.step * micro..steps * micro);
    let mut window = Window::open(&batches);

    while progress.step < steps && !stop.load(Ordering::Relaxed) {
        let lr = config.schedule.at(progress.step - first_step);
        step.make(&mut batches, lr, progress.step)?;
        progress.step += 1;
        observe(Event::Step { step: progress.step });

        let every = |period: u64| period > 0 && progress.step.is_multiple_of(period);
        let stopping = progress.step == steps || stop.load(Ordering::Relaxed);
        let saving = stopping || every(config.checkpoint_every);
        if saving || every(config.log_every) || progress.step == 1 {
            let (losses, norms) = step.read();
            let first = progress.step - losses.len() as u64;
            if let Some(place) = (0..losses.len()).find(|&i| !(losses[i] + norms[i]).is_finite()) {
                let at = first + place as u64;
                let batch = run_folder.join("non-finite-batch.safetensors");
                save_inputs(objective, feed(at * micro..(at + 1) * micro), &batch)?;
                let (loss, grad_norm) = (losses[place], norms[place]);
                return Err(TrainError::NonFinite { step: at, loss, grad_norm, batch });
            }
            let record = window.close(&batches, config, &mut progress, &losses, &norms, lr);
            metrics.write(&record)?;
            observe(Event::Record(&record));
        }
        if saving {
            let path = step.save(&checkpoints, &progress)?;
            observe(Event::Checkpoint(&path));
            window = Window::open(&batches);
        }
    }
    let stopped = progress.step < steps;
    if let Some(ema) = step.ema().filter(|_| !stopped) {
        ema.apply();
    }
    Ok(Outcome { progress, stopped })
}

/// Time since the last log step.
struct Window {
    start: Instant,
    waited: Duration,
    skipped: u64,
}

impl Window {
    fn open<T>(batches: &Batches<T>) -> Self {
        Self { start: Instant::now(), waited: batches.waited(), skipped: batches.skipped() }
    }

    /// Adds the window to the run's progress and makes its record.
    fn close<T>(
        &mut self,
        batches: &Batches<T>,
        config: &TrainConfig,
        progress: &mut Progress,
        losses: &[f64],
        norms: &[f64],
        lr: f64,
    ) -> Record {
        let seconds = self.start.elapsed().as_secs_f64();
        let waited = (batches.waited() - self.waited).as_secs_f64();
        let steps = losses.len() as f64;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / steps;
        progress.seconds += seconds;
        progress.data_seconds += waited;
        progress.skipped += batches.skipped() - self.skipped;
        progress.first_loss.get_or_insert(losses[0]);
        progress.final_loss = Some(mean(losses));
        *self = Self::open(batches);
        Record {
            step: progress.step,
            epoch: progress.step as f64 / config.steps_per_epoch as f64,
            loss: mean(losses),
            lr,
            grad_norm: mean(norms),
            samples_per_second: steps * (config.batch_size * config.accumulate) as f64 / seconds,
            step_seconds: seconds / steps,
            data_seconds: waited / steps,
        }
    }
}

/// Saves the inputs of a step as `INPUT.NAME` tensors.
fn save_inputs<O: Objective>(
    objective: &O,
    inputs: Batches<O::Input>,
    path: &Path,
) -> Result<(), TrainError> {
    let mut tensors = Vec::new();
    for (place, input) in inputs.enumerate() {
        for (name, tensor) in objective.tensors(&input?) {
            tensors.push((format!("{place}.{name}"), tensor));
        }
    }
    write_tensors(path, tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)))?;
    Ok(())
}
