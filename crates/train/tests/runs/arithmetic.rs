//! Arithmetic of a step: bits of a plain loop, accumulation, averages, every optimiser.

use bauta_backbones::checkpoint::read_tensors;
use bauta_libtorch::{AdamStep, AdamTensors, fused_adamw, global_norm, lerp_all, scale_all};
use bauta_report::MetricsLog;
use bauta_train::{End, OptimizerConfig, Rule, Schedule, Shape, TrainConfig, is_decayed};
use tch::{Kind, Tensor};

use super::toy::{Autoencoder, assert_same, config, last, loader, pixels, run};

/// The training loop written out, for the settings of the toy's configuration.
fn by_hand(config: &TrainConfig) -> (Autoencoder, Vec<Tensor>) {
    let model = Autoencoder::new(1);
    // Decayed parameters come first, as in the optimiser's groups.
    let parameters = [model.weight.shallow_clone(), model.bias.shallow_clone()];
    assert!(is_decayed(model.parameters.get("layer.weight").unwrap()));
    let averages = parameters.each_ref().map(|p| p.detach().copy());
    let zeros = || parameters.each_ref().map(|p| p.detach().zeros_like());
    let (m, v) = (zeros(), zeros());
    let counts = [Tensor::from(0.0_f32), Tensor::from(0.0_f32)];
    let loader = loader(config.batch_size);
    let mut batches = loader.batches(0..1000, |batch| batch);
    for step in 0..config.schedule.steps {
        let mut gradients: Vec<Tensor> = Vec::new();
        for _ in 0..config.accumulate {
            let x = pixels(&batches.next().unwrap().unwrap());
            let loss = (x.linear(&model.weight, Some(&model.bias)) - x).square().mean(None);
            let loss = loss * (1.0 / config.accumulate as f64);
            let new = Tensor::run_backward(&[&loss], &parameters, false, false);
            match gradients.is_empty() {
                true => gradients = new,
                false => gradients.iter_mut().zip(new).for_each(|(sum, new)| {
                    let _ = sum.g_add_(&new);
                }),
            }
        }
        let norm = global_norm(&gradients).unwrap();
        scale_all(&gradients, &(config.clip_grad.unwrap() / (norm + 1e-6)).clamp_max(1.0)).unwrap();
        for (i, weight_decay) in [0.05, 0.0].into_iter().enumerate() {
            let lr = config.schedule.at(step);
            let settings = AdamStep { lr, beta1: 0.9, beta2: 0.95, weight_decay, eps: 1e-8 };
            let tensors = AdamTensors {
                parameters: &parameters[i..=i],
                gradients: &gradients[i..=i],
                exp_avgs: &m[i..=i],
                exp_avg_sqs: &v[i..=i],
                step: &counts[i],
            };
            fused_adamw(tensors, settings, None).unwrap();
        }
        lerp_all(&averages, &parameters, 1.0 - config.ema.unwrap()).unwrap();
    }
    (model, Vec::from(averages))
}

#[test]
fn training_gives_the_bits_of_the_plain_loop() {
    for accumulate in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let config = TrainConfig { accumulate, ..config(18) };
        let mut trained = Autoencoder::new(1);
        let end = run(&mut trained, &config, folder.path(), false, None).unwrap();
        assert_eq!(end, End::Finished);
        let (plain, averages) = by_hand(&config);
        let read = |file| read_tensors(&folder.path().join("checkpoints/last").join(file)).unwrap();
        let saved = read("training.safetensors");
        assert_eq!(saved["layer.weight"], plain.weight.detach());
        assert_eq!(saved["layer.bias"], plain.bias.detach());
        // The averages are what is evaluated, exported and trained further.
        assert_eq!(read("model.safetensors")["layer.weight"], averages[0]);
        assert_eq!(trained.weight.detach(), averages[0]);
        assert_ne!(averages[0], plain.weight.detach());
    }
}

