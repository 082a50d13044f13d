//! Whole runs of a small objective: resume, stop, divergence, accumulation.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bauta_backbones::{Init, Parameters};
use bauta_data::{Augment, Batch, Crop, InMemory, Loader, LoaderConfig, Statistics};
use bauta_train::{
    AdamWConfig, Checkpoints, Event, MetricsLog, Objective, Outcome, Precision, Schedule, Stage,
    TrainConfig, TrainError, fit,
};
use tch::{Device, Kind, Tensor};

/// A one-layer autoencoder of 4 × 4 grey images, which may diverge on demand.
struct Autoencoder {
    parameters: Parameters,
    weight: Tensor,
    bias: Tensor,
    poison: Option<u64>,
}

impl Autoencoder {
    fn new(seed: u64) -> Self {
        let mut parameters = Parameters::new(seed, Device::Cpu);
        let weight = parameters.root().add("layer.weight", &[16, 16], Init::XavierUniform);
        let bias = parameters.root().add("layer.bias", &[16], Init::Constant(0.0));
        Self { parameters, weight, bias, poison: None }
    }
}

impl Objective for Autoencoder {
    type Input = Batch;

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn loss(&self, batch: &Batch) -> Result<Tensor, TrainError> {
        let pixels = pixels(batch);
        let loss = (pixels.linear(&self.weight, Some(&self.bias)) - pixels).square().mean(None);
        Ok(if self.poison == Some(batch.step) { loss / 0.0 } else { loss })
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({ "model_type": "autoencoder" })
    }

    fn tensors(&self, batch: &Batch) -> Vec<(&'static str, Tensor)> {
        vec![("pixels", pixels(batch))]
    }
}

fn pixels(batch: &Batch) -> Tensor {
    let values = batch.pixels.as_slice().unwrap();
    Tensor::from_slice(values).to_kind(Kind::Float).view([-1, 16]) / 255.0
}

fn loader(batch_size: usize) -> Loader {
    let pixels = (0..96 * 16).map(|i| (i * 37 % 251) as u8).collect();
    let labels = vec![0; 96];
    let classes = vec!["only".to_owned()];
    let source =
        InMemory::new("toy", [4, 4, 1], pixels, labels, classes, Statistics::MNIST).unwrap();
    let augment = Augment { crop: Crop::None, flip: true, ..Augment::default() };
    Loader::new(Arc::new(source), augment, LoaderConfig::new(batch_size, 4, 4)).unwrap()
}

fn config(steps: u64) -> TrainConfig {
    TrainConfig {
        stage: Stage::default(),
        schedule: Schedule { lr: 0.01, min_lr: 0.0, warmup_steps: 4.0, steps },
        steps_per_epoch: 6,
        batch_size: 16,
        accumulate: 1,
        adamw: AdamWConfig::default(),
        clip_grad: Some(1.0),
        ema: Some(0.9),
        precision: Precision::Fp32,
        checkpoint_every: 5,
        log_every: 4,
    }
}

fn run(
    objective: &Autoencoder,
    config: &TrainConfig,
    folder: &Path,
    resume: bool,
    stop_at: Option<u64>,
) -> Result<Outcome, TrainError> {
    let loader = loader(config.batch_size);
    let stop = AtomicBool::new(false);
    let feed = |steps| loader.batches(steps, |batch| batch);
    fit(objective, feed, config, folder, resume, &stop, |event| {
        if let Event::Step { step } = event
            && Some(step) == stop_at
        {
            stop.store(true, Ordering::Relaxed);
        }
    })
}

fn weights(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("checkpoints/last/model.safetensors")).unwrap()
}

#[test]
fn an_interrupted_run_ends_with_the_same_bytes() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = config(18);
    run(&Autoencoder::new(1), &config, whole.path(), false, None).unwrap();

    let stopped = run(&Autoencoder::new(1), &config, broken.path(), false, Some(7)).unwrap();
    assert!(stopped.stopped);
    assert_eq!(stopped.progress.step, 7);
    // As if killed later: the state on disk is what counts.
    let outcome = run(&Autoencoder::new(1), &config, broken.path(), true, None).unwrap();
    assert!(!outcome.stopped);
    assert_eq!(outcome.progress.step, 18);
    for file in ["model.safetensors", "optimizer.safetensors", "ema.safetensors", "config.json"] {
        let read =
            |folder: &Path| std::fs::read(folder.join("checkpoints/last").join(file)).unwrap();
        assert_eq!(read(whole.path()), read(broken.path()), "{file}");
    }
    let steps = |folder: &Path| -> Vec<u64> {
        let log = MetricsLog::read(&folder.join("metrics.jsonl")).unwrap();
        log.iter().map(|record| record.step).collect()
    };
    assert_eq!(steps(whole.path()), [1, 4, 5, 8, 10, 12, 15, 16, 18]);
    assert_eq!(*steps(broken.path()).last().unwrap(), 18);
}

