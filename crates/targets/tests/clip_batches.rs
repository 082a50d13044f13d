//! Properties of MAE-ST's loss on whole batches: visible tokens do not enter it, and the loss of a
//! batch of videos with repeats is the mean over its clips.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use bauta_backbones::TokenIndices;
use bauta_libtorch::normal;
use bauta_masking::{Grid, MaskPlan, RandomMask};
use bauta_streams::{Purpose, StreamKey};
use bauta_targets::ClipTarget;
use tch::{Device, Tensor};

#[test]
fn the_loss_of_a_batch_is_the_mean_of_the_losses_of_its_clips() {
    let grid = Grid::new(4, 3, 3).unwrap();
    let target = ClipTarget::new(grid, 3, &[0, 2, 4, 7], true, Device::Cpu).unwrap();
    let strategy = RandomMask::new(grid, 0.75).unwrap();
    let key = StreamKey { seed: 0, purpose: Purpose::named("clips"), epoch: 0, sample: 0 };
    let mut stream = key.stream();
    // Two videos of three clips each.
    let clips = normal(&[6, 3, 8, 12, 12], 1.0, &mut stream);
    let loss_of = |clips: &Tensor, prediction: &Tensor, samples: &[u64]| {
        let plan = MaskPlan::draw(&strategy, 1, 0, samples).unwrap();
        let wanted = target.masked(clips, &TokenIndices::new(&plan, Device::Cpu)).unwrap();
        target.loss(prediction, &wanted).unwrap().double_value(&[])
    };
    let prediction = normal(&[6, 27, 48], 1.0, &mut stream);
    let whole = loss_of(&clips, &prediction, &[0, 1, 2, 3, 4, 5]);
    let single = |i: i64| loss_of(&clips.narrow(0, i, 1), &prediction.narrow(0, i, 1), &[i as u64]);
    let mean = (0..6).map(single).sum::<f64>() / 6.0;
    assert!((whole - mean).abs() < 1e-6 * whole, "{whole} and {mean}");
    // Each repeat has its own mask, so the same clip has another loss in each.
    let same = clips.narrow(0, 0, 1).expand([6, -1, -1, -1, -1], false);
    let one = prediction.narrow(0, 0, 1);
    let losses: Vec<f64> =
        (0..6).map(|i| loss_of(&same.narrow(0, i, 1), &one, &[i as u64])).collect();
    assert!(losses.windows(2).all(|pair| pair[0] != pair[1]), "{losses:?}");
}

#[test]
fn visible_tokens_have_no_gradient_and_tokens_find_their_places_again() {
    let grid = Grid::new(4, 3, 3).unwrap();
    let target = ClipTarget::new(grid, 3, &[0, 2, 4, 7], true, Device::Cpu).unwrap();
    let key = StreamKey { seed: 0, purpose: Purpose::named("tokens"), epoch: 0, sample: 0 };
    let mut stream = key.stream();
    let clips = normal(&[2, 3, 8, 12, 12], 1.0, &mut stream);
    let strategy = RandomMask::new(grid, 0.75).unwrap();
    let plan = MaskPlan::draw(&strategy, 1, 0, &[0, 1]).unwrap();
    let indices = TokenIndices::new(&plan, Device::Cpu);
    let all = normal(&[2, 36, 48], 1.0, &mut stream);
    let parts = [indices.gather_visible(&all), indices.gather_masked(&all)];
    assert_eq!(indices.restore_order(&Tensor::cat(&parts, 1)), all);
    let prediction = all.set_requires_grad(true);
    let wanted = target.masked(&clips, &indices).unwrap();
    target.loss(&indices.gather_masked(&prediction), &wanted).unwrap().backward();
    let of_token = prediction.grad().abs().amax([2_i64].as_slice(), false);
    let (hidden, gradient) = (indices.mask().gt(0.5), of_token.gt(0.0));
    assert_eq!(hidden, gradient);
}