#[test]
fn without_averages_the_model_is_what_was_trained() {
    let folder = tempfile::tempdir().unwrap();
    let mut trained = Autoencoder::new(1);
    let config = TrainConfig { ema: None, ..config(6) };
    run(&mut trained, &config, folder.path(), false, None).unwrap();
    let last = folder.path().join("checkpoints/last");
    let model = read_tensors(&last.join("model.safetensors")).unwrap();
    assert_eq!(model["layer.weight"], trained.weight.detach());
    assert!(!last.join("training.safetensors").exists());
    assert!(!last.join("state.safetensors").exists());
}

#[test]
fn accumulated_inputs_make_the_step_of_their_union() {
    let (once, twice) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let big = TrainConfig { batch_size: 32, steps_per_epoch: 3, ..config(6) };
    let small = TrainConfig { batch_size: 16, accumulate: 2, ..big.clone() };
    let (mut a, mut b) = (Autoencoder::new(1), Autoencoder::new(1));
    run(&mut a, &big, once.path(), false, None).unwrap();
    run(&mut b, &small, twice.path(), false, None).unwrap();
    let difference = (&a.weight - &b.weight).abs().max().double_value(&[]);
    assert!(difference < 1e-6, "{difference}");
}

/// Update rules with different kinds of state.
pub fn optimizers() -> Vec<(&'static str, OptimizerConfig)> {
    let nesterov = Rule::Sgd { momentum: 0.9, nesterov: true };
    vec![
        ("adamw", OptimizerConfig::adamw((0.9, 0.95), 0.05)),
        ("adam", OptimizerConfig::adam((0.9, 0.999), 1e-4)),
        ("sgd", OptimizerConfig::sgd(0.0, 1e-4)),
        ("momentum", OptimizerConfig::sgd(0.9, 1e-4)),
        ("nesterov", OptimizerConfig { rule: nesterov, ..OptimizerConfig::sgd(0.9, 1e-4) }),
    ]
}

#[test]
fn every_optimizer_learns_and_resumes_with_its_state() {
    let mut ends: Vec<Vec<u8>> = Vec::new();
    for (name, optimizer) in optimizers() {
        let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let schedule = Schedule::constant(if name == "adamw" { 0.01 } else { 0.1 }, 18);
        let config = TrainConfig { optimizer, schedule, clip_grad: None, ..config(18) };
        run(&mut Autoencoder::new(1), &config, whole.path(), false, None).unwrap();
        run(&mut Autoencoder::new(1), &config, broken.path(), false, Some(7)).unwrap();
        run(&mut Autoencoder::new(1), &config, broken.path(), true, None).unwrap();
        assert_same(broken.path(), whole.path(), name);
        let log = MetricsLog::read(&whole.path().join("metrics.jsonl")).unwrap();
        assert!(log[log.len() - 1].loss < 0.8 * log[0].loss, "{name}: {log:?}");
        ends.push(last(whole.path(), "model.safetensors"));
    }
    let different: std::collections::HashSet<_> = ends.iter().collect();
    assert_eq!(different.len(), ends.len(), "two optimisers step alike");
}

#[test]
fn rates_follow_the_schedule_of_the_phase() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape::Steps { milestones: vec![4], factor: 0.5 };
    let schedule = Schedule { lr: 0.01, warmup_steps: 2.0, steps: 6, shape };
    let config = TrainConfig { schedule, log_every: 1, ..config(6) };
    run(&mut Autoencoder::new(1), &config, folder.path(), false, None).unwrap();
    let log = MetricsLog::read(&folder.path().join("metrics.jsonl")).unwrap();
    let rates: Vec<f64> = log.iter().map(|record| record.lr).collect();
    assert_eq!(rates, [0.0, 0.005, 0.01, 0.01, 0.005, 0.005]);
}

#[test]
fn a_step_in_bfloat16_keeps_single_precision_weights() {
    let folder = tempfile::tempdir().unwrap();
    let config = TrainConfig { precision: bauta_train::Precision::Bf16, ..config(6) };
    let mut trained = Autoencoder::new(1);
    run(&mut trained, &config, folder.path(), false, None).unwrap();
    assert_eq!(trained.weight.kind(), Kind::Float);
    let other = tempfile::tempdir().unwrap();
    let mut single = Autoencoder::new(1);
    run(&mut single, &super::toy::config(6), other.path(), false, None).unwrap();
    assert_ne!(trained.weight, single.weight);
}
