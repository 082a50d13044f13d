//! Order of tasks, transfer, capacity, the packed file, and continuing from a saved state.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod training;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use bauta_backbones::checkpoint::{read_tensors, write_tensors};
use bauta_supermask::{Elastic, Learner, Transfer, check_labels};
use tch::{Device, Kind, Tensor};
use training::{
    CLASSES, Loop, Moments, accuracy, answers, bits, config, learn, learner, samples, stream,
};

fn learnt(residual: bool, tasks: u64, keep_scores: bool) -> Learner {
    let mut learner = learner(config(residual, 0.3, keep_scores));
    for task in 0..tasks {
        learner.begin(task as usize).unwrap();
        learn(&mut learner, task, Loop::right([5, 5]), &mut Moments::default());
    }
    learner
}

#[test]
fn tasks_come_in_their_order() {
    let mut learner = learner(config(false, 0.3, false));
    let error = learner.begin(1).unwrap_err().to_string();
    assert_eq!(error, "task 1 cannot begin: 0 tasks have begun, so the next is task 0");
    learner.begin(0).unwrap();
    assert!(learner.begin(0).is_err() && learner.begin(2).is_err());
    assert!(learner.begin_together(2).is_err());
    let error = learner.view(4).unwrap_err().to_string();
    assert_eq!(error, "there is no task 4; 1 tasks have begun, counted from 0");
}

#[test]
fn each_task_needs_a_head_of_its_own() {
    let mut config = config(false, 0.3, false);
    (config.density, config.heads) = (None, Some(2));
    let refused = |learner: &mut Learner, task| learner.begin(task).unwrap_err().to_string();
    let mut learner = learner(config);
    assert!(learner.begin_together(3).unwrap_err().to_string().starts_with("heads is 2; "));
    learner.begin(0).unwrap();
    learner.begin(1).unwrap();
    let wanted = "heads is 2; it must be at least 3, one for each task";
    assert_eq!(refused(&mut learner, 2), wanted);
    assert_eq!(learner.begun(), 2);
}

#[test]
fn labels_are_local() {
    let labels = |values: &[i64]| check_labels(&Tensor::from_slice(values), 3);
    labels(&[0, 2, 1]).unwrap();
    let error = labels(&[0, 3]).unwrap_err().to_string();
    assert_eq!(error, "labels run from 0 to 3; those of a task must be in 0..3");
    assert!(labels(&[-1]).is_err());
}

#[test]
fn a_task_shown_again_starts_where_it_was() {
    let mut learner = learnt(false, 3, true);
    learner.begin(3).unwrap();
    let [images, labels] = samples(1, 48);
    let kept: Vec<_> = learner
        .state()
        .iter()
        .filter(|(n, _)| n.ends_with(".scores"))
        .map(|(_, t)| bits(t))
        .collect();
    let found = learner.transfer(Transfer::Always, [&images, &labels], CLASSES, 200).unwrap();
    assert_eq!(found.accuracies.len(), 3);
    let best = found.accuracies.iter().copied().fold(0.0, f64::max);
    let donor = found.donors[0];
    assert_eq!((found.donors.len(), found.accuracies[donor]), (1, best));
    learner.learn_masks();
    assert_eq!(accuracy(&learner, 3, donor as u64), accuracy(&learner, donor, donor as u64));
    assert_eq!(answers(&learner, 3, 1), answers(&learner, donor, 1));
    let after: Vec<_> = learner
        .state()
        .iter()
        .filter(|(n, _)| n.ends_with(".scores"))
        .map(|(_, t)| bits(t))
        .collect();
    assert_eq!(kept, after, "donors lend copies");
}

#[test]
fn the_mean_of_scores_leaves_the_donors_alone() {
    let mut learner = learnt(false, 3, true);
    learner.begin(3).unwrap();
    let [images, labels] = samples(0, 48);
    let before: HashMap<_, _> = learner.state().into_iter().map(|(n, t)| (n, t.copy())).collect();
    let found = learner.transfer(Transfer::All, [&images, &labels], CLASSES, 5).unwrap();
    assert!(found.donors.len() > 1, "{found:?}");
    for (layer, scores) in learner.scores() {
        let lent = found.donors.iter().map(|d| before[&format!("task.{d}.{layer}.scores")].copy());
        let mean = lent.reduce(|a, b| a + b).unwrap() / found.donors.len() as f64;
        assert!(scores.detach().allclose(&mean, 1e-6, 1e-7, false));
    }
    for (name, tensor) in learner.state() {
        assert_eq!(tensor, before[&name], "{name}");
    }
}