#[test]
fn a_killed_run_goes_on_from_its_last_whole_checkpoint() {
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = config(18);
    run(&Autoencoder::new(1), &config, whole.path(), false, None).unwrap();
    run(&Autoencoder::new(1), &config, killed.path(), false, Some(11)).unwrap();
    // A kill between checkpoints 10 and 11 leaves a half-written folder and `last` at 10.
    let checkpoints = killed.path().join("checkpoints");
    std::fs::rename(checkpoints.join("step-11"), checkpoints.join("step-11.partial")).unwrap();
    std::fs::remove_file(checkpoints.join("step-11.partial/state.json")).unwrap();
    std::fs::remove_file(checkpoints.join("last")).unwrap();
    std::os::unix::fs::symlink("step-10", checkpoints.join("last")).unwrap();
    run(&Autoencoder::new(1), &config, killed.path(), true, None).unwrap();
    assert_eq!(weights(whole.path()), weights(killed.path()));
    let mut left: Vec<_> = std::fs::read_dir(&checkpoints)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["last", "step-15", "step-18"]);
}

#[test]
fn accumulated_inputs_make_the_step_of_their_union() {
    let (once, twice) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let big = TrainConfig { batch_size: 32, steps_per_epoch: 3, ..config(6) };
    let small = TrainConfig { batch_size: 16, accumulate: 2, ..big.clone() };
    let (a, b) = (Autoencoder::new(1), Autoencoder::new(1));
    run(&a, &big, once.path(), false, None).unwrap();
    run(&b, &small, twice.path(), false, None).unwrap();
    let difference = (&a.weight - &b.weight).abs().max().double_value(&[]);
    assert!(difference < 1e-6, "{difference}");
}

#[test]
fn divergence_stops_before_it_spoils_a_weight_and_saves_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let mut objective = Autoencoder::new(1);
    objective.poison = Some(6);
    let error = run(&objective, &config(18), folder.path(), false, None).unwrap_err();
    let TrainError::NonFinite { step, batch, .. } = &error else { panic!("{error}") };
    assert_eq!(*step, 6);
    let saved = bauta_backbones::checkpoint::read_tensors(batch).unwrap();
    assert_eq!(saved["0.pixels"].size(), [16, 16]);
    assert!(objective.weight.isfinite().all().int64_value(&[]) == 1);
    // The weights are those after step 6, which the poisoned step did not change.
    let clean = Autoencoder::new(1);
    let other = tempfile::tempdir().unwrap();
    run(&clean, &config(18), other.path(), false, Some(6)).unwrap();
    assert_eq!(objective.weight, clean.weight);
}

#[test]
fn the_evaluated_weights_are_the_averages() {
    let folder = tempfile::tempdir().unwrap();
    let objective = Autoencoder::new(1);
    run(&objective, &config(6), folder.path(), false, None).unwrap();
    let last = folder.path().join("checkpoints/last");
    let read = |file| bauta_backbones::checkpoint::read_tensors(&last.join(file)).unwrap();
    assert_eq!(objective.weight.detach(), read("ema.safetensors")["layer.weight"]);
    assert_ne!(objective.weight.detach(), read("model.safetensors")["layer.weight"]);
}

#[test]
fn checkpoints_of_another_model_or_cut_short_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(&Autoencoder::new(1), &config(6), folder.path(), false, None).unwrap();
    let last = Checkpoints::of(folder.path()).last().unwrap();
    let resume = || run(&Autoencoder::new(1), &config(12), folder.path(), true, None);

    let model = last.join("model.safetensors");
    let whole = std::fs::read(&model).unwrap();
    std::fs::write(&model, &whole[..whole.len() / 2]).unwrap();
    assert!(resume().unwrap_err().to_string().contains("truncated"));
    let other = Tensor::zeros([8, 8], (Kind::Float, Device::Cpu));
    bauta_backbones::checkpoint::write_tensors(&model, [("layer.weight", &other), ("x", &other)])
        .unwrap();
    let message = resume().unwrap_err().to_string();
    assert!(message.contains("missing layer.bias; unexpected x; layer.weight: file has [8, 8]"));
    std::fs::write(&model, &whole).unwrap();
    std::fs::write(last.join("state.json"), "{").unwrap();
    assert!(resume().unwrap_err().to_string().contains("no usable state"));
}

