//! The meta-learner: a recurrent network that outputs both policies, and its training.
//!
//! `s_t = GRU(s_{t−1}, [w_{t−1} ; q_{t−1}])`; two linear heads give the means of both policies in
//! logit space. It is trained by REINFORCE on windows of K steps: each threshold with its own
//! credit, all weights with the decrease of the held-out loss from one window to the next.

mod saving;

use bauta_backbones::{Init, Scope};
use bauta_libtorch::{AdamStep, AdamTensors, LibtorchError, fused_adam, global_norm, scale_all};
use tch::{Device, Kind, Tensor};

use crate::MultilabelError;
use crate::loss::mean_loss;
use crate::meta_config::MetaConfig;
use crate::network::{Means, Network};
use crate::policy::{Action, Noise, credited_log_probability, thresholds_of, weights_of};
use crate::reward::{Credit, Reward, counterfactual_f1, probability_margin};
use crate::window::{Window, WindowStep};

/// Decay of the moving averages of rewards.
const MEMORY: f64 = 0.9;
/// Maximum norm of an update's gradient.
const LARGEST: f64 = 1.0;

/// A meta-learner during an episode.
#[derive(Debug)]
pub struct MetaLearner {
    config: MetaConfig,
    network: Network,
    moments: [Vec<Tensor>; 2],
    updates: Tensor,
    /// `[1, H]`.
    state: Tensor,
    /// The input of the next step: the last weights and thresholds, `[1, 2 N]`.
    input: Tensor,
    window: Window,
    windows: u64,
    /// The previous window's held-out loss, the average gain, the average micro-F1: `[3]`.
    averages: Tensor,
    /// Weights and thresholds of the mean policy in the last step, `[N]` each.
    policy: [Tensor; 2],
    /// The same at the end of each window, `[windows, N]` each.
    history: [Tensor; 2],
}

impl MetaLearner {
    /// Adds the parameters that are saved with the model but not trained by its optimiser: the
    /// network (`gru.*`, `weights.*`, `thresholds.*`), `policy.*` and `history.*`.
    ///
    /// # Errors
    /// When a setting is out of range.
    pub fn new(mut scope: Scope<'_>, config: &MetaConfig) -> Result<Self, MultilabelError> {
        config.check()?;
        let network = Network::new(&mut scope, config);
        let labels = config.labels as i64;
        let windows = (config.steps / config.window as u64) as i64;
        let plain = [("weights", 1.0_f32), ("thresholds", 0.5)];
        let mut values = scope.sub("policy");
        let policy =
            plain.map(|(name, value)| values.add_frozen(name, &[labels], Init::Constant(value)));
        let mut values = scope.sub("history");
        let sides = [windows, labels];
        let history =
            plain.map(|(name, value)| values.add_frozen(name, &sides, Init::Constant(value)));
        let device = policy[0].device();
        let (state, input) = start(config, device);
        let zeros = || network.tensors.iter().map(Tensor::zeros_like).collect::<Vec<_>>();
        Ok(Self {
            moments: tch::no_grad(|| [zeros(), zeros()]),
            updates: Tensor::zeros([] as [i64; 0], (Kind::Float, device)),
            window: Window::begin(&state, &input),
            averages: Tensor::zeros([3], (Kind::Float, device)),
            config: config.clone(),
            windows: 0,
            network,
            state,
            input,
            policy,
            history,
        })
    }

    /// Copies another learner's network.
    ///
    /// # Panics
    /// When their sizes differ.
    pub fn adopt(&mut self, other: &Self) {
        tch::no_grad(|| {
            for (own, other) in self.network.tensors.iter().zip(&other.network.tensors) {
                own.shallow_clone().copy_(other);
            }
        });
    }

    /// Returns both policies of the next step: sampled with this noise, or at their means without
    /// it. Nothing changes until the action is passed to [`Self::learn`] or [`Self::pass`].
    pub fn act(&self, noise: Option<&Noise>) -> Action {
        tch::no_grad(|| {
            let MetaConfig { deviation, .. } = self.config;
            let (state, means) = self.network.step(&self.input, &self.state);
            let at = |mean: &Tensor, noise: Option<&Tensor>| match noise {
                Some(noise) => mean + noise * deviation,
                None => mean.shallow_clone(),
            };
            let weight_logits = at(&means.weights, noise.map(|noise| &noise.weights));
            let threshold_logits = at(&means.thresholds, noise.map(|noise| &noise.thresholds));
            Action {
                weights: self.weights_at(&weight_logits),
                thresholds: self.thresholds_at(&threshold_logits),
                mean_weights: self.weights_at(&means.weights),
                mean_thresholds: self.thresholds_at(&means.thresholds),
                weight_logits,
                threshold_logits,
                state,
            }
        })
    }

