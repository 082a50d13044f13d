//! The same numbers as torchvision's ResNet-18 and ResNet-50: a pass for training, gradients, a
//! step of SGD, running moments and a pass for evaluation. `fixtures/resnet.py` made the numbers.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::collections::HashMap;
use std::path::Path;

use bauta_backbones::checkpoint::read_tensors;
use bauta_backbones::{Moments, Parameter, Parameters, ResNet, ResNetConfig, ResNetDepth, Stem};
use tch::{Device, Kind, Tensor};

const RATE: f64 = 0.002;

/// Numbers in [-0.5, 0.5) that differ from their neighbours.
fn numbers(place: u64, count: usize) -> Vec<f64> {
    let mix = |i: u64| {
        let mut mixed = (i + 977 * place + 1).wrapping_mul(2_654_435_761) & 0xffff_ffff;
        mixed ^= mixed >> 15;
        mixed = mixed.wrapping_mul(2_246_822_519) & 0xffff_ffff;
        mixed ^= mixed >> 13;
        mixed as f64 / 4_294_967_296.0 - 0.5
    };
    (0..count as u64).map(mix).collect()
}

fn tensor(place: u64, shape: &[i64], scale: f64, shift: f64) -> Tensor {
    let count = shape.iter().product::<i64>() as usize;
    let values: Vec<f32> =
        numbers(place, count).iter().map(|value| (value * scale + shift) as f32).collect();
    Tensor::from_slice(&values).view(shape)
}

/// In the order of their names, as the fixture has them.
fn sorted(parameters: &Parameters) -> Vec<&Parameter> {
    let mut all: Vec<&Parameter> = parameters.iter().collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

fn fill(parameters: &Parameters) {
    let mut values = HashMap::new();
    for (place, Parameter { name, tensor: old, .. }) in sorted(parameters).into_iter().enumerate() {
        let shape = old.size();
        let (scale, shift) = match shape[..] {
            [_, inputs, height, width] => ((9.0 / (inputs * height * width) as f64).sqrt(), 0.0),
            _ if name.ends_with("weight") || name.ends_with("running_var") => (0.4, 1.0),
            _ => (0.4, 0.0),
        };
        values.insert(name.clone(), tensor(place as u64, &shape, scale, shift));
    }
    parameters.assign(&values).unwrap();
}

fn summaries<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Tensor {
    let summary = |values: &Tensor| {
        let flat = values.detach().to_kind(Kind::Double).flatten(0, -1);
        let weighted = &flat * Tensor::from_slice(&numbers(5000, flat.numel()));
        [flat.norm().double_value(&[]), weighted.sum(Kind::Double).double_value(&[])]
    };
    let rows: Vec<[f64; 2]> = tensors.map(summary).collect();
    Tensor::from_slice(rows.as_flattened()).view([-1, 2])
}

/// Each row within 10⁻⁴ of the largest value in it.
fn assert_close(what: &str, found: &Tensor, wanted: &Tensor) {
    assert_eq!(found.size(), wanted.size(), "{what}");
    let off = (found - wanted).abs().flatten(1, -1).amax([1_i64].as_slice(), false);
    let off = off / wanted.abs().flatten(1, -1).amax([1_i64].as_slice(), false);
    let off = off.max().double_value(&[]);
    assert!(off < 1e-4, "{what} is off by {off:.1e}");
}

#[test]
fn torchvisions_networks_compute_the_same_and_learn_the_same() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/resnet.safetensors");
    let wanted = read_tensors(&path).unwrap();
    for (case, depth, stem, side) in [
        ("resnet18-small", ResNetDepth::Eighteen, Stem::Small, 16),
        ("resnet18-large", ResNetDepth::Eighteen, Stem::Large, 64),
        ("resnet50-large", ResNetDepth::Fifty, Stem::Large, 64),
    ] {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let config = ResNetConfig { depth, stem, width: 64, channels: 3 };
        let network = ResNet::new(parameters.root(), config).unwrap();
        fill(&parameters);
        let wanted = |what: &str| &wanted[&format!("{case}.{what}")];
        let images = tensor(3000, &[3, 3, side, side], 3.0, 0.0);
        let features = network.forward(&images, Moments::Batch { splits: 1 }).unwrap();
        assert_close(&format!("{case} training"), &features.detach(), wanted("training"));
        let loss = (&features * tensor(4000, &features.size(), 1.0, 0.0)).sum(Kind::Float);
        let found = loss.double_value(&[]);
        assert!((found / wanted("loss").double_value(&[0]) - 1.0).abs() < 1e-4, "{found}");
        loss.backward();
        let all = sorted(&parameters);
        let gradients: Vec<Tensor> =
            all.iter().filter(|p| p.trainable).map(|p| p.tensor.grad()).collect();
        assert_close(
            &format!("{case} gradients"),
            &summaries(gradients.iter()),
            wanted("gradients"),
        );
        tch::no_grad(|| {
            for parameter in parameters.trainable() {
                let gradient = parameter.tensor.grad();
                let _ = parameter.tensor.shallow_clone().g_sub_(&(gradient * RATE));
            }
        });
        let moments = all.iter().filter(|p| !p.trainable).map(|p| &p.tensor);
        assert_close(&format!("{case} moments"), &summaries(moments), wanted("moments"));
        let after = tch::no_grad(|| network.forward(&images, Moments::Running)).unwrap();
        assert_close(&format!("{case} after a step"), &after, wanted("after"));
    }
}
