//! Savings from leaving nine tenths of a clip out of the encoder (MAE-ST, table 1): a step of a
//! small transformer on clips of 16 × 64 × 64 pixels, at ratio 0.9 and with all patches in the
//! encoder, while the decoder's work is the same. The name of the group gives the factor between
//! the matrix products of the two.

use bauta_backbones::{VideoConfig, VitConfig};
use bauta_benches::ClipCase;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const BATCH: usize = 8;

fn visible_patches(criterion: &mut Criterion) {
    let config = VideoConfig::new(16, 2, VitConfig::tiny(64, 8));
    let case = ClipCase::new(&config, 1, BATCH, 0.9);
    let predicted = case.predicted_speed_up();
    let name =
        format!("step ViT-Ti on clips, decoder depth 1, {predicted:.2} times fewer products");
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("visible patches", |bencher| bencher.iter(|| case.step()));
    group.bench_function("all patches", |bencher| bencher.iter(|| case.full_step()));
    group.finish();
}

criterion_group!(benches, visible_patches);
criterion_main!(benches);
