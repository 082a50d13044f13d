//! Properties of the networks: momentum, where gradients flow, saved state, and that they learn.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::collections::HashMap;

use bauta_backbones::{ResNetConfig, ResNetDepth, Stem};
use bauta_masking::{FillStrategy, Filler, Grid, Partners};
use bauta_siamese::{FillTensors, Method, Shuffle, Siamese, SiameseConfig, soft_distance};
use bauta_streams::{Purpose, RandomStream, StreamKey};
use tch::{Device, Kind, Tensor};

fn config(method: Method) -> SiameseConfig {
    let encoder =
        ResNetConfig { depth: ResNetDepth::Eighteen, stem: Stem::Small, width: 4, channels: 3 };
    SiameseConfig {
        method,
        encoder,
        dim: 16,
        hidden: 24,
        queue: 24,
        momentum: 0.9,
        temperature: 0.2,
        splits: 2,
        symmetric: false,
    }
}

fn build(config: SiameseConfig) -> Siamese {
    Siamese::new(config, 0, Device::Cpu).unwrap()
}

fn stream(name: &str, sample: u64) -> RandomStream {
    StreamKey { seed: 0, purpose: Purpose::named(name), epoch: 0, sample }.stream()
}

fn images(name: &str, count: i64) -> Tensor {
    bauta_libtorch::normal(&[count, 3, 8, 8], 1.0, &mut stream(name, 0))
}

fn shuffle(samples: usize, step: u64) -> Shuffle {
    let mut order: Vec<i64> = (0..samples as i64).collect();
    stream("shuffle", step).shuffle(&mut order);
    Shuffle::new(&order, Device::Cpu)
}

const ALL: [Method; 3] = [Method::Moco, Method::Simsiam, Method::Byol];

#[test]
fn names_and_counts_are_the_published_ones() {
    // The released ImageNet model's encoder with its head.
    let encoder =
        ResNetConfig { depth: ResNetDepth::Fifty, stem: Stem::Large, width: 64, channels: 3 };
    let (dim, hidden, queue) = (128, 2048, 64);
    let moco = build(SiameseConfig { encoder, dim, hidden, queue, ..config(Method::Moco) });
    let trained = moco.parameters().trainable();
    assert_eq!(trained.map(|p| p.tensor.numel()).sum::<usize>(), 27_966_656);
    for name in ["conv1.weight", "layer4.2.bn3.running_var", "fc.0.weight", "fc.2.bias"] {
        assert!(moco.parameters().get(name).is_some(), "{name}");
    }
    let state: HashMap<String, Tensor> = moco.state().into_iter().collect();
    assert_eq!(state["queue"].size(), [128, 64]);
    assert_eq!(state["encoder_k.layer1.0.downsample.0.weight"].size(), [256, 64, 1, 1]);
    let linear = build(SiameseConfig { hidden: 0, ..config(Method::Moco) });
    assert!(linear.parameters().get("fc.weight").is_some());
    let simsiam = build(config(Method::Simsiam));
    assert!(simsiam.parameters().get("predictor.3.bias").is_some());
    assert!(simsiam.parameters().get("fc.7.weight").is_none());
    assert!(simsiam.state().is_empty());
}

#[test]
fn no_gradient_reaches_keys_momentum_encoder_or_queue() {
    for method in ALL {
        let siamese = build(config(method));
        let (x, y) = (images("x", 6), images("y", 6));
        let (seen, other) = (siamese.see(&x).unwrap(), siamese.see(&y).unwrap());
        let keys = siamese.keys(&y, Some(&other), &shuffle(6, 0)).unwrap();
        assert!(!keys.requires_grad() && seen.query.requires_grad());
        siamese.distance(&seen.query, &[&keys]).backward();
        for (name, tensor) in siamese.state() {
            assert!(!tensor.requires_grad(), "{method}: {name}");
        }
        for parameter in siamese.parameters().trainable() {
            let gradient = parameter.tensor.grad();
            assert!(gradient.defined(), "{method}: {} has no gradient", parameter.name);
        }
    }
}

