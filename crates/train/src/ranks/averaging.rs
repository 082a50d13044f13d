//! Means over the ranks of a step's gradients, sent during the backward pass.

use bauta_libtorch::{GradientMeans, LibtorchError, Sum};
use tch::Tensor;

use super::{Ranks, RanksError, buckets};

/// The averages of one step after the other.
///
/// Gradients are sent in buckets, those of the last parameters first, as backward comes to them.
/// A bucket waits for those before it, so that all ranks make the same calls, and is sent at the
/// end of backward where one of its parameters got no gradient.
#[derive(Debug)]
pub(crate) struct Averaging {
    ranks: Ranks,
    means: GradientMeans,
    /// The sum of the numbers that go with the gradients, and how many.
    told: Option<Sum>,
}

impl Averaging {
    /// Of the gradients of these parameters; none for a process that is alone.
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

    /// Sends some numbers, scalars in single precision on the CPU, and makes ready for the backward
    /// pass that comes next; `before` are the gradients of the step's inputs before it, or none.
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
            // Whatever comes of the numbers, nothing is under way afterwards.
            let (told, gradients) = (told.take().map(Sum::wait), means.finish());
            Ok((told.transpose()?, gradients?))
        });
        let Some((Some(told), mut gradients)) = made? else { return Ok(Default::default()) };
        gradients.reverse();
        Ok(((told / ranks.count() as i64).unbind(0), gradients))
    }
}
