//! Images per second through the loader: small images in memory, and photos from files.

use std::hint::black_box;
use std::sync::Arc;

use bauta_data::{
    Augment, DatasetName, InMemory, Loader, LoaderConfig, Source, Split, Statistics, open,
};
use bauta_streams::{Purpose, StreamKey};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use image::RgbImage;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

/// Ten thousand random images of CIFAR's size.
fn small_images() -> Arc<dyn Source> {
    let key = StreamKey { seed: 0, purpose: Purpose::named("bench"), epoch: 0, sample: 0 };
    let mut stream = key.stream();
    let pixels = (0..10_000 * 32 * 32 * 3).map(|_| (stream.uniform() * 256.0) as u8).collect();
    let classes = vec!["any".to_owned()];
    let source =
        InMemory::new("random", [32, 32, 3], pixels, vec![0; 10_000], classes, Statistics::CIFAR10);
    Arc::new(source.expect("the buffer has the length"))
}

/// A folder of JPEGs of 500 × 375 pixels, with detail like a photo's and colours at half the
/// resolution, as cameras write them.
fn photos() -> (tempfile::TempDir, Arc<dyn Source>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for photo in 0..32_u32 {
        let picture = RgbImage::from_fn(500, 375, |x, y| {
            let wave =
                |scale: f32| ((x as f32 / scale).sin() * (y as f32 / scale).cos() + 1.0) * 60.0;
            let grain = (x * 31 + y * 17 + photo * 7) % 16;
            let level = (wave(40.0) + wave(7.0)) as u8;
            image::Rgb([level, level / 2 + grain as u8, 255 - level])
        });
        let path = folder.path().join(format!("{photo:02}.jpg"));
        let mut encoder = Encoder::new_file(path, 90).expect("the folder can be written");
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        encoder.encode(&picture, 500, 375, ColorType::Rgb).expect("the folder can be written");
    }
    let source = open(DatasetName::Folder, Split::Train, folder.path()).expect("it has photos");
    (folder, source)
}

fn throughput(criterion: &mut Criterion) {
    let (_folder, photos) = photos();
    measure(criterion, "cifar-32", &small_images(), LoaderConfig::new(256, 32, 32), 16);
    measure(criterion, "jpeg-500x375-to-224", &photos, LoaderConfig::new(16, 224, 224), 4);
}

/// Measures `steps` batches, on one thread and on every core.
fn measure(
    criterion: &mut Criterion,
    name: &str,
    source: &Arc<dyn Source>,
    config: LoaderConfig,
    steps: u64,
) {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10);
    group.throughput(Throughput::Elements(config.batch_size as u64 * steps));
    for (label, threads) in [("one-thread", 1), ("every-core", 0)] {
        let config = LoaderConfig { threads, ..config.clone() };
        let loader = Loader::new(Arc::clone(source), Augment::default(), config)
            .expect("the settings are in range");
        group.bench_function(label, |bencher| {
            bencher.iter(|| {
                for batch in loader.batches(0..steps, |batch| batch) {
                    black_box(batch.expect("every image decodes"));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, throughput);
criterion_main!(benches);