    /// Advances the recurrence by an action.
    fn advance(&mut self, action: &Action) {
        self.policy[0].copy_(&action.mean_weights);
        self.policy[1].copy_(&action.mean_thresholds);
        self.state = action.state.shallow_clone();
        self.input = reading(&action.weights, &action.thresholds);
    }

    /// Rewards an action by the classifier's logits for held-out documents and their truth, `[B,
    /// N]`, and updates the network after every K actions.
    ///
    /// # Errors
    /// When libtorch reports an error.
    pub fn learn(
        &mut self,
        action: Action,
        logits: &Tensor,
        truth: &Tensor,
    ) -> Result<(), LibtorchError> {
        tch::no_grad(|| {
            self.advance(&action);
            let credit = self.credit(&action, &logits.sigmoid(), truth);
            let (held_out, reading) = (mean_loss(logits, truth), self.input.shallow_clone());
            let Action { weight_logits, threshold_logits, .. } = action;
            let step = WindowStep { weight_logits, threshold_logits, credit, held_out, reading };
            self.window.steps.push(step);
        });
        if self.window.steps.len() < self.config.window {
            return Ok(());
        }
        let window = Window::begin(&self.state, &self.input);
        let window = std::mem::replace(&mut self.window, window);
        let gains = tch::no_grad(|| self.gains(&window));
        let loss = tch::with_grad(|| self.surrogate(&window, &gains));
        self.descend(&loss)?;
        self.note();
        Ok(())
    }

    /// Follows an action of this step without learning; records the history.
    pub fn pass(&mut self, action: &Action, step: u64) {
        tch::no_grad(|| self.advance(action));
        if (step + 1).is_multiple_of(self.config.window as u64) {
            self.note();
        }
    }

    /// Weights of the mean policy in the last step, `[N]`.
    pub fn weights(&self) -> &Tensor {
        &self.policy[0]
    }

    /// Thresholds of the mean policy in the last step, `[N]`.
    pub fn thresholds(&self) -> &Tensor {
        &self.policy[1]
    }

    /// Weights and thresholds of the mean policy at the end of each window, `[windows, N]` each.
    pub fn history(&self) -> [&Tensor; 2] {
        self.history.each_ref()
    }

    /// Settings.
    pub fn config(&self) -> &MetaConfig {
        &self.config
    }

    fn note(&mut self) {
        if (self.windows as i64) < self.history[0].size()[0] {
            tch::no_grad(|| {
                for (history, policy) in self.history.iter().zip(&self.policy) {
                    history.get(self.windows as i64).copy_(policy);
                }
            });
        }
        self.windows += 1;
    }

    /// Weights from their logits; all 1 without a training policy.
    fn weights_at(&self, logits: &Tensor) -> Tensor {
        match self.config.policies.training {
            true => weights_of(logits, self.config.range),
            false => logits.ones_like(),
        }
    }

    /// Thresholds from their logits; all 0.5 without a prediction policy.
    fn thresholds_at(&self, logits: &Tensor) -> Tensor {
        match self.config.policies.prediction {
            true => thresholds_of(logits),
            false => logits.full_like(0.5),
        }
    }

    /// The credit of each threshold, `[N]`.
    fn credit(&mut self, action: &Action, outputs: &Tensor, truth: &Tensor) -> Tensor {
        let credit = Credit {
            outputs,
            truth,
            thresholds: &action.thresholds,
            mean_thresholds: &action.mean_thresholds,
        };
        match self.config.reward {
            Reward::CounterfactualF1 => counterfactual_f1(credit, self.config.eta),
            Reward::ProbabilityMargin => {
                let margin = |thresholds| probability_margin(outputs, truth, thresholds);
                margin(&action.thresholds) - margin(&action.mean_thresholds)
            }
            Reward::ScalarF1 => {
                let (reward, average) = (credit.micro_f1(), self.averages.get(2));
                let first = self.windows == 0 && self.window.steps.is_empty();
                let advantage = if first { reward.zeros_like() } else { &reward - &average };
                let kept = if first { reward } else { average * MEMORY + reward * (1.0 - MEMORY) };
                self.averages.get(2).copy_(&kept);
                advantage.expand_as(&action.thresholds)
            }
        }
    }

