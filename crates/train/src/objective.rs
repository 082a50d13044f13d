//! One system's step: from a prepared input to a loss.

use bauta_backbones::Parameters;
use tch::Tensor;

use crate::TrainError;

/// What a training run optimises.
///
/// An input is made on the host, ahead of its step, by the loader's threads: a
/// batch with its mask plan, say. The loss is taken on the device.
pub trait Objective {
    /// The host's part of a step.
    type Input: Send + 'static;

    /// The parameters to train.
    fn parameters(&self) -> &Parameters;

    /// Takes the loss of one input, without waiting for the device.
    ///
    /// # Errors
    /// Whatever keeps the step from being made.
    fn loss(&self, input: &Self::Input) -> Result<Tensor, TrainError>;

    /// The model's `config.json`, which makes a checkpoint a model folder.
    fn config(&self) -> serde_json::Value;

    /// An input as named tensors, saved when its loss is not finite.
    fn tensors(&self, input: &Self::Input) -> Vec<(&'static str, Tensor)>;
}
