//! Custom objectives: named parts, hooks, own state and own inputs.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bauta_backbones::checkpoint::{Mismatch, read_tensors};
use bauta_backbones::{Init, Parameters};
use bauta_data::{Inputs, Prefetcher, Prepared};
use bauta_report::MetricsLog;
use bauta_train::{
    End, Event, Gradients, Loss, Objective, ObjectiveError, OptimizerConfig, Phase, Schedule,
    TrainConfig, TrainError, Trainer,
};
use tch::{Device, Tensor};

use super::toy::{assert_same, config};

/// Numbers with their step, an input that does not come from a loader.
struct Numbers {
    step: u64,
    values: Vec<f32>,
}

fn numbers(steps: std::ops::Range<u64>) -> Inputs<Numbers> {
    let prefetcher = Prefetcher::new(2, 3).unwrap();
    prefetcher.inputs(steps, |step, _| {
        let values = (0..8).map(|i| ((step * 8 + i) % 13) as f32 / 13.0).collect();
        Ok(Prepared { input: Some(Numbers { step, values }), skipped: step % 2 })
    })
}

/// A weight with a moving average, whose losses pull it towards the average and the numbers.
struct Followed {
    parameters: Parameters,
    weight: Tensor,
    spare: Tensor,
    follower: Tensor,
    calls: Vec<String>,
}

impl Followed {
    fn new() -> Self {
        let mut parameters = Parameters::new(3, Device::Cpu);
        let weight = parameters.root().add("weight", &[8], Init::Normal(1.0));
        let spare = parameters.root().add("spare", &[2], Init::Constant(1.0));
        let follower = weight.detach().copy();
        Self { parameters, weight, spare, follower, calls: Vec::new() }
    }
}

impl Objective for Followed {
    type Input = Numbers;

    fn loss(&mut self, input: &Numbers) -> Result<Loss, ObjectiveError> {
        self.calls.push(format!("loss {}", input.step));
        let numbers = Tensor::from_slice(&input.values);
        let distance = (&self.weight - &self.follower - 1.0).square().mean(None);
        let error = (&self.weight - numbers).square().mean(None) + self.spare.mean(None);
        Ok(Loss::sum([("error", 1.0, error), ("distance", 0.5, distance)]))
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({})
    }

    fn tensors(&self, input: &Numbers) -> Vec<(&'static str, Tensor)> {
        vec![("numbers", Tensor::from_slice(&input.values))]
    }

    fn adjust_gradients(&mut self, gradients: &mut Gradients<'_>) -> Result<(), ObjectiveError> {
        let names: Vec<String> = gradients.iter_mut().map(|(name, _)| name.to_owned()).collect();
        self.calls.push(format!("adjust {}", names.join(", ")));
        // A subnetwork: the first half of the weight, and nothing else.
        let _ = gradients.get_mut("spare").ok_or("no gradient of spare")?.zero_();
        let weight = gradients.get_mut("weight").ok_or("no gradient of weight")?;
        let _ = weight.narrow(0, 4, 4).zero_();
        assert!(gradients.get_mut("follower").is_none());
        Ok(())
    }

    fn after_step(&mut self, step: u64) -> Result<(), ObjectiveError> {
        self.calls.push(format!("after {step}"));
        self.follower = &self.follower * 0.9 + &self.weight * 0.1;
        Ok(())
    }

    fn state(&self) -> Vec<(String, Tensor)> {
        vec![("follower".to_owned(), self.follower.shallow_clone())]
    }

    fn load_state(&mut self, saved: &HashMap<String, Tensor>) -> Result<(), Mismatch> {
        let missing = || Mismatch { missing: vec!["follower".to_owned()], ..Mismatch::default() };
        self.follower = saved.get("follower").ok_or_else(missing)?.copy();
        Ok(())
    }
}

fn phase(steps: u64) -> Phase {
    let optimizer = OptimizerConfig::adamw((0.9, 0.95), 0.0);
    let schedule = Schedule::constant(0.05, steps);
    let config = TrainConfig { accumulate: 2, optimizer, schedule, ema: None, ..config(steps) };
    Phase::new("main", config)
}

