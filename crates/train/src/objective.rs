//! One system's step: from a prepared input to a loss.

use std::collections::HashMap;

use bauta_backbones::{Parameters, Preprocessing, checkpoint::Mismatch};
use tch::Tensor;

use crate::{Gradients, Loss};

/// Any error of an objective's step.
pub type ObjectiveError = Box<dyn std::error::Error + Send + Sync>;

/// The objective of a training run.
///
/// An input, such as a batch with its mask plan, is prepared on the host by other threads, ahead
/// of its step. The loss is computed on the device. A step calls, in this order:
/// [`loss`](Self::loss) for each of its inputs, [`adjust_gradients`](Self::adjust_gradients), and,
/// when the optimiser has changed the parameters, [`after_step`](Self::after_step). None of them
/// should wait for the device.
pub trait Objective {
    /// The host's part of a step.
    type Input: Send + 'static;

    /// Computes the loss of one input. A step can be aborted between its inputs, so only
    /// [`after_step`](Self::after_step) may change what [`state`](Self::state) saves. Batch norms
    /// are an exception: with a parameter or state named `…running_mean`, no step is aborted.
    ///
    /// # Errors
    /// Any error that prevents the step.
    fn loss(&mut self, input: &Self::Input) -> Result<Loss, ObjectiveError>;

    /// The parameters to train.
    fn parameters(&self) -> &Parameters;

    /// The model's `config.json`, which makes a checkpoint a model folder.
    fn config(&self) -> serde_json::Value;

    /// How images are preprocessed for the model, stored next to its `config.json`; `None` for a
    /// model that takes no images.
    fn preprocessing(&self) -> Option<Preprocessing> {
        None
    }

    /// An input as named tensors, saved when its loss is not finite.
    fn tensors(&self, input: &Self::Input) -> Vec<(&'static str, Tensor)>;

    /// Changes the gradients of a step before their norm is computed and clipped, for example to
    /// mask those outside a subnetwork or to average over devices.
    ///
    /// # Errors
    /// Any error that prevents the step.
    fn adjust_gradients(&mut self, _gradients: &mut Gradients<'_>) -> Result<(), ObjectiveError> {
        Ok(())
    }

    /// Runs after a step, to update momentum encoders or queues. `step` counts the steps made in
    /// this phase before it, as the schedule does. No gradients are recorded in it.
    ///
    /// # Errors
    /// Any error that must end the run.
    fn after_step(&mut self, _step: u64) -> Result<(), ObjectiveError> {
        Ok(())
    }

    /// The objective's state other than its parameters, by name, such as queues, a momentum
    /// encoder's weights or counts. It is saved with each checkpoint.
    fn state(&self) -> Vec<(String, Tensor)> {
        Vec::new()
    }

    /// Continues from a saved [`state`](Self::state); the tensors are on the CPU.
    ///
    /// # Errors
    /// The names and shapes that do not agree.
    fn load_state(&mut self, saved: &HashMap<String, Tensor>) -> Result<(), Mismatch> {
        let mut unexpected: Vec<String> = saved.keys().cloned().collect();
        unexpected.sort();
        match unexpected.is_empty() {
            true => Ok(()),
            false => Err(Mismatch { unexpected, ..Mismatch::default() }),
        }
    }
}
