//! Elastic weight consolidation (Kirkpatrick et al., arXiv 1612.00796), a baseline: weights that
//! mattered to earlier tasks are kept close to their former values.

use std::collections::HashMap;

use bauta_backbones::checkpoint::Mismatch;
use bauta_backbones::{Mode, Weights};
use tch::{Kind, Tensor};

use crate::checkpoint::{check, fill};
use crate::{Learner, SupermaskError};

/// λ / 2 · Σ_t Σ_i F_t,i (w_i − w_t,i)², with the sum over tasks kept as one quadratic.
///
/// With F = Σ F_t and a = Σ F_t w_t / F, it equals λ / 2 · Σ F (w − a)² up to a constant, so it
/// needs 2n numbers for any number of tasks.
#[derive(Debug)]
pub struct Elastic {
    strength: f64,
    /// F.
    importance: Weights,
    /// a; the current weight where F is 0.
    anchors: Weights,
}

impl Elastic {
    /// A penalty without any tasks; `strength` is λ.
    pub fn new(strength: f64, learner: &Learner) -> Self {
        let weights = learner.weights.iter();
        let of = |make: fn(&Tensor) -> Tensor| -> Weights {
            weights.clone().map(|(name, w)| (name.clone(), make(&w.detach()))).collect()
        };
        let (importance, anchors) = (of(Tensor::zeros_like), of(Tensor::copy));
        Self { strength, importance, anchors }
    }

    /// The penalty for the learner's weights, a scalar.
    pub fn penalty(&self, learner: &Learner) -> Tensor {
        let parts = learner.weights.iter().map(|(name, weight)| {
            let distance = (weight - &self.anchors[name]).square();
            (distance * &self.importance[name]).sum(Kind::Float)
        });
        let sum = parts.reduce(|sum, part| sum + part).expect("a network has a layer");
        sum * (0.5 * self.strength)
    }

    /// Adds a finished task: the mean over its samples (inputs [N, …], labels i64 `[N]`) of the
    /// squared gradient of each sample's loss (the empirical Fisher information).
    ///
    /// # Errors
    /// When the inputs are of another shape.
    pub fn hold(
        &mut self,
        learner: &Learner,
        task: usize,
        [inputs, labels]: [&Tensor; 2],
    ) -> Result<(), SupermaskError> {
        let names: Vec<&String> = learner.weights.keys().collect();
        let leaves: Vec<Tensor> = learner
            .weights
            .values()
            .map(|weight| weight.detach().copy().set_requires_grad(true))
            .collect();
        let weights = names.iter().zip(&leaves);
        let weights: Weights =
            weights.map(|(name, leaf)| ((*name).clone(), leaf.shallow_clone())).collect();
        let count = labels.size()[0];
        let mut squares: Vec<Tensor> = leaves.iter().map(Tensor::zeros_like).collect();
        for sample in 0..count {
            let output = learner.network.forward(
                &inputs.narrow(0, sample, 1),
                &weights,
                &learner.tasks[task].statistics,
                Mode::Evaluation,
            )?;
            let logits = learner.head(task, output.logits);
            let loss = logits.cross_entropy_for_logits(&labels.narrow(0, sample, 1));
            let gradients = Tensor::run_backward(&[loss], &leaves, false, false);
            for (sum, gradient) in squares.iter_mut().zip(gradients) {
                let _ = sum.g_add_(&gradient.square());
            }
        }
        tch::no_grad(|| {
            for ((name, square), leaf) in names.into_iter().zip(squares).zip(&leaves) {
                let new = square.detach() / count as f64;
                let (old, anchor) = (&self.importance[name], &self.anchors[name]);
                let (sum, leaf) = (old + &new, leaf.detach());
                let moved = (old * anchor + &new * &leaf) / &sum;
                let anchored = moved.where_self(&sum.gt(0.0), &leaf);
                anchor.shallow_clone().copy_(&anchored);
                old.shallow_clone().copy_(&sum);
            }
        });
        Ok(())
    }

    /// Its tensors by name; writing into them loads a saved state.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let both = [("importance", &self.importance), ("anchor", &self.anchors)];
        let named = both.into_iter().flat_map(|(what, tensors)| {
            tensors.iter().map(move |(name, t)| (format!("{what}.{name}"), t.shallow_clone()))
        });
        named.collect()
    }

    /// Loads its own tensors from a saved state and returns the rest.
    ///
    /// # Errors
    /// The names and shapes that do not agree; nothing is changed in that case.
    pub fn load_state(
        &self,
        saved: &HashMap<String, Tensor>,
    ) -> Result<HashMap<String, Tensor>, Mismatch> {
        let mut rest: HashMap<_, _> =
            saved.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        let (slots, mut mismatch) = (self.state(), Mismatch::default());
        check(&slots, &rest, &mut mismatch);
        if !mismatch.is_empty() {
            return Err(mismatch);
        }
        fill(&slots, &mut rest, &mut mismatch);
        Ok(rest)
    }
}
