//! Fills per second: the mask of a step, 8 × 8 cells on 224 × 224 pixels, and the partners of a
//! batch of 256, for each strategy.

use bauta_masking::{FillStrategy, Filler, Grid, Partners};
use bauta_streams::{Purpose, StreamKey};
use criterion::{Criterion, criterion_group, criterion_main};
use strum::VariantArray;

fn fills(criterion: &mut Criterion) {
    let grid = Grid::image(8, 8).expect("cells");
    let purpose = Purpose::named("bench");
    let mut stream = StreamKey { seed: 0, purpose, epoch: 0, sample: 0 }.stream();
    let mut group = criterion.benchmark_group("fills");
    for &strategy in FillStrategy::VARIANTS {
        let filler = Filler::new(strategy, grid, [224, 224], 0.5).expect("half of the cells");
        group.bench_function(<&str>::from(strategy), |bencher| {
            bencher.iter(|| filler.draw(Partners::Permutation, 256, &mut stream));
        });
    }
    group.finish();
}

criterion_group!(benches, fills);
criterion_main!(benches);
