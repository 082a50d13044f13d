//! Masks, their gradients and their bits.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use bauta_libtorch::{integers, normal};
use bauta_streams::{Purpose, RandomStream, StreamKey};
use bauta_supermask::{Density, PackedMask, exclusive, straight_through, top_mask};
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

fn stream(seed: u64) -> RandomStream {
    StreamKey { seed, purpose: Purpose::named("masks"), epoch: 0, sample: 0 }.stream()
}

fn ones(mask: &Tensor) -> usize {
    mask.sum(Kind::Int64).int64_value(&[]) as usize
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.detach().flatten(0, -1).try_into().unwrap()
}

/// By a stable sort, which is what the released code means.
fn sorted_mask(scores: &[f32], density: Density) -> Vec<f32> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].abs().total_cmp(&scores[b].abs()));
    let mut mask = vec![1.0; scores.len()];
    order[..scores.len() - density.kept(scores.len())].iter().for_each(|&i| mask[i] = 0.0);
    mask
}

proptest! {
    #[test]
    fn a_mask_keeps_exactly_the_largest(
        n in 1_i64..300, k in 0.001..=1.0_f64, seed in any::<u64>(), tied in any::<bool>(),
    ) {
        let density = Density::new(k).unwrap();
        let scores = match tied {
            // Few distinct values, so that there are ties at the border.
            true => (integers(&[n], 7, &mut stream(seed)) - 3).to_kind(Kind::Float),
            false => normal(&[n], 1.0, &mut stream(seed)),
        };
        let mask = top_mask(&scores, density);
        prop_assert_eq!(values(&mask), sorted_mask(&values(&scores), density));
        prop_assert_eq!(ones(&mask), density.kept(n as usize));
        prop_assert_eq!(values(&mask), values(&top_mask(&-&scores, density)));
        prop_assert_eq!(values(&mask), values(&top_mask(&(&scores * 4.0), density)));
        prop_assert_eq!(ones(&top_mask(&scores, Density::WHOLE)), n as usize);
        // The value with the gradient is exactly the mask.
        let scores = scores.set_requires_grad(true);
        prop_assert_eq!(values(&straight_through(&scores, density)), values(&mask));
    }

    #[test]
    fn gradients_pass_kept_and_dropped_alike(
        rows in 1_i64..8, columns in 1_i64..8, k in 0.05..=1.0_f64, seed in any::<u64>(),
    ) {
        let mut stream = stream(seed);
        let mut draw = |shape: &[i64]| normal(shape, 1.0, &mut stream);
        let (weight, input, out) = (draw(&[rows, columns]), draw(&[5, columns]), draw(&[5, rows]));
        let scores = draw(&[rows, columns]).set_requires_grad(true);
        let effective = &weight * straight_through(&scores, Density::new(k).unwrap());
        let loss = (input.matmul(&effective.tr()) * &out).sum(Kind::Float);
        loss.backward();
        let wanted = scores.detach().sign() * &weight * out.tr().matmul(&input);
        let difference = (scores.grad() - wanted).abs().max().double_value(&[]);
        prop_assert!(difference < 1e-4, "{difference}");
    }

    #[test]
    fn bits_come_back(n in 1_i64..100, seed in any::<u64>()) {
        let mask = integers(&[n, 1], 2, &mut stream(seed)).to_kind(Kind::Float);
        let packed = PackedMask::pack(&mask);
        prop_assert_eq!(packed.bytes(), (n as usize).div_ceil(8));
        prop_assert_eq!(packed.unpack(Device::Cpu), mask.shallow_clone());
        let again = PackedMask::of_bits(vec![n, 1], packed.bits().copy()).unwrap();
        prop_assert_eq!(again.unpack(Device::Cpu), mask);
    }

    #[test]
    fn what_is_exclusive_is_in_no_earlier_mask(n in 1_i64..100, seed in any::<u64>()) {
        let mut stream = stream(seed);
        let [mask, earlier] =
            [(); 2].map(|()| integers(&[n], 2, &mut stream).to_kind(Kind::Float));
        let own = exclusive(&mask, Some(&earlier));
        prop_assert_eq!(ones(&(&own * &earlier)), 0);
        prop_assert_eq!(values(&mask.maximum(&earlier)), values(&own.maximum(&earlier)));
        prop_assert_eq!(values(&exclusive(&mask, None)), values(&mask));
    }
}

#[test]
fn bits_of_another_mask_are_refused() {
    let bits = |values: &[u8]| Tensor::from_slice(values);
    assert!(PackedMask::of_bits(vec![3, 3], bits(&[255, 1])).is_some());
    assert!(PackedMask::of_bits(vec![3, 3], bits(&[255, 3])).is_none(), "a spare bit is set");
    assert!(PackedMask::of_bits(vec![3, 3], bits(&[255])).is_none(), "too few");
    assert!(PackedMask::of_bits(vec![2], Tensor::from_slice(&[1_i64])).is_none(), "no bytes");
}
