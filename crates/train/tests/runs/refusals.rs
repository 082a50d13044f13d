//! Errors that stop a run, and their messages.

use std::fs;

use bauta_backbones::Init;
use bauta_backbones::checkpoint::{read_tensors, write_tensors};
use bauta_data::{Batch, DataError, Prefetcher, Prepared};
use bauta_train::{
    LayerDecay, Loss, Objective, ObjectiveError, OptimizerConfig, Phase, Rule, Schedule, Shape,
    Start, TrainConfig, TrainError, Trainer,
};
use std::sync::atomic::AtomicBool;
use tch::{Device, Kind, Tensor};

use super::toy::{Autoencoder, config, loader, run};

#[test]
fn divergence_stops_before_it_spoils_a_weight_and_saves_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let mut objective = Autoencoder::new(1);
    objective.poison = Some(6);
    let error = run(&mut objective, &config(18), folder.path(), false, None).unwrap_err();
    let TrainError::NonFinite { step, batch, .. } = &error else { panic!("{error}") };
    assert_eq!(*step, 6);
    let message = error.to_string();
    assert!(message.contains("lower the learning rate or clip the gradient"), "{message}");
    let saved = read_tensors(batch.as_ref().unwrap()).unwrap();
    assert_eq!(saved["0.pixels"].size(), [16, 16]);
    assert!(objective.weight.isfinite().all().int64_value(&[]) == 1);
    // The weights are those after step 6, which the poisoned step did not change.
    let mut clean = Autoencoder::new(1);
    let other = tempfile::tempdir().unwrap();
    run(&mut clean, &config(18), other.path(), false, Some(6)).unwrap();
    assert_eq!(objective.weight, clean.weight);
}

#[test]
fn a_divergence_is_named_although_its_batch_cannot_be_saved() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("non-finite-batch.safetensors/in the way")).unwrap();
    let mut objective = Autoencoder::new(1);
    objective.poison = Some(6);
    let error = run(&mut objective, &config(18), folder.path(), false, None).unwrap_err();
    assert!(matches!(error, TrainError::NonFinite { step: 6, batch: Err(_), .. }), "{error:?}");
    let message = error.to_string();
    assert!(
        message.starts_with("step 6: loss ") && message.contains("not be saved ("),
        "{message}"
    );
}

#[test]
fn a_divergence_is_named_by_the_runs_step_and_its_own_phases_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let mut trainer = Trainer::open(folder.path(), false, &stop).unwrap();
    let loader = loader(16);
    let feed = |steps| loader.batches(steps, |batch| batch);
    trainer.fit(&Phase::new("a", config(6)), &mut Autoencoder::new(1), feed, |_| ()).unwrap();
    let mut poisoned = Autoencoder::new(1);
    poisoned.poison = Some(2);
    let error = trainer.fit(&Phase::new("b", config(6)), &mut poisoned, feed, |_| ()).unwrap_err();
    let TrainError::NonFinite { step: 8, batch, .. } = &error else { panic!("{error}") };
    let wanted = loader.batches(2..3, |batch| batch).next().unwrap().unwrap();
    let saved = read_tensors(batch.as_ref().unwrap()).unwrap();
    assert_eq!(saved["0.pixels"], super::toy::pixels(&wanted));

    // Its unsaved steps do not count, and another phase can follow.
    let kept = trainer.progress();
    assert_eq!((kept.phase.as_str(), kept.step), ("a", 6));
    trainer.fit(&Phase::new("c", config(6)), &mut Autoencoder::new(2), feed, |_| ()).unwrap();
    let ended = trainer.progress();
    assert_eq!((ended.finished.as_slice(), ended.step), (&["a".to_owned()][..], 12));
}