#[test]
fn the_momentum_encoder_follows_by_the_closed_form() {
    let mut siamese = build(config(Method::Moco));
    let key = "encoder_k.layer2.0.conv1.weight";
    let find = |siamese: &Siamese| -> Tensor {
        siamese.state().into_iter().find(|(name, _)| name == key).unwrap().1.copy()
    };
    let begun = find(&siamese);
    let leader = &siamese.parameters().get("layer2.0.conv1.weight").unwrap().tensor;
    assert_eq!(begun, leader.detach());
    tch::no_grad(|| leader.shallow_clone().copy_(&(leader * 3.0)));
    let leader = leader.detach().copy();
    for _ in 0..5 {
        tch::no_grad(|| siamese.after_step()).unwrap();
    }
    // θ_k − θ_q = mⁿ (θ_k⁰ − θ_q).
    let off = (find(&siamese) - &leader - (begun - &leader) * 0.9_f64.powi(5)).abs().max();
    assert!(off.double_value(&[]) < 1e-6);
}

#[test]
fn clean_keys_enter_the_queue_when_the_step_is_made() {
    let mut siamese = build(config(Method::Moco));
    let before = siamese.queue().unwrap().keys().copy();
    for step in 0..4 {
        let keys = siamese.keys(&images("y", 6), None, &shuffle(6, step)).unwrap();
        siamese.remember(&[&keys]);
        let queue = siamese.queue().unwrap();
        assert_eq!(queue.place(), step as usize * 6);
        tch::no_grad(|| siamese.after_step()).unwrap();
        let queue = siamese.queue().unwrap();
        assert_eq!(queue.place(), (step as usize + 1) * 6 % 24);
        assert_eq!(queue.keys().narrow(1, step as i64 * 6, 6), keys.tr());
    }
    // After four steps of six keys no random column is left, and all have length 1.
    let queue = siamese.queue().unwrap().keys();
    assert!((queue - before).abs().amax([0_i64].as_slice(), false).min().double_value(&[]) > 0.0);
    let lengths = queue.norm_scalaropt_dim(2, [0], false);
    assert!((lengths - 1.0).abs().max().double_value(&[]) < 1e-5);
}

#[test]
fn an_order_is_put_back() {
    let siamese = build(SiameseConfig { splits: 1, ..config(Method::Byol) });
    let images = images("y", 6);
    // With one part, batch norms do not depend on the order of the batch.
    let [one, other] = [0, 1].map(|step| siamese.keys(&images, None, &shuffle(6, step)).unwrap());
    assert!((one - other).abs().max().double_value(&[]) < 1e-4);
}

/// One step of plain gradient descent on the mixed loss.
fn step(siamese: &mut Siamese, x: &Tensor, y: &Tensor, rate: f64, number: u64) -> [f64; 2] {
    let count = x.size()[0] as usize;
    let filler = Filler::new(FillStrategy::Block, Grid::image(4, 4).unwrap(), [8, 8], 0.5).unwrap();
    let fill = filler.draw(Partners::Reversal, count, &mut stream("fill", number));
    let fill = FillTensors::new(&fill, Device::Cpu);
    let (seen, other) = (siamese.see(x).unwrap(), siamese.see(y).unwrap());
    let keys = siamese.keys(y, Some(&other), &shuffle(count, number)).unwrap();
    let clean = siamese.distance(&seen.query, &[&keys]);
    let mixed = siamese.see(&fill.mix(x)).unwrap().query;
    let distance = |queries: &Tensor| siamese.distance(queries, &[&keys]);
    let [own, partner] = soft_distance(distance, &mixed, &fill.partner_of);
    let loss = &clean + &own * fill.own + &partner * (1.0 - fill.own);
    let parameters: Vec<Tensor> =
        siamese.parameters().trainable().map(|p| p.tensor.shallow_clone()).collect();
    let gradients = Tensor::run_backward(&[&loss], &parameters, false, false);
    tch::no_grad(|| {
        for (mut parameter, gradient) in parameters.into_iter().zip(gradients) {
            let _ = parameter.g_sub_(&(gradient * rate));
        }
        siamese.remember(&[&keys]);
        siamese.after_step().unwrap();
    });
    [clean.double_value(&[]), own.double_value(&[])]
}

#[test]
fn fixed_images_are_learnt_and_mixed_ones_are_harder() {
    let encoder = ResNetConfig { width: 8, ..config(Method::Moco).encoder };
    let (queue, splits, momentum) = (64, 4, 0.9);
    let mut moco =
        build(SiameseConfig { encoder, queue, splits, momentum, ..config(Method::Moco) });
    let x = images("fixed", 32);
    let y = &x + images("change", 32) * 0.1;
    let losses: Vec<[f64; 2]> =
        (0..100).map(|number| step(&mut moco, &x, &y, 0.05, number)).collect();
    let uninformed = moco.uninformed(1.0).unwrap().double_value(&[]);
    assert!((uninformed - 65.0_f64.ln()).abs() < 1e-6);
    let last: Vec<f64> =
        [0, 1].map(|part| losses[90..].iter().map(|l| l[part]).sum::<f64>() / 10.0).to_vec();
    assert!(last[0] < 0.5 * uninformed, "{losses:?}");
    assert!(last[1] > last[0], "{last:?}");
}