    /// The credit of all weights in each step of a window, `[K]`: the decrease of the held-out loss
    /// since the previous window, minus its average, discounted to the step.
    fn gains(&mut self, window: &Window) -> Tensor {
        let losses = window.steps.iter().map(|step| &step.held_out);
        let mean = Tensor::stack(&losses.collect::<Vec<_>>(), 0).mean(Kind::Float);
        let (before, average) = (self.averages.get(0).copy(), self.averages.get(1).copy());
        let gain = if self.windows == 0 { mean.zeros_like() } else { &before - &mean };
        self.averages.get(0).copy_(&mean);
        self.averages.get(1).copy_(&(&average * MEMORY + &gain * (1.0 - MEMORY)));
        let steps = window.steps.len();
        let discounts: Vec<f32> = (0..steps)
            .map(|step| self.config.discount.powi((steps - 1 - step) as i32) as f32)
            .collect();
        Tensor::from_slice(&discounts).to_device(mean.device()) * (gain - average)
    }

    /// The loss of a replayed window, a scalar: the negative credited log-probability, and the
    /// shrinkage.
    fn surrogate(&self, window: &Window, gains: &Tensor) -> Tensor {
        let MetaConfig { deviation, shrinkage, policies, .. } = self.config;
        let (mut state, mut input) = (window.state.shallow_clone(), window.input.shallow_clone());
        let mut replayed: Vec<Means> = Vec::with_capacity(window.steps.len());
        for step in &window.steps {
            let (next, means) = self.network.step(&input, &state);
            replayed.push(means);
            (state, input) = (next, step.reading.shallow_clone());
        }
        let mut loss = Tensor::zeros([] as [i64; 0], (Kind::Float, window.state.device()));
        // All steps at once, [K, N]: with so few numbers, the calls dominate the cost.
        let mut add =
            |act: fn(&WindowStep) -> &Tensor, mean: fn(&Means) -> &Tensor, credit: &Tensor| {
                let acts = Tensor::stack(&window.steps.iter().map(act).collect::<Vec<_>>(), 0);
                let means = Tensor::stack(&replayed.iter().map(mean).collect::<Vec<_>>(), 0);
                loss -= credited_log_probability(&acts, &means, deviation, credit);
                if shrinkage > 0.0 {
                    loss += means.square().sum(Kind::Float) * shrinkage;
                }
            };
        if policies.training {
            add(|step| &step.weight_logits, |means| &means.weights, &gains.unsqueeze(1));
        }
        if policies.prediction {
            let credits = window.steps.iter().map(|step| &step.credit);
            let credits = Tensor::stack(&credits.collect::<Vec<_>>(), 0);
            add(|step| &step.threshold_logits, |means| &means.thresholds, &credits);
        }
        loss
    }

    /// One step of Adam down a loss.
    fn descend(&mut self, loss: &Tensor) -> Result<(), LibtorchError> {
        if !loss.requires_grad() {
            // No policy is active.
            return Ok(());
        }
        let tensors = &self.network.tensors;
        let gradients = Tensor::f_run_backward(&[loss], tensors, false, false)
            .map_err(|error| LibtorchError::Call(error.to_string()))?;
        let gradients: Vec<Tensor> = gradients
            .into_iter()
            .zip(tensors)
            .map(|(gradient, tensor)| match gradient.defined() {
                true => gradient.contiguous(),
                false => tensor.zeros_like(),
            })
            .collect();
        tch::no_grad(|| {
            let norm = global_norm(&gradients)?;
            scale_all(&gradients, &(LARGEST / (norm + 1e-6)).clamp_max(1.0))?;
            let adam = AdamTensors {
                parameters: tensors,
                gradients: &gradients,
                exp_avgs: &self.moments[0],
                exp_avg_sqs: &self.moments[1],
                step: &self.updates,
            };
            let (lr, eps) = (self.config.lr, 1e-8);
            fused_adam(
                adam,
                AdamStep { lr, beta1: 0.9, beta2: 0.999, weight_decay: 0.0, eps },
                None,
            )
        })
    }
}

/// The input of the recurrence after these weights and thresholds, `[1, 2 N]`.
fn reading(weights: &Tensor, thresholds: &Tensor) -> Tensor {
    Tensor::cat(&[weights, thresholds], 0).unsqueeze(0)
}

/// The state and input at the start of an episode: `s = 0`, `w = 1`, `q = 0.5`.
fn start(config: &MetaConfig, device: Device) -> (Tensor, Tensor) {
    let labels = config.labels as i64;
    let full = |width: i64, value: f64| Tensor::full([1, width], value, (Kind::Float, device));
    let input = Tensor::cat(&[full(labels, 1.0), full(labels, 0.5)], 1);
    (full(config.hidden as i64, 0.0), input)
}