/// Stopped with a checkpoint, continued, diverged.
#[test]
fn a_phase_that_diverges_after_it_was_resumed_can_be_abandoned() {
    let folder = tempfile::tempdir().unwrap();
    run(&mut Autoencoder::new(1), &config(18), folder.path(), false, Some(6)).unwrap();
    let mut poisoned = Autoencoder::new(1);
    poisoned.poison = Some(9);
    let stop = AtomicBool::new(false);
    let mut trainer = Trainer::open(folder.path(), true, &stop).unwrap();
    let loader = loader(16);
    let feed = |steps| loader.batches(steps, |batch| batch);
    let main = Phase::new("main", config(18));
    let error = trainer.fit(&main, &mut poisoned, feed, |_| ()).unwrap_err();
    assert!(matches!(error, TrainError::NonFinite { .. }), "{error}");
    let next = Phase::new("next", config(6));
    let begin = |trainer: &mut Trainer<'_>| {
        trainer.fit(&next, &mut Autoencoder::new(2), feed, |_| ()).map(|_| ())
    };
    let message = begin(&mut trainer).unwrap_err().to_string();
    assert!(message.contains("\"next\" cannot begin from it"), "{message}");

    trainer.abandon("other").unwrap();
    assert!(!trainer.is_over("main"));
    trainer.abandon("main").unwrap();
    drop(trainer);
    let mut trainer = Trainer::open(folder.path(), true, &stop).unwrap();
    assert!(trainer.is_over("main"));
    begin(&mut trainer).unwrap();
    let ended = trainer.progress();
    assert_eq!((ended.finished.as_slice(), ended.step), (&["main".to_owned()][..], 12));
}

#[test]
fn checkpoints_of_another_model_or_cut_short_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = |steps| TrainConfig { ema: None, ..config(steps) };
    run(&mut Autoencoder::new(1), &config(6), folder.path(), false, None).unwrap();
    let last = folder.path().join("checkpoints/last");
    let resume =
        || run(&mut Autoencoder::new(1), &config(12), folder.path(), true, None).unwrap_err();

    let model = last.join("model.safetensors");
    let whole = fs::read(&model).unwrap();
    fs::write(&model, &whole[..whole.len() / 2]).unwrap();
    assert!(resume().to_string().contains("truncated"));
    let other = Tensor::zeros([8, 8], (Kind::Float, Device::Cpu));
    write_tensors(&model, [("layer.weight", &other), ("x", &other)]).unwrap();
    let message = resume().to_string();
    assert!(message.contains("missing layer.bias; unexpected x; layer.weight: file has [8, 8]"));
    fs::write(&model, &whole).unwrap();
    fs::write(last.join("state.json"), "{").unwrap();
    assert!(resume().to_string().contains("cannot read the state of training"));
    fs::write(last.join("state.json"), "{\"phase\": \"main\"}").unwrap();
    let message = resume().to_string();
    assert!(message.contains("missing field `phase_step`"), "{message}");
    assert!(message.contains("go on with the version that wrote it"), "{message}");
}

#[test]
fn a_run_resumes_only_with_the_optimizer_and_averages_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let plain = TrainConfig { ema: None, ..config(12) };
    run(&mut Autoencoder::new(1), &plain, folder.path(), false, Some(6)).unwrap();
    let resume = |config| {
        run(&mut Autoencoder::new(1), &config, folder.path(), true, None).unwrap_err().to_string()
    };
    let sgd = TrainConfig { optimizer: OptimizerConfig::sgd(0.9, 0.0), ..plain.clone() };
    let message = resume(sgd);
    assert!(message.contains("does not fit the optimiser: missing momentum_buffer."), "{message}");
    let message = resume(TrainConfig { ema: Some(0.9), ..plain });
    assert!(message.contains("was trained without `ema`"), "{message}");
}

#[test]
fn a_file_in_the_place_of_the_folder_is_an_error_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    fs::write(&blocked, "no folder").unwrap();
    let error = run(&mut Autoencoder::new(1), &config(6), &blocked, false, None).unwrap_err();
    assert!(error.to_string().starts_with(blocked.to_str().unwrap()), "{error}");
    assert_eq!(fs::read(&blocked).unwrap(), b"no folder");
}

