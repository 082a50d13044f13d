//! One task of a learner, for inference.

use bauta_backbones::{BareOutput, Mode, Weights};
use tch::{Kind, Tensor};

use crate::{Learner, SupermaskError};

/// Batch size.
const BATCH: i64 = 500;

/// A task with its effective weights; inference does not change it.
#[derive(Debug)]
pub struct View<'a> {
    pub(crate) learner: &'a Learner,
    pub(crate) task: usize,
    pub(crate) weights: Weights,
}

impl View<'_> {
    /// Maps inputs to logits [B, c], with the task's own running statistics.
    ///
    /// # Errors
    /// [`SupermaskError::Model`] when the input is of another shape.
    pub fn logits(&self, input: &Tensor) -> Result<Tensor, SupermaskError> {
        Ok(self.learner.head(self.task, self.pass(input)?.logits))
    }

    /// Maps inputs to the head's input [B, D].
    ///
    /// # Errors
    /// As [`Self::logits`].
    pub fn features(&self, input: &Tensor) -> Result<Tensor, SupermaskError> {
        Ok(self.pass(input)?.features)
    }

    /// The number of correctly classified inputs of a batch: a scalar on the device, for labels i64
    /// `[B]`.
    ///
    /// # Errors
    /// As [`Self::logits`].
    pub fn right(&self, input: &Tensor, labels: &Tensor) -> Result<Tensor, SupermaskError> {
        let told = self.logits(input)?.argmax(-1, false);
        Ok(told.eq_tensor(labels).sum(Kind::Float))
    }

    /// The fraction of correctly classified samples, a double on the device: inputs [N, …] are
    /// processed by `prepare` batch by batch, labels are i64 `[N]`.
    ///
    /// # Errors
    /// As [`Self::logits`].
    pub fn accuracy(
        &self,
        inputs: &Tensor,
        labels: &Tensor,
        prepare: impl Fn(&Tensor) -> Tensor,
    ) -> Result<Tensor, SupermaskError> {
        let count = labels.size()[0];
        let mut right = Tensor::zeros([] as [i64; 0], (Kind::Double, labels.device()));
        for from in (0..count).step_by(BATCH as usize) {
            let len = BATCH.min(count - from);
            let batch = prepare(&inputs.narrow(0, from, len));
            right += self.right(&batch, &labels.narrow(0, from, len))?;
        }
        Ok(right / count as f64)
    }

    fn pass(&self, input: &Tensor) -> Result<BareOutput, SupermaskError> {
        let Learner { network, tasks, .. } = self.learner;
        let statistics = &tasks[self.task].statistics;
        let pass = || network.forward(input, &self.weights, statistics, Mode::Evaluation);
        Ok(tch::no_grad(pass)?)
    }
}

/// Refuses labels i64 `[N]` outside 0..`classes`.
///
/// # Errors
/// [`SupermaskError::Labels`].
pub fn check_labels(labels: &Tensor, classes: usize) -> Result<(), SupermaskError> {
    if labels.numel() == 0 {
        return Ok(());
    }
    let (least, most) = (labels.min().int64_value(&[]), labels.max().int64_value(&[]));
    let fits = least >= 0 && most < classes as i64;
    fits.then_some(()).ok_or(SupermaskError::Labels { least, most, classes })
}
