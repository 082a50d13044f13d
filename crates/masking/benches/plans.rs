//! Plans per second: a batch of 256 samples of an image (196 tokens) and of a clip (8 × 14 × 14 =
//! 1,568 tokens), for each strategy and for the reference's argsort of noise.

use bauta_masking::{Grid, MaskPlan, Strategy};

use bauta_streams::{Purpose, StreamKey};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use strum::VariantArray;

const BATCH: usize = 256;
const RATIO: f64 = 0.75;

fn plans(criterion: &mut Criterion) {
    let samples: Vec<u64> = (0..BATCH as u64).collect();
    for time in [1, 8] {
        let grid = Grid::new(time, 14, 14).expect("a grid of tokens");
        let mut group = criterion.benchmark_group(format!("plans/{}", grid.tokens()));
        group.throughput(Throughput::Elements(BATCH as u64));
        for &name in Strategy::VARIANTS {
            let Ok(strategy) = name.build(grid, RATIO) else { continue };
            group.bench_function(<&str>::from(name), |bencher| {
                bencher.iter(|| MaskPlan::draw(&*strategy, 0, 0, &samples));
            });
        }
        let mut stream =
            StreamKey { seed: 0, purpose: Purpose::MASK, epoch: 0, sample: 0 }.stream();
        let noise: Vec<f32> = (0..BATCH * grid.tokens()).map(|_| stream.uniform()).collect();
        group.bench_function("from-noise", |bencher| {
            bencher.iter(|| MaskPlan::from_noise(&noise, BATCH, RATIO));
        });
        group.finish();
    }
}

criterion_group!(benches, plans);
criterion_main!(benches);