#[test]
fn phases_follow_each_other() {
    let folder = tempfile::tempdir().unwrap();
    run(&mut Autoencoder::new(1), &config(6), folder.path(), false, Some(3)).unwrap();
    let stop = AtomicBool::new(false);
    let mut trainer = Trainer::open(folder.path(), true, &stop).unwrap();
    let loader = loader(16);
    let mut begin = |name: &str, start| {
        let phase = Phase { start, ..Phase::new(name, config(6)) };
        let feed = |steps| loader.batches(steps, |batch| batch);
        trainer.fit(&phase, &mut Autoencoder::new(1), feed, |_| ()).unwrap_err().to_string()
    };
    let message = begin("next", Start::Fresh);
    assert!(message.contains("belongs to phase \"main\" (step 3 of 6)"), "{message}");
    assert!(message.contains("phase \"next\" cannot begin from it"), "{message}");
    for name in ["", "last", "step-7", "a/b", "..", "a.partial"] {
        let message = begin(name, Start::Fresh);
        assert!(message.starts_with(&format!("name = \"{name}\": ")), "{message}");
    }
    let again = Trainer::open(folder.path(), true, &stop).unwrap_err().to_string();
    assert!(again.starts_with("another process trains in "), "{again}");
    let folder = tempfile::tempdir().unwrap();
    trainer = Trainer::open(folder.path(), true, &stop).unwrap();
    let phase = Phase { start: Start::Continue, ..Phase::new("main", config(6)) };
    let feed = |steps| loader.batches(steps, |batch| batch);
    let error = trainer.fit(&phase, &mut Autoencoder::new(1), feed, |_| ()).unwrap_err();
    let wanted = "start = Continue: needs a phase before it, but this is the run's first";
    assert_eq!(error.to_string(), wanted);
}

#[test]
fn settings_out_of_range_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let sgd = |momentum, nesterov| {
        let rule = Rule::Sgd { momentum, nesterov };
        OptimizerConfig { rule, ..OptimizerConfig::default() }
    };
    let adam = OptimizerConfig::adam((1.0, 0.9), 0.0);
    let adamw = |weight_decay, eps| {
        let rule = Rule::AdamW { betas: (0.9, 0.95), eps };
        OptimizerConfig { rule, weight_decay, layer_decay: None }
    };
    let layers = |decay| OptimizerConfig {
        layer_decay: Some(LayerDecay { decay, depth: 12 }),
        ..OptimizerConfig::default()
    };
    let steps = Shape::Steps { milestones: vec![2], factor: f64::NAN };
    let warm = |warmup| Schedule::cosine(0.01, 0.0, warmup, 6);
    for (config, wanted) in [
        (TrainConfig { batch_size: 0, ..config(6) }, "batch_size = 0"),
        (TrainConfig { accumulate: 0, ..config(6) }, "accumulate = 0"),
        (TrainConfig { steps_per_epoch: 0, ..config(6) }, "steps_per_epoch = 0"),
        (config(0), "steps = 0: must be at least 1"),
        (TrainConfig { schedule: Schedule::constant(f64::NAN, 6), ..config(6) }, "lr = NaN"),
        (TrainConfig { clip_grad: Some(0.0), ..config(6) }, "clip_grad = 0"),
        (TrainConfig { clip_grad: Some(f64::NAN), ..config(6) }, "clip_grad = NaN"),
        (TrainConfig { ema: Some(1.0), ..config(6) }, "ema = 1: must be in [0, 1)"),
        (TrainConfig { optimizer: adam, ..config(6) }, "betas = 1, 0.9: must be in [0, 1)"),
        (TrainConfig { optimizer: sgd(1.0, false), ..config(6) }, "momentum = 1"),
        (TrainConfig { optimizer: sgd(0.0, true), ..config(6) }, "nesterov = true"),
        (TrainConfig { optimizer: adamw(-0.05, 1e-8), ..config(6) }, "weight_decay = -0.05: must"),
        (TrainConfig { optimizer: adamw(0.05, f64::NAN), ..config(6) }, "eps = NaN"),
        (TrainConfig { optimizer: layers(f64::NAN), ..config(6) }, "layer_decay = NaN"),
        (TrainConfig { schedule: warm(-2.0), ..config(6) }, "warmup_steps = -2"),
        (TrainConfig { schedule: warm(f64::NAN), ..config(6) }, "warmup_steps = NaN"),
        (
            TrainConfig { schedule: Schedule::cosine(0.01, f64::NAN, 1.0, 6), ..config(6) },
            "min_lr = NaN",
        ),
        (
            TrainConfig { schedule: Schedule { shape: steps, ..warm(0.0) }, ..config(6) },
            "factor = NaN",
        ),
    ] {
        let error = run(&mut Autoencoder::new(1), &config, folder.path(), false, None);
        let message = error.unwrap_err().to_string();
        assert!(message.starts_with(wanted), "{message}");
    }
    // Layers of another network's depth, by which rates would rise above the schedule's.
    let mut deep = Autoencoder::new(1);
    let _ = deep.parameters.root().sub("blocks").sub(3).add("weight", &[2], Init::Constant(0.0));
    let depth = |depth| OptimizerConfig {
        layer_decay: Some(LayerDecay { decay: 0.5, depth }),
        ..OptimizerConfig::default()
    };
    for shallow in [0, 3] {
        let config = TrainConfig { optimizer: depth(shallow), ..config(6) };
        let error = run(&mut deep, &config, folder.path(), false, None).unwrap_err().to_string();
        let wanted = format!("layer_decay = a depth of {shallow} with the parameter blocks.3.");
        assert!(error.starts_with(&wanted), "{error}");
    }
    let config_of_four = TrainConfig { optimizer: depth(4), ..config(6) };
    run(&mut deep, &config_of_four, folder.path(), false, None).unwrap();
    let mut frozen = Autoencoder::new(1);
    frozen.parameters.train_only(|_| false);
    let error = run(&mut frozen, &config(6), folder.path(), false, None).unwrap_err();
    assert!(error.to_string().contains("no parameter to train"), "{error}");
}

