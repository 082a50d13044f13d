//! A network that learns one task after another.
//!
//! The weights are shared by all tasks. Each task has one mask per layer and its own running
//! statistics; while it is learnt, the masks come from scores, afterwards they are kept as bits.
//! Without a density there are no masks: this is the plain network, for baselines with the same
//! code.

use std::collections::BTreeMap;

use bauta_backbones::{
    BareNetwork, Init, Mode, Parameters, RunningStatistics, WeightShape, Weights,
};
use tch::{Device, Kind, Tensor};

use crate::best::Best;
use crate::{
    Editing, LearnerConfig, PackedMask, SupermaskError, View, exclusive, score_start,
    straight_through, top_mask,
};

/// What is being learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The scores of the current task.
    Masks,
    /// The weights kept by its mask, or all weights of the plain network.
    Weights(Editing),
}

/// The state of one task.
#[derive(Debug)]
pub(crate) struct Task {
    /// By layer; empty while the task is learnt, and in the plain network.
    pub(crate) masks: BTreeMap<String, PackedMask>,
    pub(crate) statistics: RunningStatistics,
    /// Its scores, if they are kept.
    pub(crate) scores: Weights,
}

/// A network, its tasks so far, and the current one.
#[derive(Debug)]
pub struct Learner {
    pub(crate) config: LearnerConfig,
    pub(crate) network: BareNetwork,
    parameters: Parameters,
    pub(crate) weights: Weights,
    pub(crate) scores: Weights,
    pub(crate) tasks: Vec<Task>,
    /// The first of the tasks being learnt; they extend to the last.
    first_live: usize,
    stage: Stage,
    pub(crate) best: Best,
    /// The current task's mask, while weights are learnt.
    mask: Weights,
    /// The part of it that can change.
    editable: Weights,
    /// Union of the masks of finished tasks.
    earlier: Weights,
    seed: u64,
}

