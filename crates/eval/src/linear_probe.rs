//! Linear probing (MAE appendix A.1): batch norm without affine parameters, then
//! one linear layer, trained on frozen features.
//!
//! The loss is softmax cross-entropy of a linear layer, so the gradient is written
//! out instead of recorded: with p = softmax(x Wᵀ + b) and one-hot labels y,
//! ∂W = (p − y)ᵀ x / B and ∂b = Σ (p − y) / B. The batch norm before the layer has
//! no parameters, and the features get no gradient.
//!
//! No single learning rate suits both the hundred features of an encoder and the
//! three thousand strongly correlated ones of raw pixels: on CIFAR-10, pixels
//! reach 0.41 at 0.003 and 0.31 at 0.3, an untrained convolution 0.41 and 0.49.
//! So several heads train in parallel at different rates, on nine tenths of the
//! training split, and the last tenth decides which one is measured. The paper tunes
//! its rate by hand and trains on the whole split.

use std::f64::consts::PI;
use std::sync::atomic::AtomicBool;

use bauta_streams::{Purpose, RandomStream, StreamKey};
use tch::{Device, Kind, Tensor};

use crate::momentum::{Momentum, Parameter};
use crate::watch::go_on;
use crate::{EncodedData, EncodedSplit, EvalError, Evaluator, Metrics};

const NORM_EPS: f64 = 1e-6;
const NORM_MOMENTUM: f64 = 0.1;
const HEAD_STD: f64 = 0.01;
/// Learning rates of the heads under plain gradient descent, as factors of `base_lr`.
const LADDER: [f64; 5] = [1.0, 0.3, 0.1, 0.03, 0.01];
/// The factors under LARS: 1 and above, because the paper's base rate of 0.1 per 256
/// samples is a rate of 6.4 at its batch size of 16,384.
const LARS_LADDER: [f64; 5] = [100.0, 30.0, 10.0, 3.0, 1.0];
/// One of this many training samples is held out to choose among the heads.
const HELD_OUT: i64 = 10;
/// Samples classified at once.
const CHUNK: i64 = 4096;

/// The head's update rule; momentum is 0.9 in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "UPPERCASE")]
pub enum ProbeOptimizer {
    /// Plain gradient descent.
    Sgd,
    /// LARS with trust coefficient 0.001, as in the reference.
    Lars,
}

/// Trains a linear classifier on the training features; metrics `linear_top1`
/// and, with more than five classes, `linear_top5`.
///
/// Each epoch visits the samples in its own order, in batches of `batch_size` (an
/// incomplete last batch is left out, as in the reference). Under plain gradient
/// descent the largest learning rate is `base_lr · batch / 256` and the smallest a
/// hundredth of it; under LARS that is the smallest, and the largest is a hundred
/// times that. All are warmed up linearly from 0 and then lowered to 0 along half a
/// cosine.
#[derive(Clone, Debug)]
pub struct LinearProbe {
    /// Passes over the training features.
    pub epochs: u32,
    /// Features in one step.
    pub batch_size: usize,
    /// Learning rate at 256 features per step: the largest tried, under LARS the smallest.
    pub base_lr: f64,
    /// Length of the linear warm-up, in epochs.
    pub warmup_epochs: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// The head's update rule.
    pub optimizer: ProbeOptimizer,
}

impl Default for LinearProbe {
    fn default() -> Self {
        Self {
            epochs: 30,
            batch_size: 512,
            base_lr: 0.3,
            warmup_epochs: 1.0,
            weight_decay: 0.0,
            optimizer: ProbeOptimizer::Sgd,
        }
    }
}