/// An objective whose loss is computed by a function.
struct Odd(Autoencoder, fn(&Autoencoder) -> Result<Loss, ObjectiveError>);

impl Objective for Odd {
    type Input = Batch;

    fn loss(&mut self, _: &Batch) -> Result<Loss, ObjectiveError> {
        (self.1)(&self.0)
    }
    fn parameters(&self) -> &bauta_backbones::Parameters {
        &self.0.parameters
    }
    fn config(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
    fn tensors(&self, _: &Batch) -> Vec<(&'static str, Tensor)> {
        Vec::new()
    }
}

#[test]
fn losses_that_cannot_be_lowered_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = |loss, wanted: &str| {
        let mut odd = Odd(Autoencoder::new(1), loss);
        let message = run(&mut odd, &config(6), folder.path(), false, None).unwrap_err();
        assert!(message.to_string().contains(wanted), "{message}");
    };
    refuse(|model| Ok(Loss::from(model.bias.square())), "the loss has the shape [16]");
    refuse(
        |model| Ok(Loss::sum([("a", 1.0, model.bias.mean(None)), ("b", 0.0, model.bias.copy())])),
        "the part \"b\" has the shape [16]",
    );
    refuse(|_| Ok(Loss::from(Tensor::from(1.0_f32))), "the loss depends on no parameter");
    refuse(|_| Err("the clip has no frames".into()), "the clip has no frames");
}

#[test]
fn inputs_that_cannot_be_made_stop_the_run_in_their_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let mut trainer = Trainer::open(folder.path(), false, &stop).unwrap();
    let prefetcher = Prefetcher::new(1, 1).unwrap();
    let feed = |steps| {
        prefetcher.inputs(steps, |_, _| -> Result<Prepared<Batch>, DataError> {
            Err(DataError::Input("page 3 is blank".into()))
        })
    };
    let phase = Phase::new("main", config(6));
    let error = trainer.fit(&phase, &mut Autoencoder::new(1), feed, |_| ()).unwrap_err();
    assert_eq!(error.to_string(), "page 3 is blank");
}
