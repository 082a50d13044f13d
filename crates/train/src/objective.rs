//! One system's step: from a prepared input to a loss.

use std::collections::HashMap;

use bauta_backbones::{Parameters, Preprocessing, checkpoint::Mismatch};
use tch::Tensor;

use crate::{Gradients, Loss};

/// Any error of an objective's step.
pub type ObjectiveError = Box<dyn std::error::Error + Send + Sync>;

/// The objective of a training run.
///
/// An input is made on the host, ahead of its step, by other threads: a batch with its mask
/// plan, say. The loss is taken on the device. A step calls, in this order: [`loss`](Self::loss)
/// for each of its inputs, [`adjust_gradients`](Self::adjust_gradients), and, when the
/// optimiser has changed the parameters, [`after_step`](Self::after_step). None of them should
/// wait for the device.
pub trait Objective {
    /// The host's part of a step.
    type Input: Send + 'static;

    /// Computes the loss of one input. A step may be aborted between its inputs, so what
    /// [`state`](Self::state) saves changes in [`after_step`](Self::after_step) alone.
    ///
    /// # Errors
    /// Whatever keeps the step from being made.
    fn loss(&mut self, input: &Self::Input) -> Result<Loss, ObjectiveError>;

    /// The parameters to train.
    fn parameters(&self) -> &Parameters;

    /// The model's `config.json`, which makes a checkpoint a model folder.
    fn config(&self) -> serde_json::Value;

    /// How pictures are preprocessed for the model, stored beside its `config.json`; nothing for a
    /// model without pictures.
    fn preprocessing(&self) -> Option<Preprocessing> {
        None
    }

    /// An input as named tensors, saved when its loss is not finite.
    fn tensors(&self, input: &Self::Input) -> Vec<(&'static str, Tensor)>;

    /// Changes the gradients of a step, before their norm is computed and clipped: masks of a
    /// subnetwork, means over devices.
    ///
    /// # Errors
    /// Whatever keeps the step from being made.
    fn adjust_gradients(&mut self, _gradients: &mut Gradients<'_>) -> Result<(), ObjectiveError> {
        Ok(())
    }

    /// Runs after a step: momentum encoders, queues. `step` counts the steps made in this phase
    /// before it, as the schedule does. No gradient is recorded in here.
    ///
    /// # Errors
    /// Whatever keeps the run from going on.
    fn after_step(&mut self, _step: u64) -> Result<(), ObjectiveError> {
        Ok(())
    }

    /// The objective's state besides its parameters, by name: queues, a momentum encoder's weights,
    /// counts. It is saved with each checkpoint.
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
