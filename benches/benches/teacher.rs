//! The cost of a teacher (dBOT §3): a student's step towards given targets, the teacher's pass
//! alone, and the step that computes its own targets, which should cost both together.

use bauta_backbones::VitConfig;
use bauta_benches::TaughtCase;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const BATCH: usize = 64;

fn teacher(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dBOT ViT-nano/4, decoder depth 1");
    group.sample_size(20).throughput(Throughput::Elements(BATCH as u64));
    let case = TaughtCase::new(&VitConfig::nano(32, 4), 1, BATCH);
    let target = case.teach();
    group.bench_function("step", |bencher| bencher.iter(|| case.step(&target)));
    group.bench_function("teacher", |bencher| bencher.iter(|| case.teach()));
    group.bench_function("step with teacher", |bencher| {
        bencher.iter(|| case.step(&case.teach()));
    });
    group.finish();
}

criterion_group!(benches, teacher);
criterion_main!(benches);
