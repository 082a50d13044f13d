//! Timing of a phase's steps.

use std::ops::Range;
use std::time::Instant;

use bauta_data::Inputs;
use bauta_libtorch::synchronize;

use crate::{Objective, StepMaker, TrainConfig, TrainError};

/// Steps made before the clock starts: libtorch's caches fill, the loader's queue empties.
pub const WARM_UP: u64 = 5;

/// The times of a phase's steps.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTimes {
    /// Seconds of each timed step.
    pub step_seconds: Vec<f64>,
    /// The part of these seconds that each step waited for data.
    pub data_seconds: Vec<f64>,
    /// Samples in a step.
    pub samples_per_step: usize,
    /// Loss of the first step, warm-up included.
    pub first_loss: f64,
    /// Loss of the last step.
    pub last_loss: f64,
}

/// Trains for [`WARM_UP`] steps and then for `steps` timed ones; saves nothing.
///
/// A step's time runs from asking for its input to the moment the device has updated the
/// weights. On the CPU every call is synchronous; a GPU is waited for at the end of each
/// step, and nowhere else.
///
/// # Errors
/// As [`StepMaker::make`].
pub fn time_steps<O: Objective>(
    config: &TrainConfig,
    objective: &mut O,
    mut feed: impl FnMut(Range<u64>) -> Inputs<O::Input>,
    steps: u64,
) -> Result<StepTimes, TrainError> {
    let device = objective.parameters().device();
    let mut inputs = feed(0..(WARM_UP + steps) * config.accumulate as u64);
    let mut maker = StepMaker::new(objective, config);
    let (mut step_seconds, mut data_seconds) = (Vec::new(), Vec::new());
    for step in 0..WARM_UP + steps {
        let (start, waited) = (Instant::now(), inputs.waited());
        maker.make(&mut inputs, config.schedule.at(step), step)?;
        synchronize(device);
        if step >= WARM_UP {
            step_seconds.push(start.elapsed().as_secs_f64());
            data_seconds.push((inputs.waited() - waited).as_secs_f64());
        }
    }
    let losses = maker.read().losses;
    Ok(StepTimes {
        step_seconds,
        data_seconds,
        samples_per_step: config.batch_size * config.accumulate,
        first_loss: losses[0],
        last_loss: losses[losses.len() - 1],
    })
}
