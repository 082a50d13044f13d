//! A batch of images alone in the model of pairs compared with the image-only model: a forward and
//! backward pass with small sizes, 32 images of 64 patches, three quarters of them masked.

use bauta_backbones::{Parameters, TokenIndices};
use bauta_libtorch::normal;
use bauta_masking::{Grid, MaskPlan, RandomMask};
use bauta_multimodal::{ImageTokens, PairAutoencoder, PairConfig};
use bauta_streams::{Purpose, StreamKey};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tch::{Device, Tensor};

const BATCH: i64 = 32;

fn image_only(criterion: &mut Criterion) {
    let grid = Grid::image(8, 8).expect("there are patches");
    let images = PairConfig::new(grid, 192, 192).with_decoder(128, 2, 4);
    let images = PairConfig { depth: 6, heads: 3, ..images };
    let pairs = images.clone().with_text(30_522, 64);
    let strategy = RandomMask::new(grid, 0.75).expect("the ratio fits");
    let samples: Vec<u64> = (0..BATCH as u64).collect();
    let plan = MaskPlan::draw(&strategy, 0, 0, &samples).expect("random masks are equal");
    let indices = TokenIndices::new(&plan, Device::Cpu);
    let key = StreamKey { seed: 0, purpose: Purpose::named("bench"), epoch: 0, sample: 0 };
    let patches = normal(&[BATCH, 64, 192], 1.0, &mut key.stream());
    let hidden = indices.gather_masked(&patches);

    let mut group = criterion.benchmark_group("step of images alone");
    group.sample_size(20).throughput(Throughput::Elements(BATCH as u64));
    for (name, config) in [("model of images", &images), ("model of pairs", &pairs)] {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let model = PairAutoencoder::new(parameters.root(), config).expect("sizes fit");
        // Parameters that a batch of images reaches: the text part has no gradient.
        let reached: Vec<Tensor> = parameters
            .trainable()
            .filter(|parameter| !parameter.name.contains("text"))
            .map(|parameter| parameter.tensor.shallow_clone())
            .collect();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let image = ImageTokens { patches: &patches, indices: Some(&indices) };
                let latent = model.encode(Some(image), None).expect("the images fit");
                let decoded = model.decode(&latent).expect("the latent fits");
                let decoded = decoded.image().expect("there are images");
                let predicted = model.pixels(&indices.gather_masked(decoded));
                let loss = (predicted - &hidden).square().mean(tch::Kind::Float);
                Tensor::run_backward(&[loss], &reached, false, false)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, image_only);
criterion_main!(benches);
