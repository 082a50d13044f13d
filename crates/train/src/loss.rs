//! What an objective gives for an input: a number to lower, and what it is made of.

use tch::Tensor;

/// A scalar loss and, where it is a sum, its parts by name.
///
/// Nothing here waits for the device: parts are gathered there, like the loss itself, and read
/// at log steps. They reach `metrics.jsonl` as they are, before their weights.
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
#[derive(Debug)]
pub struct Loss {
    total: Tensor,
    parts: Vec<(&'static str, Tensor)>,
}

impl From<Tensor> for Loss {
    fn from(total: Tensor) -> Self {
        Self { total, parts: Vec::new() }
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
        Self { total: total.expect("a sum has at least one part"), parts: named }
    }

    /// The scalar whose gradient is taken.
    pub fn total(&self) -> &Tensor {
        &self.total
    }

    /// The parts by name, without gradient and before their weights; none where the loss is
    /// no sum.
    pub fn parts(&self) -> &[(&'static str, Tensor)] {
        &self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