impl LinearProbe {
    pub(crate) fn validate(&self) -> Result<(), EvalError> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let not_negative = |value: f64| value >= 0.0 && value.is_finite();
        let settings = [
            ("epochs", f64::from(self.epochs), self.epochs > 0, "at least 1"),
            // One sample has no variance to normalise by.
            ("batch_size", self.batch_size as f64, self.batch_size > 1, "at least 2"),
            ("base_lr", self.base_lr, positive(self.base_lr), "positive and finite"),
            ("warmup_epochs", self.warmup_epochs, not_negative(self.warmup_epochs), "0 or more"),
            ("weight_decay", self.weight_decay, not_negative(self.weight_decay), "0 or more"),
        ];
        for (name, value, good, expected) in settings {
            if !good {
                return Err(EvalError::Setting { name, value, expected });
            }
        }
        Ok(())
    }

    pub(crate) fn train(
        &self,
        features: &EncodedData,
        seed: u64,
        stop: &AtomicBool,
    ) -> Result<Head, EvalError> {
        let train = features.train();
        let everything = draw_order((0..train.samples()).collect(), seed, 0, Draw::HeldOut);
        let (chosen_on, trained_on) =
            everything.split_at((train.samples() / HELD_OUT).max(1) as usize);
        let mut heads = Heads::new(train, features.classes(), self.ladder(), seed);
        let rule = Momentum {
            momentum: 0.9,
            weight_decay: self.weight_decay,
            trust: (self.optimizer == ProbeOptimizer::Lars).then_some(0.001),
        };
        let batch = trained_on.len().min(self.batch_size) as i64;
        let steps = trained_on.len() as i64 / batch;
        for epoch in 0..self.epochs {
            let order = draw_order(trained_on.to_vec(), seed, epoch, Draw::Order);
            let order = Tensor::from_slice(&order).to_device(train.features().device());
            for step in 0..steps {
                go_on(stop)?;
                let at = f64::from(epoch) + step as f64 / steps as f64;
                let learning_rate = self.learning_rate(at) * batch as f64 / 256.0;
                heads.step(train, &order.narrow(0, step * batch, batch), learning_rate, &rule);
            }
        }
        Ok(heads.best(train, chosen_on))
    }

    fn ladder(&self) -> &'static [f64; 5] {
        match self.optimizer {
            ProbeOptimizer::Sgd => &LADDER,
            ProbeOptimizer::Lars => &LARS_LADDER,
        }
    }

    /// The learning rate at a fractional epoch and 256 features per step.
    fn learning_rate(&self, epoch: f64) -> f64 {
        if epoch < self.warmup_epochs {
            return self.base_lr * epoch / self.warmup_epochs;
        }
        let rest = f64::from(self.epochs) - self.warmup_epochs;
        self.base_lr * 0.5 * (1.0 + (PI * (epoch - self.warmup_epochs) / rest).cos())
    }
}

impl Evaluator for LinearProbe {
    fn name(&self) -> &str {
        "linear"
    }

    fn settings(&self) -> String {
        let Self { epochs, batch_size, base_lr, optimizer, .. } = self;
        format!(
            "{optimizer}, {epochs} epochs with batches of {batch_size}, best of {} learning rates \
             around base {base_lr} on a held-out tenth of the training split",
            self.ladder().len()
        )
    }

    /// # Errors
    /// [`EvalError::Setting`] when a setting is out of range, and when there are
    /// fewer than three training samples.
    fn evaluate_until(
        &self,
        features: &EncodedData,
        seed: u64,
        stop: &AtomicBool,
    ) -> Result<Metrics, EvalError> {
        self.validate()?;
        // Two samples to normalise a batch, one to choose a head.
        let samples = features.train().samples();
        if samples < 3 {
            let (name, expected) = ("number of training features", "at least 3");
            return Err(EvalError::Setting { name, value: samples as f64, expected });
        }
        tch::no_grad(|| {
            let head = self.train(features, seed, stop)?;
            let (test, classes) = (features.test(), features.classes());
            let mut metrics = Metrics::from_iter([("linear_top1", head.accuracy(test, 1))]);
            if classes > 5 {
                metrics.extend([("linear_top5", head.accuracy(test, 5))]);
            }
            Ok(metrics)
        })
    }
}

/// Heads at every rate of the ladder, after one batch norm.
struct Heads {
    norm: Norm,
    weight: Parameter,
    bias: Parameter,
    one_hot: Tensor,
}

impl Heads {
    /// Equal heads: normal weights with standard deviation 0.01, biases 0.
    fn new(train: &EncodedSplit, classes: i64, ladder: &[f64], seed: u64) -> Self {
        let (width, options) = (train.width(), (Kind::Float, train.features().device()));
        let mut stream = Draw::Head.stream(seed, 0);
        let weight: Vec<f32> =
            (0..classes * width).map(|_| (HEAD_STD * stream.normal()) as f32).collect();
        let weight = Tensor::from_slice(&weight).view([1, classes, width]).to_device(options.1);
        let heads = ladder.len() as i64;
        Self {
            norm: Norm::new(width, options),
            weight: Parameter::new(weight.repeat([heads, 1, 1]), ladder),
            bias: Parameter::new(Tensor::zeros([heads, classes], options), ladder),
            one_hot: Tensor::eye(classes, options),
        }
    }