#[test]
fn transfer_finds_the_task_that_is_alike() {
    let mut learner = learner(config(false, 0.3, true));
    for task in 0..2 {
        learner.begin(task).unwrap();
        learn(&mut learner, task as u64, Loop::right([40, 40]), &mut Moments::default());
    }
    // The first task's classes again: its mask separates them best.
    learner.begin(2).unwrap();
    let [images, labels] = samples(0, 200);
    let found = learner.transfer(Transfer::Best, [&images, &labels], CLASSES, 15).unwrap();
    assert_eq!(found.donors, [0], "{found:?}");
    // Random labels carry no information, so most draws have no donor.
    let mut lent = 0;
    for draw in 0..5 {
        let mixed = bauta_libtorch::integers(&[200], 3, &mut stream("mixed", draw));
        let found = learner.transfer(Transfer::Best, [&images, &mixed], CLASSES, 15).unwrap();
        lent += usize::from(found.accuracies.iter().any(|&accuracy| accuracy > 0.45));
    }
    assert!(lent <= 1, "{lent} of 5");
}

#[test]
fn chance_is_that_of_the_tasks_own_classes() {
    let mut learner = learnt(false, 1, true);
    learner.begin(1).unwrap();
    let [images, _] = samples(0, 47);
    // The first 31, the reference set, are of one class; so is half of the other 16.
    let labels: Vec<i64> = (0..47).map(|i| i64::from(i >= 31 && i % 2 == 1)).collect();
    let labels = Tensor::from_slice(&labels);
    for (classes, donors) in [(CLASSES, vec![0]), (2, vec![])] {
        let found = learner.transfer(Transfer::Best, [&images, &labels], classes, 5).unwrap();
        assert_eq!((found.accuracies, found.donors), (vec![0.5], donors), "{classes}");
    }
    let error = learner.transfer(Transfer::Best, [&images, &labels], 4, 5).unwrap_err();
    assert_eq!(error.to_string(), "classes is 4; it must be in 1..=3");
}

#[test]
fn scores_must_have_been_kept() {
    let mut learner = learnt(false, 1, false);
    learner.begin(1).unwrap();
    let [images, labels] = samples(0, 9);
    let error =
        learner.transfer(Transfer::Best, [&images, &labels], CLASSES, 5).unwrap_err().to_string();
    assert_eq!(error, "keep_scores is false; it must be true where scores are lent");
}

#[test]
fn free_shares_are_those_of_independent_masks() {
    let mut config = config(false, 0.5, false);
    config.network = bauta_backbones::BareConfig::Mlp { inputs: 64, hidden: vec![100, 50] };
    let mut learner = learner(config);
    for task in 0..5 {
        learner.begin(task).unwrap();
        learn(&mut learner, task as u64, Loop::right([3, 1]), &mut Moments::default());
    }
    let uses = learner.capacity();
    for (task, of_task) in uses.iter().enumerate() {
        let wanted = 0.5_f64.powi(task as i32);
        assert!((of_task.free_share() - wanted).abs() < 0.05, "{task}: {}", of_task.free_share());
        for layer in &of_task.layers {
            assert_eq!(layer.kept, layer.weights / 2);
        }
        assert!((of_task.free_share() + of_task.overlap() - 1.0).abs() < 1e-12);
    }
    assert_eq!(uses[0].free_share(), 1.0);
}

#[test]
fn a_hundred_tasks_take_a_bit_a_weight() {
    let mut learner = learner(config(false, 0.1, false));
    let n: usize = learner.layers().iter().map(|layer| layer.count()).sum();
    for task in 0..100 {
        learner.begin(task).unwrap();
        learner.finish();
    }
    let bytes = learner.mask_bytes() as f64;
    assert!((bytes / (100.0 * n as f64 / 8.0) - 1.0).abs() < 0.01, "{bytes}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed.safetensors");
    learner.export(&path).unwrap();
    let file = fs::metadata(&path).unwrap().len() as f64;
    // The weights once, the bits, and names.
    assert!(file < 4.0 * n as f64 + bytes + 60_000.0, "{file}");
}