impl Learner {
    /// A network with initial weights drawn from `seed`, before its first task.
    ///
    /// # Errors
    /// [`SupermaskError::Model`] when a size of the network is 0.
    pub fn new(config: LearnerConfig, seed: u64, device: Device) -> Result<Self, SupermaskError> {
        let network =
            BareNetwork::new(config.network.clone(), config.classes * config.heads.unwrap_or(1))?;
        let mut parameters = Parameters::new(seed, device);
        let mut add = |layer: &WeightShape, what: &str, init| {
            let name = layer.name.as_str();
            (name.to_owned(), parameters.root().sub(name).add(what, &layer.shape, init))
        };
        let layers = network.layers();
        let weights = layers.iter().map(|layer| add(layer, "weight", config.start.of(layer)));
        let weights: Weights = weights.collect();
        let masked = if config.density.is_some() { layers } else { &[] };
        let scores = masked.iter().map(|layer| add(layer, "scores", score_start(layer))).collect();
        Ok(Self {
            network,
            parameters,
            weights,
            scores,
            tasks: Vec::new(),
            first_live: 0,
            stage: Stage::Weights(Editing::Original),
            best: Best::new(device),
            mask: Weights::new(),
            editable: Weights::new(),
            earlier: Weights::new(),
            seed,
            config,
        })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &LearnerConfig {
        &self.config
    }

    /// Its layers, from input to output.
    pub fn layers(&self) -> &[WeightShape] {
        self.network.layers()
    }

    /// Weights `LAYER.weight`, and the scores of the current task, `LAYER.scores`.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The weights by layer.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The scores of the current task by layer; empty in the plain network.
    pub fn scores(&self) -> &Weights {
        &self.scores
    }

    /// Tasks that have begun.
    pub fn begun(&self) -> usize {
        self.tasks.len()
    }

    /// Begins the next task, counted from 0. Its scores are initialised from the learner's seed and
    /// the task's number, and its statistics are reset.
    ///
    /// # Errors
    /// [`SupermaskError::Order`] when `task` is not the next one, [`SupermaskError::Setting`] when
    /// there is no head left for it.
    pub fn begin(&mut self, task: usize) -> Result<(), SupermaskError> {
        let begun = self.tasks.len();
        if task != begun {
            return Err(SupermaskError::Order { task, begun });
        }
        self.config.check_tasks(task + 1)?;
        self.first_live = task;
        self.push();
        self.redraw("scores", task as u64, score_start);
        Ok(())
    }

    /// Begins `tasks` tasks at once, which are learnt together (the joint baseline).
    ///
    /// # Errors
    /// [`SupermaskError::Order`] when a task has already begun, [`SupermaskError::Setting`] when
    /// there are fewer heads.
    pub fn begin_together(&mut self, tasks: usize) -> Result<(), SupermaskError> {
        if let begun @ 1.. = self.tasks.len() {
            return Err(SupermaskError::Order { task: 0, begun });
        }
        self.config.check_tasks(tasks)?;
        (0..tasks).for_each(|_| self.push());
        self.first_live = 0;
        Ok(())
    }

    /// Adds a finished task whose state will be loaded from a saved one.
    pub fn expect_finished(&mut self) {
        self.push();
        let (density, device) = (self.config.density, Device::Cpu);
        let masks = self.network.layers().iter().filter(|_| density.is_some()).map(|layer| {
            let empty = Tensor::zeros(layer.shape.as_slice(), (Kind::Float, device));
            (layer.name.clone(), PackedMask::pack(&empty))
        });
        let masks = masks.collect();
        let kept = if self.config.keep_scores { copies(&self.scores) } else { Weights::new() };
        let task = self.tasks.last_mut().expect("it was pushed above");
        (task.masks, task.scores) = (masks, kept);
    }

    /// Redraws the weights, as for another network (the individual baseline).
    pub fn begin_anew(&mut self, draw: u64) {
        let start = self.config.start;
        self.redraw("weight", draw, |layer| start.of(layer));
    }

    /// Starts learning the current task's scores; weights are fixed (phase A, and SupSup).
    pub fn learn_masks(&mut self) {
        self.stage = Stage::Masks;
        self.parameters.train_only(|name| name.ends_with(".scores"));
        self.best.begin(&self.live());
    }

    /// Starts learning weights: those of the current task's mask that `editing` allows, with the
    /// mask fixed (phase B), or all of the plain network.
    pub fn learn_weights(&mut self, editing: Editing) {
        let goes_on = self.stage == Stage::Masks;
        self.stage = Stage::Weights(editing);
        self.parameters.train_only(|name| name.ends_with(".weight"));
        match goes_on {
            // The best state so far must be beaten.
            true => self.best.go_on(&self.live()),
            false => self.best.begin(&self.live()),
        }
        self.derive();
    }

    /// A training pass for a task being learnt: maps inputs of the network's shape to logits [B,
    /// c].
    ///
    /// # Errors
    /// [`SupermaskError::Model`] when the input is of another shape.
    ///
    /// # Panics
    /// When the task has not begun.
    pub fn logits(&self, task: usize, input: &Tensor) -> Result<Tensor, SupermaskError> {
        let statistics = &self.tasks[task].statistics;
        let output =
            self.network.forward(input, &self.present(true), statistics, Mode::Training)?;
        Ok(self.head(task, output.logits))
    }

    /// A task in its current state: a finished one with its mask, the current one with its scores.
    ///
    /// # Errors
    /// [`SupermaskError::NoTask`] when the task has not begun.
    pub fn view(&self, task: usize) -> Result<View<'_>, SupermaskError> {
        let begun = self.tasks.len();
        let own = self.tasks.get(task).ok_or(SupermaskError::NoTask { task, begun })?;
        let weights = match own.masks.is_empty() {
            true => tch::no_grad(|| self.present(false)),
            false => {
                let device = self.parameters.device();
                let masked = |(name, mask): (&String, &PackedMask)| {
                    (name.clone(), self.weights[name].detach() * mask.unpack(device))
                };
                own.masks.iter().map(masked).collect()
            }
        };
        Ok(View { learner: self, task, weights })
    }

    /// Zeroes the entries of a gradient whose weights must not change; `name` is the parameter's.
    ///
    /// The head is a layer like any other. These entries are exactly zero, so that an optimiser
    /// with a fresh state and no weight decay makes no step there.
    pub fn restrict(&self, name: &str, gradient: &mut Tensor) {
        let layer = name.strip_suffix(".weight");
        if let Some(editable) = layer.and_then(|layer| self.editable.get(layer)) {
            let _ = gradient.g_mul_(editable);
        }
    }

    /// Remembers the state of the tasks being learnt if `accuracy` (a scalar on the device) is
    /// higher than ever before; does not wait for the device.
    pub fn validate(&mut self, accuracy: &Tensor) {
        let live = self.live();
        self.best.offer(accuracy, &live);
    }

    /// Returns to the state with the highest accuracy; without a validation, changes nothing.
    pub fn restore_best(&mut self) {
        self.best.restore(&self.live());
        self.derive();
    }

    /// Finishes the current task: its mask is kept as bits, and no later task changes it.
    pub fn finish(&mut self) {
        if let Some(density) = self.config.density {
            let masks: BTreeMap<_, _> = self
                .scores
                .iter()
                .map(|(name, scores)| (name.clone(), PackedMask::pack(&top_mask(scores, density))))
                .collect();
            let scores = copies(&self.scores);
            let keep = self.config.keep_scores;
            let task = self.tasks.last_mut().expect("a task has begun");
            task.masks = masks;
            task.scores = if keep { scores } else { Weights::new() };
            self.unite(self.tasks.len() - 1);
        }
    }

