//! What a MixMask step costs: MoCo's step is a pass that learns and a pass of keys, MixMask's one
//! learning pass more, so it may cost at most twice the one and once the other. The network and
//! the batch are those of the recipe `mixmask-cifar10`.

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