    /// One step on the samples at `indices` \[B\].
    fn step(
        &mut self,
        train: &EncodedSplit,
        indices: &Tensor,
        learning_rate: f64,
        rule: &Momentum,
    ) {
        let inputs = self.norm.apply(&train.features().index_select(0, indices), true);
        let labels = self.one_hot.index_select(0, &train.labels().index_select(0, indices));
        let error = (self.logits(&inputs).softmax(-1, Kind::Float) - labels.unsqueeze(1))
            / indices.numel() as f64;
        let bias = error.sum_dim_intlist([0].as_slice(), false, Kind::Float);
        let weight = error.flatten(1, 2).transpose(0, 1).matmul(&inputs);
        self.weight.step(weight.view_as(&self.weight.value), learning_rate, rule);
        self.bias.step(bias, learning_rate, rule);
    }

    /// Normalised features [B, D] to logits [B, heads, classes].
    fn logits(&self, inputs: &Tensor) -> Tensor {
        let bias = &self.bias.value;
        let logits = inputs.linear(&self.weight.value.flatten(0, 1), Some(&bias.flatten(0, 1)));
        logits.view([-1, bias.size()[0], bias.size()[1]])
    }

    /// The head that classifies most samples at `indices` correctly; among equals, the one with the
    /// largest learning rate.
    fn best(self, split: &EncodedSplit, indices: &[i64]) -> Head {
        let indices = Tensor::from_slice(indices).to_device(split.features().device());
        let correct = indices.split(CHUNK, 0).into_iter().map(|indices| {
            let inputs = self.norm.apply(&split.features().index_select(0, &indices), false);
            let labels = split.labels().index_select(0, &indices).unsqueeze(1);
            let guesses = self.logits(&inputs).argmax(-1, false);
            guesses.eq_tensor(&labels).sum_dim_intlist([0].as_slice(), false, Kind::Int64)
        });
        let correct = Vec::<i64>::try_from(correct.sum::<Tensor>()).expect("a count for each head");
        let best = (0..correct.len()).rev().max_by_key(|&head| correct[head]).unwrap_or(0);
        let (weight, bias) = (self.weight.value.get(best as i64), self.bias.value.get(best as i64));
        Head { norm: self.norm, weight, bias }
    }
}

/// The chosen classifier.
pub(crate) struct Head {
    norm: Norm,
    weight: Tensor,
    bias: Tensor,
}

impl Head {
    /// Features [N, D] to logits [N, classes].
    pub(crate) fn logits(&self, features: &Tensor) -> Tensor {
        self.norm.apply(features, false).linear(&self.weight, Some(&self.bias))
    }

    /// Share of samples whose label is among the `k` largest logits.
    fn accuracy(&self, split: &EncodedSplit, k: i64) -> f64 {
        let features = split.features().split(CHUNK, 0);
        let labels = split.labels().split(CHUNK, 0);
        let correct = features.iter().zip(&labels).map(|(features, labels)| {
            let (_, guesses) = self.logits(features).topk(k, 1, true, true);
            guesses.eq_tensor(&labels.unsqueeze(1)).sum(Kind::Int64)
        });
        correct.sum::<Tensor>().int64_value(&[]) as f64 / split.samples() as f64
    }
}

/// Batch norm without affine parameters.
struct Norm {
    mean: Tensor,
    variance: Tensor,
}

impl Norm {
    fn new(width: i64, options: (Kind, Device)) -> Self {
        Self { mean: Tensor::zeros([width], options), variance: Tensor::ones([width], options) }
    }

    /// Normalises [B, D] by the batch's statistics in training, which also update the
    /// running ones, and otherwise by the running statistics.
    fn apply(&self, features: &Tensor, training: bool) -> Tensor {
        let (mean, variance) = (Some(&self.mean), Some(&self.variance));
        let none = None::<&Tensor>;
        features.batch_norm(none, none, mean, variance, training, NORM_MOMENTUM, NORM_EPS, false)
    }
}

/// Random choices of the probe; each has its own streams.
#[derive(Clone, Copy)]
enum Draw {
    Order,
    Head,
    HeldOut,
}

impl Draw {
    fn stream(self, seed: u64, epoch: u32) -> RandomStream {
        let (epoch, sample) = (epoch.into(), self as u64);
        StreamKey { seed, purpose: Purpose::EVALUATE, epoch, sample }.stream()
    }
}

fn draw_order(mut samples: Vec<i64>, seed: u64, epoch: u32, draw: Draw) -> Vec<i64> {
    draw.stream(seed, epoch).shuffle(&mut samples);
    samples
}
