//! After all tasks, the first gives bit for bit the same outputs as right after it was learnt; each
//! known way to break this guarantee is shown to do so.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod training;

use std::collections::HashMap;

use bauta_supermask::{Learner, PackedMask, Transfer, top_mask};
use tch::Tensor;
use training::{CLASSES, Loop, Moments, accuracy, answers, bits, config, learn, learner, samples};

/// Learns four tasks; returns the outputs of each right after its turn and at the end.
fn four_tasks(
    residual: bool,
    how: Loop,
    transfer: Option<Transfer>,
    mut spoil: impl FnMut(&mut Learner, usize),
) -> [Vec<Vec<u32>>; 2] {
    let mut learner = learner(config(residual, 0.3, transfer.is_some()));
    let (mut moments, mut then) = (Moments::default(), Vec::new());
    for task in 0..4 {
        learner.begin(task).unwrap();
        if let Some(rule) = transfer {
            let [images, labels] = samples(task as u64, 48);
            learner.transfer(rule, [&images, &labels], CLASSES, 5).unwrap();
        }
        learn(&mut learner, task as u64, how, &mut moments);
        spoil(&mut learner, task);
        then.push(answers(&learner, task, task as u64));
    }
    let now = (0..4).map(|task| answers(&learner, task, task as u64)).collect();
    [then, now]
}

const STEPS: [usize; 2] = [6, 6];

#[test]
fn no_task_is_forgotten() {
    for residual in [false, true] {
        for steps in [STEPS, [8, 0]] {
            for transfer in [None, Some(Transfer::All)] {
                let [then, now] = four_tasks(residual, Loop::right(steps), transfer, |_, _| ());
                assert!(then == now, "residual {residual}, steps {steps:?}, {transfer:?}");
            }
        }
    }
}

#[test]
fn tasks_are_learnt() {
    let mut learner = learner(config(false, 0.3, false));
    for task in 0..3 {
        learner.begin(task).unwrap();
        learn(&mut learner, task as u64, Loop::right([30, 60]), &mut Moments::default());
    }
    for task in 0..3 {
        let right = accuracy(&learner, task, task as u64);
        assert!(right > 0.8, "task {task}: {right}");
    }
}

fn forgets(residual: bool, how: Loop) -> bool {
    let [then, now] = four_tasks(residual, how, None, |_, _| ());
    then[0] != now[0]
}

#[test]
fn weight_decay_breaks_it() {
    assert!(forgets(false, Loop { weight_decay: 1e-4, ..Loop::right(STEPS) }));
}

#[test]
fn editing_all_that_a_mask_keeps_breaks_it() {
    assert!(forgets(false, Loop { original: true, ..Loop::right(STEPS) }));
}

#[test]
fn a_stale_optimiser_breaks_it() {
    assert!(forgets(false, Loop { stale: true, ..Loop::right(STEPS) }));
}

#[test]
fn shared_statistics_break_it() {
    let [then, now] = four_tasks(true, Loop::right(STEPS), None, |learner, task| {
        // Every earlier task gets the current one's statistics.
        let state: HashMap<String, Tensor> = learner.state().into_iter().collect();
        let mut shared = HashMap::new();
        for (name, tensor) in &state {
            let own = name.split_once('.').and_then(|(_, rest)| rest.split_once('.'));
            let (own, running) = (own.map_or("", |(_, own)| own), name.contains(".running_"));
            let source = if running { &state[&format!("task.{task}.{own}")] } else { tensor };
            let source = if name.starts_with("task.") { source } else { tensor };
            shared.insert(name.clone(), source.copy());
        }
        learner.load_state(&shared).unwrap();
    });
    assert_ne!(then[0], now[0]);
}

#[test]
fn adding_up_scores_in_a_donors_own_tensor_breaks_it() {
    let density = config(false, 0.3, true).density.unwrap();
    let [then, now] =
        four_tasks(false, Loop::right(STEPS), Some(Transfer::All), |learner, task| {
            if task == 0 {
                return;
            }
            // The released `knn_all`: the sum accumulates in the first donor's scores, from which
            // its mask is computed again.
            let mut state: HashMap<String, Tensor> =
                learner.state().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
            let names: Vec<String> = state
                .keys()
                .filter(|name| name.starts_with("task.0.") && name.ends_with(".scores"))
                .cloned()
                .collect();
            for name in names {
                let other = name.replace("task.0.", &format!("task.{task}."));
                let sum = &state[&name] + &state[&other];
                let mask = name.replace(".scores", ".mask");
                state.insert(mask, PackedMask::pack(&top_mask(&sum, density)).bits().copy());
                state.insert(name, sum);
            }
            learner.load_state(&state).unwrap();
        });
    assert_ne!(then[0], now[0]);
}

