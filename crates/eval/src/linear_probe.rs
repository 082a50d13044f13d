//! Linear probing (MAE appendix A.1): batch norm without affine parameters, then
//! one linear layer, trained on frozen features.
//!
//! The loss is softmax cross-entropy of a linear layer, so the gradient is written
//! down instead of recorded: with p = softmax(x Wᵀ + b) and one-hot labels y,
//! ∂W = (p − y)ᵀ x / B and ∂b = Σ (p − y) / B. The batch norm in front has no
//! parameters, and nothing flows into the features.

use std::f64::consts::{PI, TAU};

use bauta_masking::{Purpose, RandomStream, StreamKey};
use tch::{Kind, Tensor};

use crate::momentum::{Momentum, Parameter};
use crate::{EvalError, Evaluator, Features, Metrics, Split};

const NORM_EPS: f64 = 1e-6;
const NORM_MOMENTUM: f64 = 0.1;
const HEAD_STD: f64 = 0.01;
/// Test samples classified at once.
const TEST_CHUNK: i64 = 4096;

/// How the head steps; momentum is 0.9 in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimizer {
    /// Plain gradient descent.
    Sgd,
    /// LARS with trust coefficient 0.001, as the reference.
    Lars,
}

/// Trains a linear classifier on the training features; metrics `linear_top1`
/// and, with more than five classes, `linear_top5`.
///
/// Each epoch visits the samples in an order of its own, in batches of
/// `batch_size` (the rest of fewer is left out, as the reference leaves it). The
/// learning rate is `base_lr · batch / 256`, warmed up linearly from 0 and then
/// lowered to 0 along a half cosine, step by step.
#[derive(Clone, Debug)]
pub struct LinearProbe {
    /// Passes over the training features.
    pub epochs: u32,
    /// Features in one step.
    pub batch_size: usize,
    /// Learning rate at 256 features a step.
    pub base_lr: f64,
    /// Length of the linear warm-up, in epochs.
    pub warmup_epochs: f64,
    /// Pull of the weights towards zero.
    pub weight_decay: f64,
    /// How the head steps.
    pub optimizer: Optimizer,
}

impl Default for LinearProbe {
    fn default() -> Self {
        Self {
            epochs: 30,
            batch_size: 512,
            base_lr: 0.1,
            warmup_epochs: 1.0,
            weight_decay: 0.0,
            optimizer: Optimizer::Sgd,
        }
    }
}

impl LinearProbe {
    fn validate(&self) -> Result<(), EvalError> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let not_negative = |value: f64| value >= 0.0 && value.is_finite();
        let settings = [
            ("eval.linear.epochs", f64::from(self.epochs), self.epochs > 0, "at least 1"),
            // One sample has no variance to normalise by.
            ("eval.linear.batch_size", self.batch_size as f64, self.batch_size > 1, "at least 2"),
            ("eval.linear.base_lr", self.base_lr, positive(self.base_lr), "positive and finite"),
            (
                "eval.linear.warmup_epochs",
                self.warmup_epochs,
                not_negative(self.warmup_epochs),
                "0 or more",
            ),
            (
                "eval.linear.weight_decay",
                self.weight_decay,
                not_negative(self.weight_decay),
                "0 or more",
            ),
        ];
        for (name, value, good, expected) in settings {
            if !good {
                return Err(EvalError::Setting { name, value, expected });
            }
        }
        Ok(())
    }

    fn train(&self, features: &Features, seed: u64) -> Head {
        let train = features.train();
        let mut head = Head::new(train, features.classes(), seed);
        let rule = Momentum {
            momentum: 0.9,
            weight_decay: self.weight_decay,
            trust: (self.optimizer == Optimizer::Lars).then_some(0.001),
        };
        let batch = train.samples().min(self.batch_size as i64);
        let steps = train.samples() / batch;
        for epoch in 0..self.epochs {
            let order = order(train, seed, epoch);
            for step in 0..steps {
                let at = f64::from(epoch) + step as f64 / steps as f64;
                let learning_rate = self.learning_rate(at) * batch as f64 / 256.0;
                head.step(train, &order.narrow(0, step * batch, batch), learning_rate, &rule);
            }
        }
        head
    }

    /// The learning rate at a fractional epoch and 256 features a step.
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

    /// # Errors
    /// [`EvalError::Setting`] when a setting is out of range, and when there is
    /// only one training sample.
    fn evaluate(&self, features: &Features, seed: u64) -> Result<Metrics, EvalError> {
        self.validate()?;
        if features.train().samples() < 2 {
            let (name, expected) = ("number of training features", "at least 2");
            return Err(EvalError::Setting { name, value: 1.0, expected });
        }
        tch::no_grad(|| {
            let head = self.train(features, seed);
            let (test, classes) = (features.test(), features.classes());
            let mut metrics = Metrics::from_iter([("linear_top1", head.accuracy(test, 1))]);
            if classes > 5 {
                metrics.extend([("linear_top5", head.accuracy(test, 5))]);
            }
            Ok(metrics)
        })
    }
}

