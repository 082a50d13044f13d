//! Views per second on one core, two of each image: random resized crops with MoCo v2's colour
//! changes, of images of CIFAR's size and of photos already in memory.
//!
//! `cargo xtask bench peers --case views` compares them with torchvision's.

use std::hint::black_box;

use bauta_data::{Augment, Augmenter, Colours, Image};
use bauta_streams::{Purpose, StreamKey};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn views(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("views");
    group.throughput(Throughput::Elements(2));
    for (name, height, width, out) in [("32", 32, 32, 32), ("500x375-to-224", 375, 500, 224)] {
        let pixels: Vec<u8> =
            (0..height * width * 3).map(|i| (i * 37 % 251) as u8 ^ (i / 7) as u8).collect();
        let image = Image::new(height, width, 3, pixels);
        let augment = Augment { colours: Some(Colours::default()), ..Augment::default() };
        let augmenter = Augmenter::new(&augment, 3, out, out).expect("the settings are in range");
        let (mut planes, mut sample) = (vec![0; 3 * out * out], 0);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for view in ["first view", "second view"] {
                    let purpose = Purpose::named(view);
                    let key = StreamKey { seed: 0, purpose, epoch: 0, sample };
                    augmenter.apply(&image, &mut key.stream(), &mut planes);
                    black_box(&planes);
                }
                sample += 1;
            });
        });
    }
    group.finish();
}

criterion_group!(benches, views);
criterion_main!(benches);
