//! Suppression against a sequential loop, assignment worked by hand, and learning two boxes.

use bauta_backbones::{Encode, Parameters, VisionTransformer, VitConfig};
use tch::Device;

use super::*;

const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

fn flags(values: &[bool]) -> Tensor {
    Tensor::from_slice(values).view([1, -1])
}

#[test]
fn suppression_equals_going_through_the_boxes_one_by_one() {
    let count = 12;
    for seed in 0..20 {
        // A symmetric matrix of rivals, and some boxes that are not candidates.
        let bit = |i: usize, j: usize| {
            let (a, b) = (i.min(j), i.max(j));
            (a * 31 + b * 17 + seed * 13) * 2_654_435_761 % 97 < 30
        };
        let candidate: Vec<bool> = (0..count).map(|i| (i * 7 + seed) % 5 != 0).collect();
        let mut out = vec![false; count];
        for j in 0..count {
            out[j] = (0..j).any(|i| candidate[i] && !out[i] && bit(i, j));
        }
        let rivals: Vec<bool> = (0..count * count).map(|at| bit(at / count, at % count)).collect();
        let rivals = Tensor::from_slice(&rivals).view([1, count as i64, count as i64]);
        assert_eq!(suppressed(&rivals, &flags(&candidate)), flags(&out), "{seed}");
    }
    // A chain: each box suppresses the next, so every second one stays.
    let chain = Tensor::ones([50, 50], FLOAT).triu(1).tril(1).unsqueeze(0).greater(0.0);
    let out = suppressed(&chain, &flags(&[true; 50]));
    assert_eq!(out, flags(&std::array::from_fn::<bool, 50, _>(|i| i % 2 == 1)));
}

#[test]
fn a_location_learns_the_smallest_box_near_whose_middle_it_lies() {
    // Centres of a 4 × 4 grid of patches of 4 pixels: 2, 6, 10, 14.
    let middles: Vec<f32> =
        (0..16).flat_map(|at| [at % 4, at / 4].map(|p| p as f32 * 4.0 + 2.0)).collect();
    let locations = Tensor::from_slice(&middles).view([-1, 2]);
    let truth = BoxBatch::new(
        &[vec![(5, [0.0, 0.0, 16.0, 16.0]), (3, [4.0, 4.0, 4.0, 4.0])], vec![]],
        Device::Cpu,
    );
    let assigned = Assigned::new(&locations, &truth, 6.0);
    let classes: Vec<i64> = assigned.classes.flatten(0, -1).try_into().unwrap();
    let mut wanted = [-1; 32];
    for inner in [6, 9, 10] {
        wanted[inner] = 5;
    }
    wanted[5] = 3;
    // Those on the rim are 6 pixels from the large box's centre, no further than the radius.
    for rim in [0, 1, 2, 3, 4, 7, 8, 11, 12, 13, 14, 15] {
        wanted[rim] = 5;
    }
    assert_eq!(classes, wanted);
    assert_eq!(assigned.centreness.double_value(&[0, 5]), 1.0);
    let corner = assigned.centreness.double_value(&[0, 0]);
    assert!((corner - 2.0 / 14.0).abs() < 1e-6, "{corner}");
    let close = Assigned::new(&locations, &truth, 3.0);
    assert_eq!(close.classes.int64_value(&[0, 0]), -1, "too far from the middle");
    assert_eq!(close.classes.int64_value(&[0, 10]), 5);
}

#[test]
fn overlaps_are_intersections_over_unions() {
    let boxes = [0.0_f32, 0.0, 4.0, 4.0, 2.0, 0.0, 6.0, 4.0, 8.0, 8.0, 9.0, 9.0];
    let found = overlaps(&Tensor::from_slice(&boxes).view([1, 3, 4]));
    let value = |i, j| found.double_value(&[0, i, j]);
    assert!((value(0, 0) - 1.0).abs() < 1e-6 && (value(0, 1) - 1.0 / 3.0).abs() < 1e-6);
    assert_eq!(value(0, 2), 0.0);
}

#[test]
fn the_head_learns_to_find_two_boxes() {
    let mut parameters = Parameters::new(0, Device::Cpu);
    let config = VitConfig { image_height: 32, image_width: 24, ..VitConfig::new(32, 4, 16, 1, 2) };
    let encoder = VisionTransformer::new(parameters.root().sub("encoder"), &config).unwrap();
    let head = DetectionHead::new(parameters.root(), &encoder, 16, 3).unwrap();
    let pixels: Vec<f32> =
        (0..2 * 3 * 32 * 24).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let images = Tensor::from_slice(&pixels).view([2, 3, 32, 24]);
    let truth = vec![vec![(2, [2.0, 3.0, 10.0, 12.0]), (0, [10.0, 16.0, 12.0, 10.0])], vec![]];
    let truth = BoxBatch::new(&truth, Device::Cpu);
    let mut optimizer: Vec<(Tensor, Tensor)> = parameters
        .trainable()
        .map(|p| (p.tensor.shallow_clone(), p.tensor.detach().zeros_like()))
        .collect();
    let loss = || {
        let predicted = head.forward(&encoder.encode(&images, Encode::whole()).unwrap());
        head.loss(&predicted, &truth)
    };
    let first = loss().total().double_value(&[]);
    for _ in 0..150 {
        let of: Vec<&Tensor> = optimizer.iter().map(|(parameter, _)| parameter).collect();
        let gradients = Tensor::run_backward(&[&loss().total()], &of, false, false);
        tch::no_grad(|| {
            for ((parameter, direction), gradient) in optimizer.iter_mut().zip(&gradients) {
                *direction = &*direction * 0.9 + gradient.clamp(-1.0, 1.0);
                let _ = parameter.g_sub_(&(&*direction * 0.01));
            }
        });
    }
    let last = loss().total().double_value(&[]);
    assert!(last < 0.6 * first, "{first} to {last}");
    let predicted =
        tch::no_grad(|| head.forward(&encoder.encode(&images, Encode::whole()).unwrap()));
    let decoding = Decoding { score: 0.3, ..Decoding::default() };
    let found = head.decode(&predicted, [32, 24], &decoding);
    let near =
        |d: &Detection, bbox: [f64; 4]| d.bbox.iter().zip(bbox).all(|(a, b)| (a - b).abs() < 3.0);
    assert!(found[0].iter().any(|d| d.class == 2 && near(d, [2.0, 3.0, 10.0, 12.0])), "{found:?}");
    assert!(
        found[0].iter().any(|d| d.class == 0 && near(d, [10.0, 16.0, 12.0, 10.0])),
        "{found:?}"
    );
    assert!(found[1].is_empty(), "{found:?}");
}
