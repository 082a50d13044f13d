//! Averages of a step's gradients over the ranks, exchanged during the backward pass.

use bauta_libtorch::{GradientMeans, LibtorchError, Sum};
use tch::Tensor;

use super::{Ranks, RanksError, buckets};

/// Averages gradients over the ranks, step after step.
///
/// Gradients are sent in buckets, those of the last parameters first, as the backward pass reaches
/// them. A bucket waits for those before it, so that all ranks make the same calls, and is sent at
/// the end of the backward pass if one of its parameters got no gradient.
#[derive(Debug)]
pub(crate) struct Averaging {
    ranks: Ranks,
    means: GradientMeans,
    /// The pending sum of the numbers that are sent with the gradients.
    told: Option<Sum>,
}

impl Averaging {
    /// Averages the gradients of `parameters`; `None` for a single process.
    ///
    /// # Errors
    /// [`LibtorchError::Call`] for a parameter that takes no gradient.
    pub(crate) fn of(ranks: &Ranks, parameters: &[Tensor]) -> Result<Option<Self>, LibtorchError> {
        if ranks.count() == 1 {
            return Ok(None);
        }
        let reversed: Vec<Tensor> = parameters.iter().rev().map(Tensor::shallow_clone).collect();
        let sizes: Vec<usize> = reversed.iter().map(Tensor::numel).collect();
        let ends: Vec<usize> = buckets(&sizes).into_iter().map(|bucket| bucket.end).collect();
        let means = GradientMeans::watch(&reversed, &ends)?;
        Ok(Some(Self { ranks: ranks.clone(), means, told: None }))
    }

    /// Sends some numbers, scalars in single precision on the CPU, and prepares for the next
    /// backward pass; `before` holds the gradients of the step's earlier inputs, or is empty.
    pub(crate) fn begin(
        &mut self,
        numbers: &[Tensor],
        before: &[Tensor],
    ) -> Result<(), RanksError> {
        let before: Vec<Tensor> = before.iter().rev().map(Tensor::shallow_clone).collect();
        let told = Tensor::stack(numbers, 0).detach();
        self.told = self.ranks.call(|connections| {
            let sum = connections.begin_sum(told)?;
            self.means.begin(connections, &before)?;
            Ok(sum)
        })?;
        Ok(())
    }

    /// Waits for the means of the numbers and of the gradients, in the order of the parameters.
    pub(crate) fn finish(&mut self) -> Result<(Vec<Tensor>, Vec<Tensor>), RanksError> {
        let Self { ranks, means, told } = self;
        let made = ranks.call(|_| {
            // Both are waited for, so that no exchange is pending even after an error.
            let (told, gradients) = (told.take().map(Sum::wait), means.finish());
            Ok((told.transpose()?, gradients?))
        });
        let Some((Some(told), mut gradients)) = made? else { return Ok(Default::default()) };
        gradients.reverse();
        Ok(((told / ranks.count() as i64).unbind(0), gradients))
    }
}
