//! The cost of a MixMask step: MoCo's step is one pass that learns and one pass of keys, and
//! MixMask's has one learning pass more, so it should cost at most two learning passes and one of
//! keys. The network and the batch are those of the recipe `mixmask-cifar10`.

use bauta_benches::SiameseCase;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const BATCH: usize = 128;

fn mixmask_step(criterion: &mut Criterion) {
    let case = SiameseCase::new(16, 32, BATCH);
    let mut group = criterion.benchmark_group("MixMask on ResNet-18, width 16, 32 pixels");
    group.sample_size(10).throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("a pass that learns", |bencher| bencher.iter(|| case.pass()));
    group.bench_function("a pass of keys", |bencher| bencher.iter(|| case.keys()));
    group.bench_function("MoCo step", |bencher| bencher.iter(|| case.step(false)));
    group.bench_function("MixMask step", |bencher| bencher.iter(|| case.step(true)));
    group.finish();
}

criterion_group!(benches, mixmask_step);
criterion_main!(benches);
