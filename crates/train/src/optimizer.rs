//! AdamW over a model's parameters, with groups and state that can be saved.

use std::collections::HashMap;

use bauta_backbones::{Parameters, checkpoint::Mismatch};
use bauta_libtorch::{AdamW, AdamWTensors, LibtorchError, fused_adamw};
use tch::{Kind, Tensor};

use crate::{LayerDecay, ParameterGroup};

/// Settings of AdamW that hold for a whole run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// Decay rates of the first and second moment; MAE pre-trains with (0.9, 0.95).
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay of the parameters that decay.
    pub weight_decay: f64,
    /// Learning rates that fall towards the input, for fine-tuning.
    pub layer_decay: Option<LayerDecay>,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { betas: (0.9, 0.95), eps: 1e-8, weight_decay: 0.05, layer_decay: None }
    }
}

/// Parameters that share a weight decay and a learning-rate scale.
#[derive(Debug)]
struct Group {
    lr_scale: f64,
    weight_decay: f64,
    names: Vec<String>,
    parameters: Vec<Tensor>,
    exp_avgs: Vec<Tensor>,
    exp_avg_sqs: Vec<Tensor>,
    step: Tensor,
}

/// AdamW (Loshchilov & Hutter) by libtorch's fused kernel, one call a group.
#[derive(Debug)]
pub struct Optimizer {
    config: AdamWConfig,
    groups: Vec<Group>,
}

impl Optimizer {
    /// Creates zero moments for the trainable parameters, in the groups that
    /// [`ParameterGroup::divide`] makes.
    pub fn new(parameters: &Parameters, config: AdamWConfig) -> Self {
        let groups = ParameterGroup::divide(parameters, &config).iter().map(Group::new).collect();
        Self { config, groups }
    }

    /// The parameters in the order in which [`Self::step`] takes their gradients.
    pub fn parameters(&self) -> Vec<Tensor> {
        let all = self.groups.iter().flat_map(|group| &group.parameters);
        all.map(Tensor::shallow_clone).collect()
    }

    /// Makes one step with gradients in the order of [`Self::parameters`].
    ///
    /// Where `found_inf` (f32 scalar) is 1, nothing changes.
    ///
    /// # Errors
    /// libtorch's refusal, such as for a gradient of another shape.
    ///
    /// # Panics
    /// When the number of gradients is not the number of parameters.
    pub fn step(
        &mut self,
        gradients: &[Tensor],
        lr: f64,
        found_inf: &Tensor,
    ) -> Result<(), LibtorchError> {
        let (beta1, beta2) = self.config.betas;
        let mut rest = gradients;
        for group in &self.groups {
            let (gradients, after) = rest.split_at(group.parameters.len());
            rest = after;
            let settings = AdamW {
                lr: lr * group.lr_scale,
                beta1,
                beta2,
                weight_decay: group.weight_decay,
                eps: self.config.eps,
            };
            let tensors = AdamWTensors {
                parameters: &group.parameters,
                gradients,
                exp_avgs: &group.exp_avgs,
                exp_avg_sqs: &group.exp_avg_sqs,
                step: &group.step,
            };
            fused_adamw(tensors, settings, Some(found_inf))?;
        }
        assert!(rest.is_empty(), "{} gradients belong to no parameter", rest.len());
        Ok(())
    }

    /// The state, by names such as `exp_avg.blocks.0.norm1.weight`.
    pub fn state(&self) -> Vec<(String, &Tensor)> {
        let mut state = Vec::new();
        for (i, group) in self.groups.iter().enumerate() {
            state.push((format!("step.{i}"), &group.step));
            for (place, name) in group.names.iter().enumerate() {
                state.push((format!("exp_avg.{name}"), &group.exp_avgs[place]));
                state.push((format!("exp_avg_sq.{name}"), &group.exp_avg_sqs[place]));
            }
        }
        state
    }

    /// Overwrites the state with a saved one.
    ///
    /// # Errors
    /// The names or shapes that do not agree; then nothing has been changed.
    pub fn load_state(&mut self, saved: &HashMap<String, Tensor>) -> Result<(), Mismatch> {
        let state = self.state();
        let mut mismatch = Mismatch::default();
        for (name, tensor) in &state {
            match saved.get(name) {
                None => mismatch.missing.push(name.clone()),
                Some(found) if found.size() != tensor.size() => {
                    mismatch.misshaped.push((name.clone(), found.size(), tensor.size()));
                }
                Some(_) => {}
            }
        }
        let known: std::collections::HashSet<&String> =
            state.iter().map(|(name, _)| name).collect();
        mismatch.unexpected = saved.keys().filter(|name| !known.contains(name)).cloned().collect();
        mismatch.unexpected.sort();
        if !mismatch.is_empty() {
            return Err(mismatch);
        }
        tch::no_grad(|| {
            for (name, tensor) in &state {
                tensor.shallow_clone().copy_(&saved[name]);
            }
        });
        Ok(())
    }
}

impl Group {
    fn new(group: &ParameterGroup<'_>) -> Self {
        let members = &group.members;
        let zeros = || members.iter().map(|p| p.tensor.detach().zeros_like()).collect();
        Self {
            lr_scale: group.lr_scale,
            weight_decay: group.weight_decay,
            names: members.iter().map(|p| p.name.clone()).collect(),
            parameters: members.iter().map(|p| p.tensor.shallow_clone()).collect(),
            exp_avgs: zeros(),
            exp_avg_sqs: zeros(),
            step: Tensor::zeros([] as [i64; 0], (Kind::Float, members[0].tensor.device())),
        }
    }
}
