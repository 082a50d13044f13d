//! A training step that learns policies compared with one that follows them.
//!
//! Sizes are those of `multilabel-tree`: 24 labels, batches of 128 documents and 256 held-out ones,
//! with 40 words each.

use bauta_backbones::Parameters;
use bauta_libtorch::{AdamStep, AdamTensors, fused_adam, integers, normal, uniform};
use bauta_multilabel::{
    Architecture, Classifier, ClassifierConfig, MetaConfig, MetaLearner, Noise, Words,
    weighted_loss,
};
use bauta_streams::{Purpose, RandomStream, StreamKey};
use criterion::{Criterion, criterion_group, criterion_main};
use tch::{Device, Kind, Tensor};

const LABELS: i64 = 24;
const WORDS: i64 = 40;
const IDS: i64 = 4096;

fn stream(sample: u64) -> RandomStream {
    StreamKey { seed: 0, purpose: Purpose::named("bench"), epoch: 0, sample }.stream()
}

fn documents(count: i64, sample: u64) -> (Words, Tensor) {
    let mut stream = stream(sample);
    let words = Words::Bag {
        ids: integers(&[count * WORDS], IDS as u64, &mut stream),
        offsets: Tensor::arange(count, (Kind::Int64, Device::Cpu)) * WORDS,
        weights: Tensor::full([count * WORDS], 0.16, (Kind::Float, Device::Cpu)),
    };
    let truth = uniform(&[count, LABELS], 0.0, 1.0, &mut stream).less(0.2).to_kind(Kind::Float);
    (words, truth)
}

/// A classifier, its optimiser's state, and the meta-learner.
struct Bench {
    parameters: Parameters,
    classifier: Classifier,
    learner: MetaLearner,
    moments: [Vec<Tensor>; 2],
    updates: Tensor,
    step: u64,
}

impl Bench {
    fn new() -> Self {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let prevalence = vec![0.2; LABELS as usize];
        let architecture = Architecture::Bag;
        let config =
            ClassifierConfig { architecture, ids: IDS as usize, dim: 64, hidden: 128, prevalence };
        let classifier = Classifier::new(parameters.root(), &config).expect("no size is 0");
        let config = MetaConfig::new(LABELS as usize, 1 << 20);
        let config = MetaConfig { steps: 0, ..config };
        let learner = MetaLearner::new(parameters.root().sub("meta"), &config);
        let learner = learner.expect("the defaults are within their ranges");
        let zeros = || parameters.trainable().map(|p| p.tensor.zeros_like().detach()).collect();
        let (moments, updates) =
            ([zeros(), zeros()], Tensor::zeros([1], (Kind::Float, Device::Cpu)));
        Self { classifier, learner, moments, updates, step: 0, parameters }
    }

    fn step(&mut self, [train, held_out]: &[(Words, Tensor); 2], noise: Option<&Noise>) {
        let action = self.learner.act(noise);
        let logits = self.classifier.forward(&train.0, None);
        let loss = weighted_loss(&logits, &train.1, &action.weights);
        let parameters: Vec<Tensor> =
            self.parameters.trainable().map(|p| p.tensor.shallow_clone()).collect();
        let gradients = Tensor::run_backward(&[loss], &parameters, false, false);
        let gradients: Vec<Tensor> = gradients.iter().map(Tensor::contiguous).collect();
        let tensors = AdamTensors {
            parameters: &parameters,
            gradients: &gradients,
            exp_avgs: &self.moments[0],
            exp_avg_sqs: &self.moments[1],
            step: &self.updates.get(0),
        };
        let settings =
            AdamStep { lr: 1e-3, beta1: 0.9, beta2: 0.999, weight_decay: 0.0, eps: 1e-8 };
        fused_adam(tensors, settings, None).expect("the tensors fit");
        if noise.is_some() {
            let logits = tch::no_grad(|| self.classifier.forward(&held_out.0, None));
            self.learner.learn(action, &logits, &held_out.1).expect("the tensors fit");
        } else {
            self.learner.pass(&action, self.step);
        }
        self.step += 1;
    }
}

fn benches(c: &mut Criterion) {
    tch::set_num_threads(1);
    let inputs = [documents(128, 0), documents(256, 1)];
    let mut draws = stream(2);
    let noise = Noise {
        weights: normal(&[LABELS], 1.0, &mut draws),
        thresholds: normal(&[LABELS], 1.0, &mut draws),
    };
    let mut group = c.benchmark_group("multilabel");
    let mut plain = Bench::new();
    group.bench_function("plain step", |b| b.iter(|| plain.step(&inputs, None)));
    let mut learning = Bench::new();
    group.bench_function("meta step", |b| b.iter(|| learning.step(&inputs, Some(&noise))));
    group.finish();
}

criterion_group!(meta_step, benches);
criterion_main!(meta_step);
