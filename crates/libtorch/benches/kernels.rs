//! The shim's kernels against those that libtorch chooses by itself, forward and backward.

use std::hint::black_box;

use bauta_libtorch::{attention, linear, normal};
use bauta_streams::{Purpose, StreamKey};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tch::{Kind, Tensor};

/// A tensor of standard normal numbers.
fn numbers(name: &str, shape: &[i64]) -> Tensor {
    let key = StreamKey { seed: 0, purpose: Purpose::named(name), epoch: 0, sample: 0 };
    normal(shape, 1.0, &mut key.stream())
}

fn gradient(output: &Tensor, inputs: &[&Tensor]) {
    let sum = output.to_kind(Kind::Float).sum(Kind::Float);
    black_box(Tensor::run_backward(&[sum], inputs, false, false));
}

/// Attention of a batch: samples, tokens, heads and width of a head.
fn attentions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("attention");
    group.sample_size(10);
    for (samples, tokens, heads, width) in [(128, 17, 3, 64), (128, 65, 3, 64), (32, 197, 16, 32)] {
        for kind in [Kind::Float, Kind::BFloat16] {
            let qkv = numbers("qkv", &[samples, tokens, 3 * heads * width]).to_kind(kind);
            let qkv = qkv.set_requires_grad(true);
            let case = format!("{samples}x{tokens}x{heads}x{width} {kind:?}");
            group.bench_function(BenchmarkId::new("grouped", &case), |bencher| {
                bencher.iter(|| gradient(&attention(&qkv, heads, None).expect("it fits"), &[&qkv]));
            });
            group.bench_function(BenchmarkId::new("fused", &case), |bencher| {
                bencher.iter(|| {
                    let parts = qkv.view([samples, tokens, 3, heads, width]);
                    let part = |third| parts.select(2, third).transpose(1, 2);
                    let (q, k, v) = (part(0), part(1), part(2));
                    let none = None::<Tensor>;
                    let output = Tensor::scaled_dot_product_attention(
                        &q, &k, &v, none, 0.0, false, None, false,
                    );
                    gradient(&output.transpose(1, 2).reshape([samples, tokens, -1]), &[&qkv]);
                });
            });
        }
    }
    group.finish();
}

/// Linear layers in single precision: rows, inputs, outputs.
fn linears(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("linear");
    group.sample_size(10);
    for (rows, inputs, outputs) in [(8320, 192, 576), (8320, 192, 768), (8320, 768, 192)] {
        let x = numbers("x", &[rows, inputs]).set_requires_grad(true);
        let w = numbers("w", &[outputs, inputs]).set_requires_grad(true);
        let b = numbers("b", &[outputs]).set_requires_grad(true);
        let case = format!("{rows}x{inputs}x{outputs}");
        group.bench_function(BenchmarkId::new("onednn", &case), |bencher| {
            bencher.iter(|| gradient(&linear(&x, &w, Some(&b)).expect("it fits"), &[&x, &w, &b]));
        });
        group.bench_function(BenchmarkId::new("libtorch", &case), |bencher| {
            bencher.iter(|| gradient(&x.linear(&w, Some(&b)), &[&x, &w, &b]));
        });
    }
    group.finish();
}

criterion_group!(kernels, attentions, linears);
criterion_main!(kernels);