    /// The state that the next step depends on, except the parameters, by name. The tensors are the
    /// learner's own: write into them to load a state, then call [`Self::loaded`].
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let mut state = Vec::new();
        for (number, task) in self.tasks.iter().enumerate() {
            let mut put = |name: &str, tensor: &Tensor| {
                state.push((format!("task.{number}.{name}"), tensor.shallow_clone()));
            };
            task.masks.iter().for_each(|(name, mask)| put(&format!("{name}.mask"), mask.bits()));
            task.statistics.tensors().iter().for_each(|(name, tensor)| put(name, tensor));
            task.scores.iter().for_each(|(name, scores)| put(&format!("{name}.scores"), scores));
        }
        state.extend(self.best.state());
        state
    }

    /// Updates derived state after parameters or state were changed from outside, as by a
    /// checkpoint.
    pub fn loaded(&mut self) {
        self.earlier.clear();
        (0..self.tasks.len()).for_each(|task| self.unite(task));
        self.derive();
    }

    /// Effective weights of the tasks being learnt.
    fn present(&self, training: bool) -> Weights {
        let masked = |(name, weight): (&String, &Tensor)| {
            let weight = match (self.stage, self.config.density, self.scores.get(name)) {
                (Stage::Masks, Some(density), Some(scores)) => match training {
                    true => weight.detach() * straight_through(scores, density),
                    false => weight.detach() * top_mask(scores, density),
                },
                (Stage::Weights(_), Some(_), _) => weight * &self.mask[name],
                _ => weight.shallow_clone(),
            };
            (name.clone(), weight)
        };
        self.weights.iter().map(masked).collect()
    }

    /// Selects a task's own head from all of them.
    pub(crate) fn head(&self, task: usize, logits: Tensor) -> Tensor {
        let classes = self.config.classes as i64;
        match self.config.heads {
            Some(_) => logits.narrow(1, task as i64 * classes, classes),
            None => logits,
        }
    }

    /// The tensors being learnt, by name: layers, and statistics of the tasks.
    fn live(&self) -> Vec<(String, Tensor)> {
        let layers = if self.stage == Stage::Masks { &self.scores } else { &self.weights };
        let mut live: Vec<_> =
            layers.iter().map(|(name, tensor)| (name.clone(), tensor.detach())).collect();
        for (number, task) in self.tasks.iter().enumerate().skip(self.first_live) {
            let own = task.statistics.tensors().into_iter();
            live.extend(own.map(|(name, t)| (format!("{number}.{name}"), t.shallow_clone())));
        }
        live
    }

    /// Adds the masks of a finished task to the union.
    fn unite(&mut self, task: usize) {
        for (name, mask) in &self.tasks[task].masks {
            let mask = mask.unpack(self.parameters.device());
            let union = match self.earlier.get(name) {
                Some(union) => union.maximum(&mask),
                None => mask,
            };
            self.earlier.insert(name.clone(), union);
        }
    }

    /// Derives the mask and the editable weights from the current scores and the union.
    fn derive(&mut self) {
        let Some(density) = self.config.density else { return };
        (self.mask, self.editable) = (Weights::new(), Weights::new());
        if let Stage::Weights(editing) = self.stage {
            for (name, scores) in &self.scores {
                let mask = top_mask(scores, density);
                let editable = match editing {
                    Editing::Original => mask.shallow_clone(),
                    Editing::Exclusive => exclusive(&mask, self.earlier.get(name)),
                };
                self.mask.insert(name.clone(), mask);
                self.editable.insert(name.clone(), editable);
            }
        }
    }

    fn push(&mut self) {
        let statistics = RunningStatistics::fresh(self.network.norms(), self.parameters.device());
        let (masks, scores) = (BTreeMap::new(), Weights::new());
        self.tasks.push(Task { masks, statistics, scores });
    }

    /// Redraws every layer's tensor of this name, in place.
    fn redraw(&self, what: &str, draw: u64, init: impl Fn(&WeightShape) -> Init) {
        let mut drawn = Parameters::drawn(self.seed, draw, Device::Cpu);
        tch::no_grad(|| {
            for layer in self.network.layers() {
                let name = format!("{}.{what}", layer.name);
                let Some(parameter) = self.parameters.get(&name) else { continue };
                let fresh = drawn.root().sub(&layer.name).add(what, &layer.shape, init(layer));
                parameter.tensor.shallow_clone().copy_(&fresh);
            }
        });
    }
}

fn copies(tensors: &Weights) -> Weights {
    tensors.iter().map(|(name, tensor)| (name.clone(), tensor.detach().copy())).collect()
}
