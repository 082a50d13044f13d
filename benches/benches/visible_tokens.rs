//! Savings from leaving masked tokens out of the encoder (MAE §3): a step of ViT-Ti/4 on 32 × 32
//! pixels with a one-block decoder, at ratio 0.75 and with a single token masked.

use bauta_backbones::VitConfig;
use bauta_benches::MaeCase;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const BATCH: usize = 32;

fn visible_tokens(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("step ViT-Ti/4, decoder depth 1");
    group.sample_size(10).throughput(Throughput::Elements(BATCH as u64));
    // 1/64 is the smallest ratio that leaves something to predict: 63 of 64 tokens visible.
    for ratio in [1.0 / 64.0, 0.5, 0.75] {
        let case = MaeCase::new(&VitConfig::tiny(32, 4), 1, BATCH, ratio);
        group.bench_function(BenchmarkId::new("ratio", format!("{ratio:.2}")), |bencher| {
            bencher.iter(|| case.step());
        });
    }
    group.finish();
}

criterion_group!(benches, visible_tokens);
criterion_main!(benches);
