//! Optimisers over a model's parameters, with groups and state that can be saved.

use std::collections::{HashMap, HashSet};

use bauta_backbones::{Parameters, checkpoint::Mismatch};
use bauta_data::Share;
use bauta_libtorch::{
    AdamStep, AdamTensors, LibtorchError, SgdStep, SgdTensors, fused_adam, fused_adamw, fused_sgd,
};
use tch::{Kind, Tensor};

use crate::shards::owners;
use crate::{LayerDecay, ParameterGroup, Ranks, RanksError};

/// The update rule.
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
        /// Momentum, in [0, 1); 0 keeps no state.
        momentum: f64,
        /// Nesterov momentum, which looks ahead along the step; needs a momentum above 0.
        nesterov: bool,
    },
}

impl Rule {
    /// Names of the state tensors of a parameter, which have its shape.
    fn moments(self) -> &'static [&'static str] {
        match self {
            Self::AdamW { .. } | Self::Adam { .. } => &["exp_avg", "exp_avg_sq"],
            Self::Sgd { momentum, .. } if momentum > 0.0 => &["momentum_buffer"],
            Self::Sgd { .. } => &[],
        }
    }
}

/// Settings of an optimiser that hold for a whole phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerConfig {
    /// The update rule.
    pub rule: Rule,
    /// Weight decay of the parameters that decay.
    pub weight_decay: f64,
    /// Learning rates that decrease towards the input, for fine-tuning.
    pub layer_decay: Option<LayerDecay>,
}

impl Default for OptimizerConfig {
    /// AdamW with the settings of MAE's pre-training.
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

    /// Stochastic gradient descent without Nesterov momentum.
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
    /// The rank that updates each parameter.
    owners: Vec<usize>,
    /// The indices of the parameters that this process updates, ascending.
    own: Vec<usize>,
    state: State,
}

/// What a rule keeps from step to step; the lists run parallel to a group's `own` indices.
#[derive(Debug)]
enum State {
    Adam { step: Tensor, exp_avgs: Vec<Tensor>, exp_avg_sqs: Vec<Tensor> },
    Sgd { buffers: Option<Vec<Tensor>> },
}

/// One tensor of the state.
struct Entry<'a> {
    name: String,
    size: Vec<i64>,
    /// The tensor, where this process keeps it.
    kept: Option<&'a Tensor>,
}

/// One optimiser using libtorch's fused kernels, one call per group.
#[derive(Debug)]
pub struct Optimizer {
    rule: Rule,
    share: Share,
    groups: Vec<Group>,
}

impl Optimizer {
    /// Creates a state of zeros for the trainable parameters, in the groups of
    /// [`ParameterGroup::divide`].
    pub fn new(parameters: &Parameters, config: OptimizerConfig) -> Self {
        Self::of_share(parameters, config, Share::WHOLE)
    }

    /// Like [`Self::new`], for one of several ranks, which updates a share of the parameters and
    /// keeps only the state of that share.
    ///
    /// This is the first stage of ZeRO (Rajbhandari et al., arXiv 1910.02054, §5.1). Each parameter
    /// belongs to one rank as a whole.
    pub fn of_share(parameters: &Parameters, config: OptimizerConfig, share: Share) -> Self {
        let OptimizerConfig { rule, .. } = config;
        let groups = ParameterGroup::divide(parameters, &config);
        let members = groups.iter().flat_map(|group| &group.members);
        let sizes: Vec<usize> = members.map(|member| member.tensor.numel()).collect();
        let owners = owners(&sizes, share.of);
        let mut rest = &owners[..];
        let group = |group: &ParameterGroup<'_>| {
            let (owners, after) = rest.split_at(group.members.len());
            rest = after;
            Group::new(group, rule, owners, share.rank)
        };
        Self { rule, share, groups: groups.iter().map(group).collect() }
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

    /// Makes one step, or this rank's share of it, with all gradients in the order of
    /// [`Self::parameters`].
    ///
    /// If `found_inf` (f32 scalar) is 1, no parameter or moment changes.
    ///
    /// # Errors
    /// When libtorch refuses the call, for example for a gradient of another shape.
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

    /// Fetches the parameters that other ranks have updated; all ranks must call it after a step.
    pub(crate) fn take_others(&self, ranks: &Ranks) -> Result<(), RanksError> {
        if self.share.of == 1 {
            return Ok(());
        }
        let parameters = self.parameters();
        let own = |place: usize| parameters[place].detach();
        let receive = |place: usize, new: Tensor| parameters[place].shallow_clone().copy_(&new);
        tch::no_grad(|| ranks.hand_on(&self.listed(), own, receive))
    }

    /// The owner and the shape of each parameter.
    fn listed(&self) -> Vec<(usize, Vec<i64>)> {
        let listed =
            self.groups.iter().flat_map(|group| group.owners.iter().zip(&group.parameters));
        listed.map(|(&owner, parameter)| (owner, parameter.size())).collect()
    }