#[test]
fn an_unwritable_folder_is_an_error_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "no folder").unwrap();
    let error = run(&Autoencoder::new(1), &config(6), &blocked, false, None).unwrap_err();
    assert!(error.to_string().contains("file/metrics.jsonl"), "{error}");
    assert_eq!(std::fs::read(&blocked).unwrap(), b"no folder");
}

/// Two stages of six steps, as a run makes them: the second starts where the first ended.
fn run_stages(
    folder: &Path,
    resume: bool,
    stop_at: Option<u64>,
    keep_optimizer: bool,
) -> Result<Outcome, TrainError> {
    let checkpoints = Checkpoints::of(folder);
    let done = checkpoints.last().filter(|_| resume);
    let done = done.map_or(0, |last| Checkpoints::progress(&last).unwrap().step);
    for index in u32::from(done >= 6)..2 {
        let stage = Stage { index, first_step: 6 * u64::from(index), keep_optimizer };
        let config = TrainConfig { stage, ema: None, log_every: 1, ..config(6) };
        let student = Autoencoder::new(u64::from(index));
        let outcome = run(&student, &config, folder, resume, stop_at)?;
        if outcome.stopped || index == 1 {
            return Ok(outcome);
        }
        checkpoints.keep("stage-1").unwrap();
    }
    unreachable!("the second stage ends the run");
}

fn learning_rates(folder: &Path) -> Vec<f64> {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let record = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    text.lines().map(|line| record(line)["lr"].as_f64().unwrap()).collect()
}

#[test]
fn each_stage_has_the_schedule_anew_and_leaves_its_student() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = run_stages(folder.path(), false, None, false).unwrap();
    assert_eq!((outcome.progress.step, outcome.progress.stage), (12, 1));
    let rates = learning_rates(folder.path());
    let (first, second) = rates.split_at(rates.len() / 2);
    assert_eq!((first, first[0]), (second, 0.0));
    let kept = std::fs::read(folder.path().join("checkpoints/stage-1/model.safetensors")).unwrap();
    assert_ne!(kept, weights(folder.path()));
    assert!(folder.path().join("checkpoints/stage-1/config.json").is_file());
}

#[test]
fn a_run_resumes_inside_any_stage_and_between_two() {
    for keep_optimizer in [false, true] {
        let whole = tempfile::tempdir().unwrap();
        run_stages(whole.path(), false, None, keep_optimizer).unwrap();
        for stop_at in [3, 6, 8] {
            let folder = tempfile::tempdir().unwrap();
            run_stages(folder.path(), false, Some(stop_at), keep_optimizer).unwrap();
            let outcome = run_stages(folder.path(), true, None, keep_optimizer).unwrap();
            assert_eq!(outcome.progress.step, 12);
            assert!(weights(folder.path()) == weights(whole.path()), "stopped at {stop_at}");
        }
    }
}

#[test]
fn moments_of_the_stage_before_are_kept_on_demand() {
    let [fresh, kept] = [false, true].map(|keep_optimizer| {
        let folder = tempfile::tempdir().unwrap();
        run_stages(folder.path(), false, None, keep_optimizer).unwrap();
        weights(folder.path())
    });
    assert!(fresh != kept);
}

#[test]
fn a_stage_does_not_go_on_from_a_checkpoint_of_another() {
    let folder = tempfile::tempdir().unwrap();
    run_stages(folder.path(), false, Some(3), false).unwrap();
    let stage = Stage { index: 1, first_step: 6, keep_optimizer: false };
    let config = TrainConfig { stage, ema: None, ..config(6) };
    let refused = run(&Autoencoder::new(1), &config, folder.path(), true, None).unwrap_err();
    let message = refused.to_string();
    assert!(message.contains("stands at step 3 of stage 1"), "{message}");
    assert!(message.contains("stage 2 was to go on"), "{message}");
}
