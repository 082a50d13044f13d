//! Optimisers over a model's parameters, with groups and state that can be saved.

use std::collections::{HashMap, HashSet};

use bauta_backbones::{Parameters, checkpoint::Mismatch};
use bauta_libtorch::{
    AdamStep, AdamTensors, LibtorchError, SgdStep, SgdTensors, fused_adam, fused_adamw, fused_sgd,
};
use tch::{Kind, Tensor};

use crate::{LayerDecay, ParameterGroup};

/// How gradients become steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// AdamW (Loshchilov & Hutter): decoupled weight decay.
    AdamW {
        /// Decay rates of the first and second moment, in [0, 1); MAE pre-trains with (0.9, 0.95).
        betas: (f64, f64),
        /// Added to the root of the second moment.
        eps: f64,
    },
    /// Adam (Kingma & Ba): weight decay is part of the gradient.
    Adam {
        /// Decay rates of the first and second moment, in [0, 1).
        betas: (f64, f64),
        /// Added to the root of the second moment.
        eps: f64,
    },
    /// Stochastic gradient descent: weight decay is part of the gradient.
    Sgd {
        /// Part of the former direction that is kept, in [0, 1); 0 keeps no state.
        momentum: f64,
        /// Nesterov's step, which looks ahead along the direction; with a momentum above 0.
        nesterov: bool,
    },
}

/// Settings of an optimiser that hold for a whole phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerConfig {
    /// How gradients become steps.
    pub rule: Rule,
    /// Weight decay of the parameters that decay.
    pub weight_decay: f64,
    /// Learning rates that fall towards the input, for fine-tuning.
    pub layer_decay: Option<LayerDecay>,
}

impl Default for OptimizerConfig {
    /// AdamW as MAE pre-trains with.
    fn default() -> Self {
        Self::adamw((0.9, 0.95), 0.05)
    }
}

impl OptimizerConfig {
    /// AdamW with eps 1e-8.
    pub fn adamw(betas: (f64, f64), weight_decay: f64) -> Self {
        Self { rule: Rule::AdamW { betas, eps: 1e-8 }, weight_decay, layer_decay: None }
    }

    /// Adam with eps 1e-8.
    pub fn adam(betas: (f64, f64), weight_decay: f64) -> Self {
        Self { rule: Rule::Adam { betas, eps: 1e-8 }, weight_decay, layer_decay: None }
    }

    /// Stochastic gradient descent, without Nesterov's look ahead.
    pub fn sgd(momentum: f64, weight_decay: f64) -> Self {
        let rule = Rule::Sgd { momentum, nesterov: false };
        Self { rule, weight_decay, layer_decay: None }
    }
}

/// Parameters that share a weight decay and a learning-rate scale.
#[derive(Debug)]
struct Group {
    lr_scale: f64,
    weight_decay: f64,
    names: Vec<String>,
    parameters: Vec<Tensor>,
    state: State,
}

/// What a rule keeps from step to step; the lists run parallel to the parameters.
#[derive(Debug)]
enum State {
    Adam { step: Tensor, exp_avgs: Vec<Tensor>, exp_avg_sqs: Vec<Tensor> },
    Sgd { buffers: Vec<Tensor> },
}

/// One optimiser by libtorch's fused kernels, one call a group.
#[derive(Debug)]
pub struct Optimizer {
    rule: Rule,
    groups: Vec<Group>,
}

impl Optimizer {
    /// Creates a state of zeros for the trainable parameters, in the groups that
    /// [`ParameterGroup::divide`] makes.
    pub fn new(parameters: &Parameters, config: OptimizerConfig) -> Self {
        let OptimizerConfig { rule, .. } = config;
        let groups = ParameterGroup::divide(parameters, &config);
        Self { rule, groups: groups.iter().map(|group| Group::new(group, rule)).collect() }
    }

    /// The parameters in the order in which [`Self::step`] takes their gradients.
    pub fn parameters(&self) -> Vec<Tensor> {
        let all = self.groups.iter().flat_map(|group| &group.parameters);
        all.map(Tensor::shallow_clone).collect()
    }

    /// The names of the parameters, in the same order.
    pub fn names(&self) -> Vec<String> {
        self.groups.iter().flat_map(|group| &group.names).cloned().collect()
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
        let mut rest = gradients;
        for group in &self.groups {
            let (gradients, after) = rest.split_at(group.parameters.len());
            rest = after;
            group.step(self.rule, gradients, lr * group.lr_scale, found_inf)?;
        }
        assert!(rest.is_empty(), "{} gradients belong to no parameter", rest.len());
        Ok(())
    }

    /// The state, by names such as `exp_avg.blocks.0.norm1.weight`.
    pub fn state(&self) -> Vec<(String, &Tensor)> {
        let mut state = Vec::new();
        for (i, group) in self.groups.iter().enumerate() {
            let mut lists: Vec<(&str, &[Tensor])> = Vec::new();
            match &group.state {
                State::Adam { step, exp_avgs, exp_avg_sqs } => {
                    state.push((format!("step.{i}"), step));
                    lists.extend([("exp_avg", &exp_avgs[..]), ("exp_avg_sq", exp_avg_sqs)]);
                }
                State::Sgd { buffers } => lists.push(("momentum_buffer", buffers)),
            }
            for (what, tensors) in lists {
                let names = group.names.iter().map(|name| format!("{what}.{name}"));
                state.extend(names.zip(tensors));
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
        let known: HashSet<&String> = state.iter().map(|(name, _)| name).collect();
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
    fn new(group: &ParameterGroup<'_>, rule: Rule) -> Self {
        let members = &group.members;
        let zeros = || members.iter().map(|p| p.tensor.detach().zeros_like()).collect();
        let state = match rule {
            Rule::AdamW { .. } | Rule::Adam { .. } => State::Adam {
                step: Tensor::zeros([] as [i64; 0], (Kind::Float, members[0].tensor.device())),
                exp_avgs: zeros(),
                exp_avg_sqs: zeros(),
            },
            Rule::Sgd { momentum, .. } => {
                State::Sgd { buffers: if momentum == 0.0 { Vec::new() } else { zeros() } }
            }
        };
        Self {
            lr_scale: group.lr_scale,
            weight_decay: group.weight_decay,
            names: members.iter().map(|p| p.name.clone()).collect(),
            parameters: members.iter().map(|p| p.tensor.shallow_clone()).collect(),
            state,
        }
    }

    fn step(
        &self,
        rule: Rule,
        gradients: &[Tensor],
        lr: f64,
        found_inf: &Tensor,
    ) -> Result<(), LibtorchError> {
        let (parameters, weight_decay) = (&self.parameters[..], self.weight_decay);
        match (rule, &self.state) {
            (
                Rule::AdamW { betas: (beta1, beta2), eps }
                | Rule::Adam { betas: (beta1, beta2), eps },
                State::Adam { step, exp_avgs, exp_avg_sqs },
            ) => {
                let settings = AdamStep { lr, beta1, beta2, weight_decay, eps };
                let tensors = AdamTensors { parameters, gradients, exp_avgs, exp_avg_sqs, step };
                let decoupled = matches!(rule, Rule::AdamW { .. });
                let step = if decoupled { fused_adamw } else { fused_adam };
                step(tensors, settings, Some(found_inf))
            }
            (Rule::Sgd { momentum, nesterov }, State::Sgd { buffers }) => {
                let settings = SgdStep { lr, momentum, nesterov, weight_decay };
                fused_sgd(SgdTensors { parameters, gradients, buffers }, settings, Some(found_inf))
            }
            _ => unreachable!("a group's state is made for its rule"),
        }
    }
}
