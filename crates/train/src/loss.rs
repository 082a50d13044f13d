//! An objective's result for an input: the loss and its parts.

use std::fmt;

use tch::Tensor;

use crate::ObjectiveError;

/// A scalar loss and, if it is a sum, its parts by name.
///
/// Nothing here waits for the device: parts stay there, like the loss itself, and are read
/// at log steps. They are written to `metrics.jsonl` before weighting.
///
/// ```
/// use bauta_train::Loss;
/// use tch::Tensor;
///
/// let (image, latent) = (Tensor::from(0.5_f32), Tensor::from(2.0_f32));
/// let loss = Loss::sum([("image", 1.0, image), ("latent", 0.25, latent)]);
/// assert_eq!(loss.total().double_value(&[]), 1.0);
/// assert_eq!(loss.parts()[1].1.double_value(&[]), 2.0);
/// ```
pub struct Loss {
    total: Tensor,
    parts: Vec<(&'static str, Tensor)>,
    reference: Option<(Reference, Taken)>,
}

/// A reference that the loss must fall below before anything has been learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// The loss of predicting the mean of all targets of the step.
    Mean,
    /// For a contrastive loss, that of a network with the same output for all samples.
    Uninformed,
}

/// A scalar that is computed on demand.
type Taken = Box<dyn FnOnce() -> Result<Tensor, ObjectiveError>>;

impl From<Tensor> for Loss {
    fn from(total: Tensor) -> Self {
        Self { total, parts: Vec::new(), reference: None }
    }
}

impl fmt::Debug for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { total, parts, reference } = self;
        let reference = reference.as_ref().map(|(reference, _)| reference);
        f.debug_struct("Loss")
            .field("total", total)
            .field("parts", parts)
            .field("reference", &reference)
            .finish()
    }
}

impl Loss {
    /// Sums weight · part from the first to the last; each part has a name, a weight and a
    /// scalar.
    ///
    /// # Panics
    /// When there is no part.
    pub fn sum(parts: impl IntoIterator<Item = (&'static str, f64, Tensor)>) -> Self {
        let mut total: Option<Tensor> = None;
        let mut named = Vec::new();
        for (name, weight, part) in parts {
            let weighted = if weight == 1.0 { part.shallow_clone() } else { &part * weight };
            total = Some(total.map_or_else(|| weighted.shallow_clone(), |sum| sum + &weighted));
            named.push((name, part.detach()));
        }
        Self { total: total.expect("a sum has at least one part"), parts: named, reference: None }
    }

    /// Adds a reference: the loss of predicting the mean of all targets of the step, the best of a
    /// network that has learnt nothing but a bias.
    ///
    /// It is computed only at log steps, without gradients, and must not wait for the device.
    pub fn beside<E: Into<ObjectiveError> + 'static>(
        self,
        of_mean: impl FnOnce() -> Result<Tensor, E> + 'static,
    ) -> Self {
        let taken = Box::new(|| of_mean().map_err(Into::into));
        Self { reference: Some((Reference::Mean, taken)), ..self }
    }

    /// Adds as reference the loss of a network with the same output for all samples, if known.
    pub fn beside_uninformed(self, uninformed: Option<Tensor>) -> Self {
        let taken = uninformed.map(|loss| (Reference::Uninformed, Box::new(|| Ok(loss)) as Taken));
        Self { reference: taken.or(self.reference), ..self }
    }

    /// Computes the reference, a scalar; `None` if there is none or it was computed before.
    ///
    /// # Errors
    /// The error of computing it.
    pub fn reference(&mut self) -> Result<Option<(Reference, Tensor)>, ObjectiveError> {
        let taken = self.reference.take();
        taken.map(|(reference, taken)| Ok((reference, tch::no_grad(taken)?))).transpose()
    }

    /// The scalar whose gradient is taken.
    pub fn total(&self) -> &Tensor {
        &self.total
    }

    /// The parts by name, without gradient and before weighting; empty if the loss is not a sum.
    pub fn parts(&self) -> &[(&'static str, Tensor)] {
        &self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_of_the_mean_is_taken_once_and_when_it_is_wanted() {
        let x = Tensor::from(3.0_f32).set_requires_grad(true);
        let doubled = x.shallow_clone();
        let mut loss = Loss::from(x.square()).beside(move || Ok::<_, ObjectiveError>(doubled * 2));
        let (reference, of_mean) = loss.reference().unwrap().unwrap();
        assert_eq!((reference, of_mean.double_value(&[])), (Reference::Mean, 6.0));
        assert!(!of_mean.requires_grad());
        assert!(loss.reference().unwrap().is_none());
        let mut failing = Loss::from(x.shallow_clone()).beside(|| Err("no targets"));
        assert_eq!(failing.reference().unwrap_err().to_string(), "no targets");
        let told =
            |uninformed| Loss::from(x.shallow_clone()).beside_uninformed(uninformed).reference();
        let (reference, loss) = told(Some(Tensor::from(7.0_f32))).unwrap().unwrap();
        assert_eq!((reference, loss.double_value(&[])), (Reference::Uninformed, 7.0));
        assert!(told(None).unwrap().is_none());
    }

    #[test]
    fn a_sum_has_the_gradient_of_its_formula() {
        let x = Tensor::from(3.0_f32).set_requires_grad(true);
        let parts = [("square", 1.0, x.square()), ("cube", 0.5, x.pow_tensor_scalar(3))];
        let loss = Loss::sum(parts);
        assert_eq!(loss.total().double_value(&[]), 9.0 + 13.5);
        loss.total().backward();
        assert_eq!(x.grad().double_value(&[]), 6.0 + 13.5);
        let parts: Vec<_> =
            loss.parts().iter().map(|(name, part)| (*name, part.double_value(&[]))).collect();
        assert_eq!(parts, [("square", 9.0), ("cube", 27.0)]);
        assert!(loss.parts().iter().all(|(_, part)| !part.requires_grad()));
    }
}