#[test]
fn later_tasks_and_their_order_do_not_matter_to_the_first() {
    let first = |others: [u64; 2]| {
        let mut learner = learner(config(true, 0.3, false));
        for (task, data) in [0, others[0], others[1]].into_iter().enumerate() {
            learner.begin(task).unwrap();
            learn(&mut learner, data, Loop::right(STEPS), &mut Moments::default());
        }
        answers(&learner, 0, 0)
    };
    assert_eq!(first([1, 2]), first([2, 1]));
}

#[test]
fn only_what_is_exclusive_changes() {
    for (how, name) in [
        (Loop::right(STEPS), "exclusive"),
        (Loop { original: true, ..Loop::right(STEPS) }, "original"),
    ] {
        let mut learner = learner(config(false, 0.4, true));
        let mut earlier: HashMap<String, Vec<bool>> = HashMap::new();
        for task in 0..3 {
            learner.begin(task).unwrap();
            let before: HashMap<_, _> =
                learner.weights().iter().map(|(name, w)| (name.clone(), bits(w))).collect();
            learn(&mut learner, task as u64, how, &mut Moments::default());
            let density = learner.config().density.unwrap();
            for (layer, weight) in learner.weights() {
                let mask = bits(&top_mask(&learner.scores()[layer], density));
                let mask: Vec<bool> = mask.into_iter().map(|bit| bit != 0).collect();
                let taken = earlier.entry(layer.clone()).or_insert_with(|| vec![false; mask.len()]);
                let now = bits(weight);
                let mut shared_changed = false;
                for i in 0..mask.len() {
                    let changed = before[layer][i] != now[i];
                    assert!(!changed || mask[i], "{name} {layer}: outside the mask");
                    shared_changed |= changed && taken[i];
                    taken[i] |= mask[i];
                }
                let may = how.original && task > 0;
                assert!(may || !shared_changed, "{name} {layer}: an earlier task's weight");
            }
        }
    }
}

#[test]
fn scores_alone_change_while_masks_are_learnt() {
    let mut learner = learner(config(false, 0.3, false));
    learner.begin(0).unwrap();
    learner.learn_masks();
    assert!(learner.parameters().trainable().all(|p| p.name.ends_with(".scores")));
    let before: Vec<_> = learner.weights().values().map(bits).collect();
    training::fit(&learner, 0, Loop::right(STEPS), 5, &mut Moments::default());
    assert_eq!(before, learner.weights().values().map(bits).collect::<Vec<_>>());
}

#[test]
fn where_nothing_is_free_no_weight_changes() {
    let mut learner = learner(config(false, 1.0, false));
    for task in 0..2 {
        learner.begin(task).unwrap();
        let before: Vec<_> = learner.weights().values().map(bits).collect();
        learn(&mut learner, task as u64, Loop::right(STEPS), &mut Moments::default());
        let after: Vec<_> = learner.weights().values().map(bits).collect();
        assert_eq!(before == after, task == 1);
    }
}

#[test]
fn the_first_task_is_the_same_exclusive_or_not() {
    let first = |original| {
        let mut learner = learner(config(false, 0.3, false));
        learner.begin(0).unwrap();
        let how = Loop { original, ..Loop::right(STEPS) };
        learn(&mut learner, 0, how, &mut Moments::default());
        answers(&learner, 0, 0)
    };
    assert_eq!(first(true), first(false));
}

#[test]
fn a_density_of_one_is_the_plain_network() {
    let answers = |density: Option<f64>| {
        let mut config = config(false, 1.0, false);
        config.density = density.map(|d| bauta_supermask::Density::new(d).unwrap());
        let mut learner = learner(config);
        learner.begin(0).unwrap();
        let how = Loop { original: true, ..Loop::right([0, 8]) };
        learner.learn_weights(how.editing());
        training::fit(&learner, 0, how, 8, &mut Moments::default());
        answers(&learner, 0, 0)
    };
    assert_eq!(answers(Some(1.0)), answers(None));
}
