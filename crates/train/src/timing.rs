//! The steps of a phase, timed.

use std::ops::Range;
use std::time::Instant;

use bauta_data::Inputs;
use bauta_libtorch::synchronize;

use crate::{Objective, StepMaker, TrainConfig, TrainError};

/// Steps made before the clock starts: libtorch's caches fill, the loader's queue empties.
pub const WARM_UP: u64 = 5;

/// What the steps of a phase took.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    /// Seconds of each timed step.
    pub step_seconds: Vec<f64>,
    /// Of these, seconds that the step waited for data.
    pub data_seconds: Vec<f64>,
    /// Samples in a step.
    pub samples_per_step: usize,
    /// Matrix-product operations of one sample's forward and backward pass.
    pub flops_per_sample: u64,
    /// Loss of the first step, warm-up included.
    pub first_loss: f64,
    /// Loss of the last step.
    pub last_loss: f64,
}

/// Trains for a few steps and then for `steps` timed ones.
///
/// A step's time runs from asking for its input to the moment the device has updated the
/// weights. On the CPU every call returns when it is done; a GPU is waited for at the end of
/// each step, and nowhere else.
///
/// # Errors
/// Whatever keeps a step from being made, and a loss that is not finite.
pub fn time_steps<O: Objective>(
    config: &TrainConfig,
    flops_per_sample: u64,
    objective: &mut O,
    mut feed: impl FnMut(Range<u64>) -> Inputs<O::Input>,
    steps: u64,
) -> Result<Timing, TrainError> {
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
    let (first_loss, last_loss) = (losses[0], losses[losses.len() - 1]);
    if !last_loss.is_finite() {
        let text = format!("the loss became {last_loss}; lower the learning rate");
        return Err(TrainError::Objective(text.into()));
    }
    let samples_per_step = config.batch_size * config.accumulate;
    Ok(Timing {
        step_seconds,
        data_seconds,
        samples_per_step,
        flops_per_sample,
        first_loss,
        last_loss,
    })
}
