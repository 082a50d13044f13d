//! Tasks small enough to learn in a test, and a training loop for them.

#![allow(dead_code, reason = "each test takes what it needs")]

use bauta_backbones::BareConfig;
use bauta_libtorch::{AdamStep, AdamTensors, fused_adam, integers, normal};
use bauta_streams::{Purpose, RandomStream, StreamKey};
use bauta_supermask::{Density, Editing, Learner, LearnerConfig, WeightStart};
use tch::{Device, Kind, Tensor};

pub const CLASSES: usize = 3;

pub fn stream(name: &str, number: u64) -> RandomStream {
    StreamKey { seed: 0, purpose: Purpose::named(name), epoch: 0, sample: number }.stream()
}

/// A residual network, in which statistics matter, or an MLP.
pub fn config(residual: bool, density: f64, keep_scores: bool) -> LearnerConfig {
    LearnerConfig {
        network: match residual {
            true => BareConfig::ResNet18 { channels: 1, width: 3 },
            false => BareConfig::Mlp { inputs: 64, hidden: vec![40, 20] },
        },
        classes: CLASSES,
        heads: None,
        density: Some(Density::new(density).unwrap()),
        start: WeightStart::SignedConstant,
        keep_scores,
    }
}

pub fn learner(config: LearnerConfig) -> Learner {
    Learner::new(config, 3, Device::Cpu).unwrap()
}

/// Images [N, 1, 8, 8] around one mean per class, and their labels; each task has its own means.
pub fn samples(task: u64, count: i64) -> [Tensor; 2] {
    let means = normal(&[CLASSES as i64, 1, 8, 8], 1.5, &mut stream("means", task)) + task as f64;
    let mut own = stream("samples", task);
    let labels = integers(&[count], CLASSES as u64, &mut own);
    let noise = normal(&[count, 1, 8, 8], 1.0, &mut own);
    [means.index_select(0, &labels) + noise, labels]
}

/// A training loop's deviations that cause forgetting.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loop {
    /// Weight decay as part of the gradient.
    pub weight_decay: f64,
    /// Continues with the optimiser's state of the previous task.
    pub stale: bool,
    /// Trains all weights that a mask keeps.
    pub original: bool,
    pub steps: [usize; 2],
}

impl Loop {
    pub fn right(steps: [usize; 2]) -> Self {
        Self { steps, ..Self::default() }
    }

    pub fn editing(self) -> Editing {
        if self.original { Editing::Original } else { Editing::Exclusive }
    }
}

/// Adam's moments by parameter.
#[derive(Default)]
pub struct Moments(Vec<[Tensor; 2]>, Option<Tensor>);

/// Learns a task in both stages.
pub fn learn(learner: &mut Learner, data: u64, how: Loop, moments: &mut Moments) {
    learner.learn_masks();
    fit(learner, data, how, how.steps[0], &mut Moments::default());
    learner.learn_weights(how.editing());
    if !how.stale {
        *moments = Moments::default();
    }
    fit(learner, data, how, how.steps[1], moments);
    learner.finish();
}

pub fn fit(learner: &Learner, data: u64, how: Loop, steps: usize, moments: &mut Moments) {
    let [images, labels] = samples(data, 48);
    let task = learner.begun() - 1;
    for step in 0..steps {
        let from = (step as i64 * 16) % 48;
        let logits = learner.logits(task, &images.narrow(0, from, 16)).unwrap();
        let loss = logits.cross_entropy_for_logits(&labels.narrow(0, from, 16));
        let (names, parameters): (Vec<String>, Vec<Tensor>) = learner
            .parameters()
            .trainable()
            .map(|parameter| (parameter.name.clone(), parameter.tensor.shallow_clone()))
            .unzip();
        let mut gradients = Tensor::run_backward(&[loss], &parameters, false, false);
        for (name, gradient) in names.iter().zip(&mut gradients) {
            *gradient = gradient.contiguous();
            learner.restrict(name, gradient);
        }
        let Moments(pairs, count) = moments;
        if pairs.is_empty() {
            let zeros = |p: &Tensor| [p.detach().zeros_like(), p.detach().zeros_like()];
            pairs.extend(parameters.iter().map(zeros));
            *count = Some(Tensor::zeros([] as [i64; 0], (Kind::Float, Device::Cpu)));
        }
        let list = |place: usize| -> Vec<Tensor> {
            pairs.iter().map(|pair| pair[place].shallow_clone()).collect()
        };
        let settings = AdamStep {
            lr: 0.02,
            beta1: 0.9,
            beta2: 0.999,
            weight_decay: how.weight_decay,
            eps: 1e-8,
        };
        let tensors = AdamTensors {
            parameters: &parameters,
            gradients: &gradients,
            exp_avgs: &list(0),
            exp_avg_sqs: &list(1),
            step: count.as_ref().unwrap(),
        };
        fused_adam(tensors, settings, None).unwrap();
    }
}

/// A tensor's numbers as bits, for exact comparisons.
pub fn bits(tensor: &Tensor) -> Vec<u32> {
    let flat = Vec::<f32>::try_from(tensor.detach().contiguous().flatten(0, -1)).unwrap();
    flat.into_iter().map(f32::to_bits).collect()
}

/// A task's outputs for its own images.
pub fn answers(learner: &Learner, task: usize, data: u64) -> Vec<u32> {
    let [images, _] = samples(data, 20);
    bits(&learner.view(task).unwrap().logits(&images).unwrap())
}

pub fn accuracy(learner: &Learner, task: usize, data: u64) -> f64 {
    let [images, labels] = samples(data, 48);
    learner.view(task).unwrap().right(&images, &labels).unwrap().double_value(&[]) / 48.0
}
