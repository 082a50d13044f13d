//! Gradient descent with momentum, with or without LARS trust ratios, for several
//! heads in parallel.
//!
//! LARS as in MAE's linear probe (You et al. 2017): a matrix steps by a
//! fixed fraction of its own norm, whatever the scale of its gradient.

use tch::{Kind, Tensor};

/// Settings that are the same in every step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Momentum {
    /// Share of the previous direction that is kept.
    pub momentum: f64,
    /// Weight decay of matrices; vectors have none.
    pub weight_decay: f64,
    /// LARS: ratio of the step's length to the norm of a matrix at learning rate 1; `None` for
    /// plain momentum. Vectors are not scaled.
    pub trust: Option<f64>,
}

/// The same parameter of R independent heads [R, …], with its momentum.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub value: Tensor,
    direction: Tensor,
    rates: Tensor,
}

impl Parameter {
    /// Starts at `value` without momentum. Each head steps at the learning rate times its
    /// entry in `rates`.
    pub fn new(value: Tensor, rates: &[f64]) -> Self {
        let mut shape = vec![1; value.dim()];
        shape[0] = rates.len() as i64;
        let rates = Tensor::from_slice(rates).to_kind(Kind::Float).to_device(value.device());
        Self { direction: value.zeros_like(), rates: rates.view(shape.as_slice()), value }
    }

    /// Takes one step against `gradient`, which has the shape of the value, without waiting for the
    /// device.
    pub fn step(&mut self, gradient: Tensor, learning_rate: f64, rule: &Momentum) {
        let mut gradient = gradient;
        // The first dimension is that of the heads, so a matrix has three.
        if self.value.dim() > 2 {
            if rule.weight_decay != 0.0 {
                gradient += &self.value * rule.weight_decay;
            }
            if let Some(trust) = rule.trust {
                let (length, slope) = (norm(&self.value), norm(&gradient));
                let ratio = &length * trust / &slope;
                let usable = length.greater(0.0).logical_and(&slope.greater(0.0));
                gradient *= ratio.where_self(&usable, &ratio.ones_like());
            }
        }
        self.direction *= rule.momentum;
        self.direction += gradient;
        self.value -= &self.direction * (&self.rates * learning_rate);
    }
}

/// The norm of each head's matrix, [R, 1, 1].
fn norm(tensor: &Tensor) -> Tensor {
    tensor.norm_scalaropt_dim(2, [1, 2], true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(tensor: &Tensor) -> Vec<f64> {
        Vec::try_from(tensor.view([-1]).to_kind(Kind::Double)).unwrap()
    }

    fn close(found: &Tensor, expected: &[f64]) {
        let found = values(found);
        let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-6;
        assert!(found.iter().zip(expected).all(near), "{found:?}, expected {expected:?}");
    }

    #[test]
    fn lars_steps_as_the_formula_says() {
        let rule = Momentum { momentum: 0.9, weight_decay: 0.1, trust: Some(0.001) };
        let mut weight =
            Parameter::new(Tensor::from_slice(&[3.0_f32, 4.0]).view([1, 1, 2]), &[1.0]);
        let gradient = || Tensor::from_slice(&[0.5_f32, -0.4]).view([1, 1, 2]);

        // g + wd·p = [0.8, 0], of norm 0.8; |p| = 5; ratio 0.001 · 5 / 0.8 = 0.00625.
        weight.step(gradient(), 2.0, &rule);
        close(&weight.value, &[3.0 - 2.0 * 0.005, 4.0]);

        // p = [2.99, 4]: g + wd·p = [0.799, 0], so the step is trust · |p| plus 0.9 of the last.
        let step = 0.001 * (2.99_f64.powi(2) + 16.0).sqrt() + 0.9 * 0.005;
        weight.step(gradient(), 2.0, &rule);
        close(&weight.value, &[2.99 - 2.0 * step, 4.0]);
    }

    #[test]
    fn vectors_neither_decay_nor_trust() {
        let rule = Momentum { momentum: 0.9, weight_decay: 0.1, trust: Some(0.001) };
        let mut bias = Parameter::new(Tensor::from_slice(&[1.0_f32]).view([1, 1]), &[1.0]);
        for expected in [1.0 - 0.05, 0.95 - 0.1 * (0.9 * 0.5 + 0.5)] {
            bias.step(Tensor::from_slice(&[0.5_f32]).view([1, 1]), 0.1, &rule);
            close(&bias.value, &[expected]);
        }
    }

    #[test]
    fn zero_norms_leave_the_gradient_alone() {
        let rule = Momentum { momentum: 0.0, weight_decay: 0.0, trust: Some(0.001) };
        let zeros = || Tensor::zeros([1, 1, 2], (Kind::Float, tch::Device::Cpu));
        let mut weight = Parameter::new(zeros(), &[1.0]);
        weight.step(Tensor::from_slice(&[1.0_f32, 2.0]).view([1, 1, 2]), 1.0, &rule);
        close(&weight.value, &[-1.0, -2.0]);
        weight.step(zeros(), 1.0, &rule);
        close(&weight.value, &[-1.0, -2.0]);
    }

    #[test]
    fn heads_step_apart_at_their_own_rates() {
        let rule = Momentum { momentum: 0.9, weight_decay: 0.0, trust: Some(0.001) };
        let value = || Tensor::from_slice(&[3.0_f32, 4.0, 0.6, 0.8]).view([2, 1, 2]);
        let gradient = || Tensor::from_slice(&[1.0_f32, 0.0, 0.0, 100.0]).view([2, 1, 2]);
        let mut both = Parameter::new(value(), &[1.0, 0.1]);
        both.step(gradient(), 2.0, &rule);
        close(&both.value, &[3.0 - 2.0 * 0.005, 4.0, 0.6, 0.8 - 0.2 * 0.001]);
    }

    #[test]
    fn without_trust_it_is_plain_momentum() {
        let rule = Momentum { momentum: 0.9, weight_decay: 0.0, trust: None };
        let mut weight = Parameter::new(Tensor::from_slice(&[1.0_f32]).view([1, 1, 1]), &[1.0]);
        for expected in [0.9, 0.9 - 0.19] {
            weight.step(Tensor::from_slice(&[1.0_f32]).view([1, 1, 1]), 0.1, &rule);
            close(&weight.value, &[expected]);
        }
    }
}