#[test]
fn a_packed_file_gives_the_same_answers() {
    for residual in [false, true] {
        let learner = learnt(residual, 3, true);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("packed.safetensors");
        learner.export(&path).unwrap();
        let read = Learner::import(&path, Device::Cpu).unwrap();
        for task in 0..3 {
            assert_eq!(answers(&learner, task, 0), answers(&read, task, 0), "{residual} {task}");
        }
        assert_eq!(read.capacity(), learner.capacity());
    }
}

#[test]
fn files_of_another_network_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    learnt(false, 2, false).export(&path("mlp.safetensors")).unwrap();
    learnt(true, 2, false).export(&path("residual.safetensors")).unwrap();
    let refused = |path: &Path| Learner::import(path, Device::Cpu).unwrap_err().to_string();

    fs::copy(path("mlp.json"), path("crossed.json")).unwrap();
    fs::copy(path("residual.safetensors"), path("crossed.safetensors")).unwrap();
    assert!(
        refused(&path("crossed.safetensors"))
            .contains("does not match the network that it describes")
    );

    let spoilt = |name: &str, change: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let mut tensors = read_tensors(&path("mlp.safetensors")).unwrap();
        change(&mut tensors);
        let file = path(&format!("{name}.safetensors"));
        write_tensors(&file, tensors.iter().map(|(n, t)| (n.as_str(), t))).unwrap();
        fs::copy(path("mlp.json"), path(&format!("{name}.json"))).unwrap();
        refused(&file)
    };
    let error = spoilt("missing", &|tensors| {
        tensors.retain(|name, _| !name.starts_with("task.1."));
    });
    assert!(error.contains("lacks one of the 2 tasks"), "{error}");
    let error = spoilt("more", &|tensors| {
        let bits = &tensors["task.0.linear.0.mask"];
        let all = bits.ones_like() * 255;
        tensors.insert("task.0.linear.0.mask".to_owned(), all.to_kind(Kind::Uint8));
    });
    assert!(error.contains("task.0.linear.0.mask does not keep the number"), "{error}");
    let error = spoilt("extra", &|tensors| {
        tensors.insert("stranger".to_owned(), Tensor::from(1.0_f32));
    });
    assert!(error.contains("stranger"), "{error}");
    // Sizes that no machine has room for, and more tasks than heads.
    let described = fs::read_to_string(path("mlp.json")).unwrap();
    let renamed = |from: &str, to: &str| {
        assert!(described.contains(from), "{described}");
        fs::write(path("mlp.json"), described.replace(from, to)).unwrap();
        refused(&path("mlp.safetensors"))
    };
    let error = renamed("\"hidden\":[40,20]", "\"hidden\":[1000000000000,1000000000000]");
    assert!(error.contains("does not match the network that it describes"), "{error}");
    assert!(error.contains("linear.0.weight: file has [40, 64]"), "{error}");
    let error = renamed("\"heads\":null", "\"heads\":1");
    assert_eq!(error, "heads is 1; it must be at least 2, one for each task");
    fs::write(path("mlp.json"), "{}").unwrap();
    assert!(refused(&path("mlp.safetensors")).contains("does not describe packed subnetworks"));
    assert!(refused(&path("nothing.safetensors")).contains("nothing.json"));
}

