//! Properties of a learner for any density, tasks and steps.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod training;

use std::collections::HashMap;

use bauta_supermask::{Learner, Transfer, top_mask};
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};
use training::{CLASSES, Loop, Moments, answers, bits, config, learn, learner, samples};

/// The mask of each layer for the current scores.
fn masks(learner: &Learner) -> HashMap<String, Tensor> {
    let density = learner.config().density.unwrap();
    let scores = learner.scores().iter();
    scores.map(|(name, scores)| (name.clone(), top_mask(scores, density))).collect()
}

/// Masks, running statistics and scores of the finished tasks, byte by byte.
fn finished(learner: &Learner, tasks: usize) -> Vec<(String, Vec<u8>)> {
    let of_finished = |name: &str| (0..tasks).any(|t| name.starts_with(&format!("task.{t}.")));
    let state = learner.state().into_iter().filter(|(name, _)| of_finished(name));
    state
        .map(|(name, tensor)| {
            let flat = tensor.contiguous().flatten(0, -1);
            let bytes: Vec<u8> = match tensor.kind() {
                Kind::Uint8 => flat.try_into().unwrap(),
                _ => bits(&flat.to_kind(Kind::Float))
                    .into_iter()
                    .flat_map(u32::to_le_bytes)
                    .collect(),
            };
            (name, bytes)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn earlier_tasks_stay_as_they_are(
        density in 0.05..0.9_f64,
        tasks in 2_usize..5,
        steps in (0_usize..6, 0_usize..6),
        residual in any::<bool>(),
        rule in prop::option::of(prop::sample::select(
            vec![Transfer::Best, Transfer::Always, Transfer::All],
        )),
    ) {
        let mut learner = learner(config(residual, density, rule.is_some()));
        let (mut then, mut union) = (Vec::new(), HashMap::<String, Tensor>::new());
        for task in 0..tasks {
            learner.begin(task).unwrap();
            let before = finished(&learner, task);
            let weights: HashMap<_, _> =
                learner.weights().iter().map(|(name, w)| (name.clone(), w.detach().copy())).collect();
            let mut lent = None;
            if let Some(rule) = rule {
                let [images, labels] = samples(task as u64, 48);
                let donation = learner.transfer(rule, [&images, &labels], CLASSES, 5).unwrap();
                prop_assert!(donation.donors.iter().all(|&donor| donor < task));
                lent = (donation.donors.len() == 1).then(|| (donation.donors[0], masks(&learner)));
            }
            // The mask right after the scores were copied is the donor's own.
            if let Some((donor, own)) = &lent {
                let state: HashMap<_, _> = learner.state().into_iter().collect();
                for (layer, mask) in own {
                    let packed = bauta_supermask::PackedMask::pack(mask);
                    prop_assert_eq!(packed.bits(), &state[&format!("task.{donor}.{layer}.mask")]);
                }
            }
            learn(&mut learner, task as u64, Loop::right([steps.0, steps.1]), &mut Moments::default());
            prop_assert_eq!(&before, &finished(&learner, task));
            for (layer, mask) in masks(&learner) {
                let earlier = union.remove(&layer).unwrap_or_else(|| mask.zeros_like());
                // Changed weights are in the mask, and in no earlier one.
                let fixed = ((-&mask) + 1.0).maximum(&earlier).to_kind(Kind::Bool);
                let [was, is] = [&weights[&layer], &learner.weights()[&layer].detach()]
                    .map(|weight| bits(&weight.masked_select(&fixed)));
                prop_assert_eq!(was, is);
                union.insert(layer, earlier.maximum(&mask));
            }
            then.push(answers(&learner, task, task as u64));
        }
        let now = |learner: &Learner| -> Vec<Vec<u32>> {
            (0..tasks).map(|task| answers(learner, task, task as u64)).collect()
        };
        prop_assert_eq!(&then, &now(&learner));
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("packed.safetensors");
        learner.export(&path).unwrap();
        let read = Learner::import(&path, Device::Cpu).unwrap();
        prop_assert_eq!(&then, &now(&read));
    }
}
