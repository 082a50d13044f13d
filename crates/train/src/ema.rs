//! An exponential moving average of the weights.

use std::collections::HashMap;

use bauta_backbones::{Parameters, checkpoint::Mismatch};
use bauta_libtorch::{LibtorchError, lerp_all};
use tch::Tensor;

/// Keeps `average ← decay · average + (1 − decay) · weight` of the trainable parameters.
#[derive(Debug)]
pub struct Ema {
    decay: f64,
    names: Vec<String>,
    weights: Vec<Tensor>,
    averages: Vec<Tensor>,
}

impl Ema {
    /// Starts the average at the current weights.
    pub fn new(parameters: &Parameters, decay: f64) -> Self {
        let members: Vec<_> = parameters.trainable().collect();
        Self {
            decay,
            names: members.iter().map(|p| p.name.clone()).collect(),
            weights: members.iter().map(|p| p.tensor.shallow_clone()).collect(),
            averages: members.iter().map(|p| p.tensor.detach().copy()).collect(),
        }
    }

    /// Moves the average towards the current weights.
    ///
    /// # Errors
    /// When libtorch refuses the call.
    pub fn update(&mut self) -> Result<(), LibtorchError> {
        lerp_all(&self.averages, &self.weights, 1.0 - self.decay)
    }

    /// The averages with the names of their parameters.
    pub fn state(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.names.iter().map(String::as_str).zip(&self.averages)
    }

    /// Overwrites the averages with saved ones.
    ///
    /// # Errors
    /// The names that are missing; no average is changed then.
    pub fn load_state(&mut self, saved: &HashMap<String, Tensor>) -> Result<(), Mismatch> {
        let missing: Vec<String> =
            self.names.iter().filter(|name| !saved.contains_key(*name)).cloned().collect();
        if !missing.is_empty() {
            return Err(Mismatch { missing, ..Mismatch::default() });
        }
        tch::no_grad(|| {
            for (name, average) in self.names.iter().zip(&self.averages) {
                average.shallow_clone().copy_(&saved[name]);
            }
        });
        Ok(())
    }

    /// Overwrites the model's weights with the averages, for evaluation.
    pub fn apply(&self) {
        tch::no_grad(|| {
            for (weight, average) in self.weights.iter().zip(&self.averages) {
                weight.shallow_clone().copy_(average);
            }
        });
    }
}
