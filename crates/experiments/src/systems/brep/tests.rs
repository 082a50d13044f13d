//! The system on few generated parts: what one step learns from, and what codes are worth.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use bauta_brep::generate::Parts;
use bauta_brep::model::{FieldErrors, SampledBatch};
use bauta_brep::{Part, Sampling};
use bauta_recipe::{Brep as Settings, Layers, Recipe};
use bauta_train::{OptimizerConfig, Schedule, StepMaker, TrainConfig};
use tch::Device;

use super::Brep;
use super::few_shot::labelled_parts;

fn settings(set: &[&str]) -> Settings {
    let text = include_str!("../../../recipes/brep-parts.toml");
    let set = set.iter().map(|&text| text.to_owned()).collect();
    let layers = Layers { quick: false, set };
    let path = std::path::Path::new("brep-parts.toml");
    Recipe::<Settings>::parse(text, path, &layers).unwrap().settings
}

/// Trains on all targets of one part in each step; gives the loss, and the fraction of points
/// spread evenly over the unit squares that are decoded on the right side of the trim.
fn overfit(brep: &mut Brep, [part, even]: [&Part; 2], steps: u64) -> (f64, f64) {
    let batch = || Ok(SampledBatch::of(&[part], &part.targets));
    let schedule = Schedule::cosine(4e-3, 0.0, 50.0, steps);
    let config = TrainConfig {
        optimizer: OptimizerConfig::adam((0.9, 0.999), 0.0),
        ..TrainConfig::new(schedule.clone(), 1)
    };
    let mut inputs = std::iter::repeat_with(batch);
    let mut maker = StepMaker::new(brep, &config);
    for step in 0..steps {
        maker.make(&mut inputs, schedule.at(step), step).unwrap();
    }
    let _no_grad = tch::no_grad_guard();
    let [(field, target), (spread, wanted)] = [part, even].map(|part| {
        let batch = SampledBatch::of(&[part], &part.targets);
        let codes = brep.encoder.forward(&batch.graph);
        (brep.decoder.forward(&codes, &batch.points), batch.target)
    });
    let loss = (&field - &target).square().mean(tch::Kind::Float).double_value(&[]);
    let sign = FieldErrors::of(&spread, &wanted).sign;
    (loss, sign.iter().sum::<f64>() / sign.len() as f64)
}

/// Sheet, check 1: one part is learnt by heart.
#[test]
fn one_part_is_overfitted() {
    let sampling = Sampling { candidates: 400, kept: 60, near: 0.4 };
    let part = Parts { seed: 0 }.prepared(1, &sampling).unwrap();
    let sampling = Sampling { candidates: 400, kept: 400, near: 0.0 };
    let even = Parts { seed: 0 }.prepared(1, &sampling).unwrap();
    let mut brep = Brep::new(&settings(&[]), 0, Device::Cpu);
    let (loss, sign) = overfit(&mut brep, [&part, &even], 1000);
    assert!(loss < 1e-3 && sign > 0.95, "loss {loss}, sign accuracy {sign}");
}

/// Sheet, invariant 11: a draw is one list of parts, and smaller sizes are its beginning.
#[test]
fn labelled_parts_are_nested_within_a_draw() {
    let draw = |draw, size| labelled_parts(3, draw, 100, size);
    assert_eq!(draw(0, 10), draw(0, 10));
    assert_eq!(draw(0, 10)[..5], draw(0, 5));
    assert_ne!(draw(0, 10), draw(1, 10));
    let mut all = draw(2, 100);
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
}