#[test]
fn a_state_goes_on_and_fits_its_task_alone() {
    let whole = learnt(true, 3, false);
    // Interrupted when the third task was finished.
    let mut resumed = learner(config(true, 0.3, false));
    (0..2).for_each(|_| resumed.expect_finished());
    resumed.begin(2).unwrap();
    resumed.learn_masks();
    let saved: HashMap<_, _> = {
        let mut fresh = learnt(true, 2, false);
        fresh.begin(2).unwrap();
        fresh.learn_masks();
        training::fit(&fresh, 2, Loop::right([5, 5]), 5, &mut Moments::default());
        let parameters = fresh.parameters().iter();
        let tensors: HashMap<_, _> =
            parameters.map(|p| (p.name.clone(), p.tensor.detach().copy())).collect();
        resumed.parameters().assign(&tensors).unwrap();
        fresh.state().into_iter().map(|(n, t)| (n, t.copy())).collect()
    };
    resumed.load_state(&saved).unwrap();
    resumed.learn_weights(bauta_supermask::Editing::Exclusive);
    training::fit(&resumed, 2, Loop::right([5, 5]), 5, &mut Moments::default());
    resumed.finish();
    for task in 0..3 {
        assert_eq!(answers(&resumed, task, 1), answers(&whole, task, 1));
    }
    // Another task than recorded.
    let mut other = learner(config(true, 0.3, false));
    other.begin(0).unwrap();
    other.learn_masks();
    let error = other.load_state(&saved).unwrap_err();
    assert!(error.unexpected.iter().any(|name| name.starts_with("task.1.")), "{error}");
}

#[test]
fn the_best_comes_back() {
    let mut learner = learner(config(true, 0.3, false));
    learner.begin(0).unwrap();
    learner.learn_masks();
    let step = |learner: &Learner| {
        training::fit(learner, 0, Loop::right([1, 1]), 3, &mut Moments::default());
        answers(learner, 0, 0)
    };
    let at = |accuracy: f64| Tensor::from(accuracy as f32);
    let _ = step(&learner);
    tch::no_grad(|| learner.validate(&at(0.4)));
    let best = step(&learner);
    tch::no_grad(|| learner.validate(&at(0.6)));
    assert_ne!(step(&learner), best);
    tch::no_grad(|| learner.validate(&at(0.6)));
    learner.restore_best();
    assert_eq!(answers(&learner, 0, 0), best, "of equals the first");
    // Weights that do not beat the mask alone are reverted.
    learner.learn_weights(bauta_supermask::Editing::Exclusive);
    assert_ne!(step(&learner), best);
    tch::no_grad(|| learner.validate(&at(0.5)));
    learner.restore_best();
    assert_eq!(answers(&learner, 0, 0), best);
}

#[test]
fn elastic_weights_are_held_where_they_mattered() {
    let mut config = config(false, 1.0, false);
    (config.density, config.heads) = (None, Some(2));
    let mut learner = learner(config);
    learner.begin(0).unwrap();
    learner.learn_weights(bauta_supermask::Editing::Original);
    let mut elastic = Elastic::new(10.0, &learner);
    assert_eq!(elastic.penalty(&learner).double_value(&[]), 0.0);
    let [images, labels] = samples(0, 6);
    elastic.hold(&learner, 0, [&images, &labels]).unwrap();
    let penalty = elastic.penalty(&learner).double_value(&[]);
    assert!(penalty < 1e-9, "nothing has moved: {penalty}");

    // The importance from one sample is its squared gradient.
    let mut single = Elastic::new(2.0, &learner);
    single.hold(&learner, 0, [&images.narrow(0, 0, 1), &labels.narrow(0, 0, 1)]).unwrap();
    let logits = learner.logits(0, &images.narrow(0, 0, 1)).unwrap();
    logits.cross_entropy_for_logits(&labels.narrow(0, 0, 1)).backward();
    let importance: HashMap<_, _> = single.state().into_iter().collect();
    let wanted = learner.weights()["linear.2"].grad().square();
    assert!(importance["importance.linear.2"].allclose(&wanted, 1e-4, 1e-8, false));

    // All weights moved by one: λ / 2 times the sum of importances.
    let sum: f64 = single
        .state()
        .iter()
        .filter(|(name, _)| name.starts_with("importance."))
        .map(|(_, tensor)| tensor.sum(Kind::Double).double_value(&[]))
        .sum();
    tch::no_grad(|| {
        for weight in learner.weights().values() {
            let _ = weight.shallow_clone().g_add_scalar_(1.0);
        }
    });
    let penalty = single.penalty(&learner).double_value(&[]);
    assert!((penalty / sum - 1.0).abs() < 1e-3, "{penalty} {sum}");
}