/// The classifier: batch norm's running statistics, and one linear layer.
struct Head {
    mean: Tensor,
    variance: Tensor,
    weight: Parameter,
    bias: Parameter,
    one_hot: Tensor,
}

impl Head {
    fn new(train: &Split, classes: i64, seed: u64) -> Self {
        let (width, options) = (train.width(), (Kind::Float, train.features().device()));
        let key = StreamKey { seed, purpose: Purpose::EVALUATE, epoch: 0, sample: 1 };
        let mut stream = key.stream();
        let weight: Vec<f32> =
            (0..classes * width).map(|_| (HEAD_STD * normal(&mut stream)) as f32).collect();
        let weight = Tensor::from_slice(&weight).view([classes, width]).to_device(options.1);
        Self {
            mean: Tensor::zeros([width], options),
            variance: Tensor::ones([width], options),
            weight: Parameter::new(weight),
            bias: Parameter::new(Tensor::zeros([classes], options)),
            one_hot: Tensor::eye(classes, options),
        }
    }

    /// One step on the samples with these indices [B].
    fn step(&mut self, train: &Split, indices: &Tensor, learning_rate: f64, rule: &Momentum) {
        let inputs = self.normalize(&train.features().index_select(0, indices), true);
        let labels = train.labels().index_select(0, indices);
        let probabilities = self.logits(&inputs).softmax(-1, Kind::Float);
        let error =
            (probabilities - self.one_hot.index_select(0, &labels)) / indices.numel() as f64;
        self.weight.step(error.transpose(0, 1).matmul(&inputs), learning_rate, rule);
        self.bias.step(
            error.sum_dim_intlist([0].as_slice(), false, Kind::Float),
            learning_rate,
            rule,
        );
    }

    /// Features [B, D] normalised by the batch's statistics, which also move the
    /// running ones, or else by the running statistics.
    fn normalize(&self, features: &Tensor, training: bool) -> Tensor {
        features.batch_norm::<&Tensor>(
            None,
            None,
            Some(&self.mean),
            Some(&self.variance),
            training,
            NORM_MOMENTUM,
            NORM_EPS,
            false,
        )
    }

    /// Normalised features [B, D] to logits [B, classes].
    fn logits(&self, inputs: &Tensor) -> Tensor {
        inputs.linear(&self.weight.value, Some(&self.bias.value))
    }

    /// Share of samples whose label is among the `k` largest logits.
    fn accuracy(&self, split: &Split, k: i64) -> f64 {
        let features = split.features().split(TEST_CHUNK, 0);
        let labels = split.labels().split(TEST_CHUNK, 0);
        let correct = features.iter().zip(&labels).map(|(features, labels)| {
            let (_, guesses) = self.logits(&self.normalize(features, false)).topk(k, 1, true, true);
            guesses.eq_tensor(&labels.unsqueeze(1)).sum(Kind::Int64)
        });
        let correct = Tensor::stack(&correct.collect::<Vec<_>>(), 0).sum(Kind::Int64);
        correct.int64_value(&[]) as f64 / split.samples() as f64
    }
}

/// The order [N] in which an epoch visits the samples.
fn order(train: &Split, seed: u64, epoch: u32) -> Tensor {
    let mut order: Vec<i64> = (0..train.samples()).collect();
    let key = StreamKey { seed, purpose: Purpose::EVALUATE, epoch: epoch.into(), sample: 0 };
    key.stream().shuffle(&mut order);
    Tensor::from_slice(&order).to_device(train.features().device())
}

/// A standard normal number (Box–Muller).
fn normal(stream: &mut RandomStream) -> f64 {
    // The interval excludes 1, so the logarithm's argument is never 0.
    let radius = (-2.0 * (1.0 - stream.uniform_in(0.0, 1.0)).ln()).sqrt();
    radius * stream.uniform_in(0.0, TAU).cos()
}
