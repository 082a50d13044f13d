//! A masked forward pass compared with a plain one: MLP 784–300–100–10, batches of 128.

use bauta_backbones::BareConfig;
use bauta_libtorch::normal;
use bauta_streams::{Purpose, StreamKey};
use bauta_supermask::{Density, Editing, Learner, LearnerConfig, WeightStart, top_mask};
use criterion::{Criterion, criterion_group, criterion_main};
use tch::{Device, Tensor};

fn learner(density: Option<Density>) -> Learner {
    let network = BareConfig::Mlp { inputs: 784, hidden: vec![300, 100] };
    let (heads, start, keep_scores) = (None, WeightStart::SignedConstant, false);
    let config = LearnerConfig { network, classes: 10, heads, density, start, keep_scores };
    let mut learner = Learner::new(config, 0, Device::Cpu).expect("its sides are not 0");
    learner.begin(0).expect("it is the first");
    learner
}

fn benches(c: &mut Criterion) {
    let key = StreamKey { seed: 0, purpose: Purpose::named("images"), epoch: 0, sample: 0 };
    let images = normal(&[128, 784], 1.0, &mut key.stream());
    let density = Density::new(0.1).expect("it is a fraction");
    let forward = |learner: &Learner| -> Tensor {
        tch::no_grad(|| learner.logits(0, &images)).expect("the images fit")
    };
    let mut group = c.benchmark_group("supermask");
    let mut plain = learner(None);
    plain.learn_weights(Editing::Original);
    group.bench_function("forward plain", |b| b.iter(|| forward(&plain)));
    let mut masked = learner(Some(density));
    masked.learn_weights(Editing::Exclusive);
    group.bench_function("forward masked", |b| b.iter(|| forward(&masked)));
    masked.learn_masks();
    group.bench_function("forward from scores", |b| b.iter(|| forward(&masked)));
    let scores = &masked.scores()["linear.0"];
    group.bench_function("mask of 235200 scores", |b| b.iter(|| top_mask(scores, density)));
    group.finish();
}

criterion_group!(masked, benches);
criterion_main!(masked);