#[test]
fn a_saved_state_goes_on_to_the_same_bits() {
    for method in ALL {
        let (x, y) = (images("x", 8), images("y", 8));
        let mut whole = build(config(method));
        let mut begun = build(config(method));
        for number in 0..2 {
            step(&mut whole, &x, &y, 0.05, number);
            step(&mut begun, &x, &y, 0.05, number);
        }
        let copy = |tensors: Vec<(String, Tensor)>| -> HashMap<String, Tensor> {
            tensors.into_iter().map(|(name, tensor)| (name, tensor.detach().copy())).collect()
        };
        let weights = |siamese: &Siamese| {
            let all = siamese.parameters().iter();
            copy(all.map(|p| (p.name.clone(), p.tensor.shallow_clone())).collect())
        };
        let mut resumed = Siamese::new(config(method), 5, Device::Cpu).unwrap();
        resumed.parameters().assign(&weights(&begun)).unwrap();
        tch::no_grad(|| resumed.load_state(&copy(begun.state()))).unwrap();
        for number in 2..4 {
            step(&mut whole, &x, &y, 0.05, number);
            step(&mut resumed, &x, &y, 0.05, number);
        }
        assert_eq!(weights(&whole), weights(&resumed), "{method}");
        assert_eq!(copy(whole.state()), copy(resumed.state()), "{method}");
    }
    // Another method's state is refused, with the names that do not fit.
    let moco: HashMap<String, Tensor> = build(config(Method::Moco)).state().into_iter().collect();
    let refused = build(config(Method::Simsiam)).load_state(&moco).unwrap_err();
    assert!(refused.unexpected.contains(&"queue".to_owned()), "{refused}");
    let none = build(config(Method::Moco)).load_state(&HashMap::new()).unwrap_err();
    assert!(none.missing.contains(&"queue".to_owned()), "{none}");
}

#[test]
fn symmetric_losses_are_sums_or_means_of_both_directions() {
    for (method, weight) in [(Method::Moco, 1.0), (Method::Simsiam, 0.5), (Method::Byol, 1.0)] {
        let siamese = build(SiameseConfig { symmetric: true, ..config(method) });
        let one = build(config(method));
        let (query, keys) = (images("x", 4).flatten(1, -1), images("y", 4).flatten(1, -1));
        let rows = |x: &Tensor| bauta_siamese::unit(&x.narrow(1, 0, 16));
        let (query, keys, more) = (rows(&query), rows(&keys), rows(&query));
        let sum = one.distance(&query, &[&keys]) + one.distance(&query, &[&more]);
        let found = siamese.distance(&query, &[&keys, &more]);
        assert!((found - sum * weight).abs().double_value(&[]) < 1e-6, "{method}");
    }
}

#[test]
fn sizes_that_make_no_sense_are_named() {
    let moco = || config(Method::Moco);
    for (config, words) in [
        (SiameseConfig { dim: 0, ..moco() }, "dim 0"),
        (SiameseConfig { splits: 0, ..moco() }, "splits 0"),
        (SiameseConfig { queue: 0, ..moco() }, "queue is 0; it must be at least 1"),
        (SiameseConfig { hidden: 0, ..config(Method::Byol) }, "byol must have a hidden layer"),
        (SiameseConfig { momentum: 1.0, ..moco() }, "momentum is 1; it must be in [0, 1)"),
        (SiameseConfig { temperature: 0.0, ..moco() }, "temperature is 0; it must be above 0"),
    ] {
        let refused = Siamese::new(config, 0, Device::Cpu).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
    let siamese = build(moco());
    let grey = images("grey", 4).narrow(1, 0, 1);
    assert!(siamese.see(&grey).unwrap_err().to_string().contains("[B, 3, H, W]"));
    assert_eq!(siamese.features(&images("x", 3)).unwrap().kind(), Kind::Float);
}

#[test]
fn an_odd_rest_is_one_part_and_images_without_a_variance_are_refused() {
    for method in ALL {
        let siamese = build(config(method));
        assert_eq!(siamese.see(&images("odd", 5)).unwrap().query.size()[0], 5);
        for few in [1, 2] {
            let refused = siamese.see(&images("few", few)).unwrap_err().to_string();
            assert!(refused.contains("have no variance; take at least 2 per part"), "{refused}");
        }
    }
}