fn train(
    objective: &mut Followed,
    folder: &Path,
    resume: bool,
    stop_at: u64,
) -> Result<End, TrainError> {
    let stop = AtomicBool::new(false);
    let mut trainer = Trainer::open(folder, resume, &stop)?;
    trainer.fit(&phase(8), objective, numbers, |event| {
        if matches!(event, Event::Step { step } if step == stop_at) {
            stop.store(true, Ordering::Relaxed);
        }
    })
}

#[test]
fn hooks_are_called_once_a_step_and_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut objective = Followed::new();
    let spare = objective.spare.copy();
    let before = objective.weight.detach().copy();
    train(&mut objective, folder.path(), false, 2).unwrap();
    let wanted = ["loss 0", "loss 1", "adjust weight, spare", "after 0", "loss 2", "loss 3"];
    assert_eq!(objective.calls[..6], wanted);
    assert_eq!(objective.calls[6..], ["adjust weight, spare", "after 1"]);
    // Parameters whose gradients the hook zeroed did not change.
    assert_eq!(objective.spare, spare);
    let moved = (&objective.weight - before).abs();
    assert_eq!(moved.narrow(0, 4, 4).max().double_value(&[]), 0.0);
    assert!(moved.narrow(0, 0, 4).min().double_value(&[]) > 0.0);
}

#[test]
fn norms_are_those_of_the_adjusted_gradients() {
    let folder = tempfile::tempdir().unwrap();
    let mut objective = Followed::new();
    let weight = objective.weight.detach().copy();
    train(&mut objective, folder.path(), false, 1).unwrap();
    let log = MetricsLog::read(&folder.path().join("metrics.jsonl")).unwrap();
    let mean = |i: i64| ((i % 13) + ((i + 8) % 13)) as f64 / 13.0 / 2.0;
    let gradient = |i: i64| (2.0 * (weight.double_value(&[i]) - mean(i)) - 1.0) / 8.0;
    let norm = (0..4).map(|i| gradient(i).powi(2)).sum::<f64>().sqrt();
    assert!((log[0].grad_norm - norm).abs() < 1e-6, "{} is not {norm}", log[0].grad_norm);
}

#[test]
fn named_parts_are_recorded_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    train(&mut Followed::new(), folder.path(), false, u64::MAX).unwrap();
    let log = MetricsLog::read(&folder.path().join("metrics.jsonl")).unwrap();
    assert!(log.iter().any(|record| record.step > 1));
    for record in &log {
        assert_eq!(record.parts.keys().collect::<Vec<_>>(), ["distance", "error"]);
        let sum = record.parts["error"] + 0.5 * record.parts["distance"];
        assert!((record.loss - sum).abs() < 1e-6, "{record:?}");
    }
    let text = std::fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    assert!(text.lines().all(|line| line.contains(r#""parts":{"distance":"#)), "{text}");
}

#[test]
fn own_state_is_saved_and_resumed() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut objective = Followed::new();
    train(&mut objective, whole.path(), false, u64::MAX).unwrap();
    train(&mut Followed::new(), broken.path(), false, 3).unwrap();
    train(&mut Followed::new(), broken.path(), true, u64::MAX).unwrap();
    assert_same(broken.path(), whole.path(), "stopped at 3");
    let state = whole.path().join("checkpoints/last/state.safetensors");
    assert_eq!(read_tensors(&state).unwrap()["follower"], objective.follower);

    // A finished phase also restores its objective's state.
    let mut again = Followed::new();
    assert_eq!(train(&mut again, whole.path(), true, u64::MAX).unwrap(), End::Finished);
    assert_eq!(again.follower, objective.follower);
    assert!(again.calls.is_empty());

    std::fs::remove_file(&state).unwrap();
    let error = train(&mut Followed::new(), whole.path(), true, u64::MAX).unwrap_err();
    let wanted = "state.safetensors: does not fit the objective's state: missing follower";
    assert!(error.to_string().ends_with(wanted), "{error}");
}

#[test]
fn inputs_of_ones_own_are_counted_like_any_others() {
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let mut trainer = Trainer::open(folder.path(), false, &stop).unwrap();
    trainer.fit(&phase(8), &mut Followed::new(), numbers, |_| ()).unwrap();
    let progress = trainer.progress();
    assert_eq!((progress.step, progress.samples, progress.skipped), (8, 8 * 2 * 16, 8));
}