    /// The state of all parameters on rank 0, and a rank's own state elsewhere; all must call it.
    pub(crate) fn gathered_state(
        &self,
        ranks: &Ranks,
    ) -> Result<Vec<(String, Tensor)>, RanksError> {
        let own = self.state().into_iter();
        let mut state: Vec<_> = own.map(|(name, kept)| (name, kept.shallow_clone())).collect();
        if self.share.of == 1 {
            return Ok(state);
        }
        let own: HashMap<_, _> = self.state().into_iter().collect();
        let (listed, names) = (self.listed(), self.names());
        for moment in self.rule.moments() {
            let name = |place: usize| format!("{moment}.{}", names[place]);
            let give = |place: usize| own[&name(place)].shallow_clone();
            ranks.hand_on(&listed, give, |place, theirs| {
                if ranks.leads() {
                    state.push((name(place), theirs.copy()));
                }
            })?;
        }
        Ok(state)
    }

    /// The state that this process keeps, by names such as `exp_avg.blocks.0.norm1.weight`.
    pub fn state(&self) -> Vec<(String, &Tensor)> {
        let entries = self.entries().into_iter();
        entries.filter_map(|Entry { name, kept, .. }| Some((name, kept?))).collect()
    }

    /// All state tensors, including those that other ranks keep.
    fn entries(&self) -> Vec<Entry<'_>> {
        let mut entries = Vec::new();
        for (i, group) in self.groups.iter().enumerate() {
            if let State::Adam { step, .. } = &group.state {
                entries.push(Entry {
                    name: format!("step.{i}"),
                    size: step.size(),
                    kept: Some(step),
                });
            }
            for (moment, list) in self.rule.moments().iter().zip(group.state.lists()) {
                for (place, (name, parameter)) in
                    group.names.iter().zip(&group.parameters).enumerate()
                {
                    let kept = group.own.binary_search(&place).ok().map(|at| &list[at]);
                    let name = format!("{moment}.{name}");
                    entries.push(Entry { name, size: parameter.size(), kept });
                }
            }
        }
        entries
    }

    /// Overwrites the state with a saved one of all parameters.
    ///
    /// # Errors
    /// The names or shapes that do not agree; nothing is changed then.
    pub fn load_state(&mut self, saved: &HashMap<String, Tensor>) -> Result<(), Mismatch> {
        let state = self.entries();
        let mut mismatch = Mismatch::default();
        for Entry { name, size, .. } in &state {
            match saved.get(name) {
                None => mismatch.missing.push(name.clone()),
                Some(found) if found.size() != *size => {
                    mismatch.misshaped.push((name.clone(), found.size(), size.clone()));
                }
                Some(_) => {}
            }
        }
        let known: HashSet<&String> = state.iter().map(|entry| &entry.name).collect();
        mismatch.unexpected = saved.keys().filter(|name| !known.contains(name)).cloned().collect();
        mismatch.unexpected.sort();
        if !mismatch.is_empty() {
            return Err(mismatch);
        }
        tch::no_grad(|| {
            for Entry { name, kept, .. } in &state {
                if let Some(kept) = kept {
                    kept.shallow_clone().copy_(&saved[name]);
                }
            }
        });
        Ok(())
    }
}

impl State {
    /// The lists that [`Rule::moments`] names.
    fn lists(&self) -> Vec<&[Tensor]> {
        match self {
            Self::Adam { exp_avgs, exp_avg_sqs, .. } => vec![exp_avgs, exp_avg_sqs],
            Self::Sgd { buffers } => buffers.iter().map(Vec::as_slice).collect(),
        }
    }
}

impl Group {
    fn new(group: &ParameterGroup<'_>, rule: Rule, owners: &[usize], rank: usize) -> Self {
        let members = &group.members;
        let own: Vec<usize> = (0..owners.len()).filter(|&place| owners[place] == rank).collect();
        let zeros = || own.iter().map(|&at| members[at].tensor.detach().zeros_like()).collect();
        let state = match rule {
            Rule::AdamW { .. } | Rule::Adam { .. } => State::Adam {
                step: Tensor::zeros([] as [i64; 0], (Kind::Float, members[0].tensor.device())),
                exp_avgs: zeros(),
                exp_avg_sqs: zeros(),
            },
            Rule::Sgd { momentum, .. } => State::Sgd { buffers: (momentum > 0.0).then(zeros) },
        };
        Self {
            lr_scale: group.lr_scale,
            weight_decay: group.weight_decay,
            names: members.iter().map(|p| p.name.clone()).collect(),
            parameters: members.iter().map(|p| p.tensor.shallow_clone()).collect(),
            owners: owners.to_vec(),
            own,
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
        let own = |list: &[Tensor]| -> Vec<Tensor> {
            self.own.iter().map(|&place| list[place].shallow_clone()).collect()
        };
        let (parameters, gradients) = (&own(&self.parameters)[..], &own(gradients)[..]);
        let weight_decay = self.weight_decay;
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
                let buffers = buffers.as_deref().unwrap_or_default();
                fused_sgd(SgdTensors { parameters, gradients, buffers }, settings, Some(found_inf))
            }
            _ => unreachable!("a group's state is made for its rule"),
        }
    }
}
