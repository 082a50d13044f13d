//! Runs of several phases: how each starts, what it saves, how steps are counted.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bauta_report::MetricsLog;
use bauta_train::{
    End, Event, Objective, Phase, Progress, Start, TrainConfig, TrainError, Trainer,
};

use super::toy::{Autoencoder, config, last, loader};

/// Two phases of six steps; the model of the first is kept, and the second starts with `start`.
pub fn phases(start: Start) -> [Phase; 2] {
    let config = TrainConfig { ema: None, log_every: 1, ..config(6) };
    let first = Phase { keep: true, ..Phase::new("first", config.clone()) };
    [first, Phase { start, ..Phase::new("second", config) }]
}

/// Trains the phases with one objective per phase, and passes every event to `observe`.
pub fn run_phases(
    phases: &[Phase],
    folder: &Path,
    resume: bool,
    mut observe: impl FnMut(&Event<'_>, &AtomicBool),
) -> Result<(Vec<End>, Progress), TrainError> {
    let stop = AtomicBool::new(false);
    let mut trainer = Trainer::open(folder, resume, &stop)?;
    let loader = loader(16);
    let mut ends = Vec::new();
    for (seed, phase) in phases.iter().enumerate() {
        let mut objective = Autoencoder::new(seed as u64);
        let feed = |steps| loader.batches(steps, |batch| batch);
        let end = trainer.fit(phase, &mut objective, feed, |event| observe(&event, &stop))?;
        ends.push(end);
        if matches!(end, End::Stopped { .. }) {
            break;
        }
        assert!(trainer.is_over(&phase.name));
        assert_eq!(phase.keep, trainer.kept(&phase.name).join("config.json").is_file());
    }
    Ok((ends, trainer.progress().clone()))
}

fn stop_at(wanted: u64) -> impl FnMut(&Event<'_>, &AtomicBool) {
    move |event, stop| {
        if matches!(event, Event::Step { step } if *step == wanted) {
            stop.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn each_phase_has_its_schedule_and_steps_count_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut told = Vec::new();
    let (ends, progress) = run_phases(&phases(Start::Fresh), folder.path(), false, |event, _| {
        if let Event::Step { step } = event {
            told.push(*step);
        }
    })
    .unwrap();
    assert_eq!(ends, [End::Finished; 2]);
    assert_eq!(told, (1..=12).collect::<Vec<u64>>());
    assert_eq!((progress.phase.as_str(), progress.phase_step), ("second", 6));
    assert_eq!((progress.step, progress.samples), (12, 12 * 16));
    assert_eq!(progress.finished, ["first"]);

    let log = MetricsLog::read(&folder.path().join("metrics.jsonl")).unwrap();
    let (first, second) = log.split_at(6);
    let rates = |records: &[bauta_report::Record]| -> Vec<(f64, f64)> {
        records.iter().map(|record| (record.lr, record.epoch)).collect()
    };
    assert_eq!((rates(first), first[0].lr), (rates(second), 0.0));
    assert!(first.iter().all(|record| record.phase == "first"));
    assert!(second.iter().all(|record| record.phase == "second" && record.step > 6));
    let kept = std::fs::read(folder.path().join("checkpoints/first/model.safetensors")).unwrap();
    assert_ne!(kept, last(folder.path(), "model.safetensors"));
}

#[test]
fn starts_differ_in_what_they_take_over() {
    let mut ends = Vec::new();
    for start in [Start::Fresh, Start::WithMoments, Start::Continue] {
        let folder = tempfile::tempdir().unwrap();
        run_phases(&phases(start), folder.path(), false, |_, _| ()).unwrap();
        ends.push(last(folder.path(), "model.safetensors"));
        let log = MetricsLog::read(&folder.path().join("metrics.jsonl")).unwrap();
        let mut model = Autoencoder::new(1);
        if start == Start::Continue {
            let kept = folder.path().join("checkpoints/first/model.safetensors");
            model.parameters.load(&kept).unwrap();
        }
        let batch = loader(16).batches(0..1, |batch| batch).next().unwrap().unwrap();
        let first = model.loss(&batch).unwrap().total().double_value(&[]);
        assert_eq!(log[6].loss, first, "{start:?}: the second phase begins with other weights");
    }
    assert!(ends[0] != ends[1] && ends[0] != ends[2] && ends[1] != ends[2]);
}

#[test]
fn a_run_resumes_inside_any_phase_and_between_two() {
    for start in [Start::Fresh, Start::WithMoments, Start::Continue] {
        let whole = tempfile::tempdir().unwrap();
        run_phases(&phases(start), whole.path(), false, |_, _| ()).unwrap();
        for stopped in [1, 3, 6, 7, 8] {
            let folder = tempfile::tempdir().unwrap();
            let (ends, _) =
                run_phases(&phases(start), folder.path(), false, stop_at(stopped)).unwrap();
            assert_eq!(ends.last(), Some(&End::Stopped { step: stopped }));
            let (ends, progress) =
                run_phases(&phases(start), folder.path(), true, |_, _| ()).unwrap();
            let first = if stopped > 6 { End::Earlier } else { End::Finished };
            assert_eq!((&ends[..], progress.step), (&[first, End::Finished][..], 12));
            super::toy::assert_same(folder.path(), whole.path(), &format!("{start:?} {stopped}"));
        }
    }
}

#[test]
fn what_is_over_is_loaded_and_not_trained_again() {
    let folder = tempfile::tempdir().unwrap();
    let [first, _] = phases(Start::Fresh);
    let config = TrainConfig { ema: Some(0.9), ..first.config.clone() };
    let only = [Phase { config, ..first }];
    run_phases(&only, folder.path(), false, |_, _| ()).unwrap();
    // A kept folder that was lost is made again.
    let kept = folder.path().join("checkpoints/first");
    let model = std::fs::read(kept.join("model.safetensors")).unwrap();
    std::fs::remove_dir_all(&kept).unwrap();
    let stop = AtomicBool::new(false);
    let mut trainer = Trainer::open(folder.path(), true, &stop).unwrap();
    assert!(trainer.is_over("first") && !trainer.is_over("second") && !trainer.is_over(""));
    let mut objective = Autoencoder::new(7);
    let loader = loader(16);
    let feed = |steps| loader.batches(steps, |batch| batch);
    let end = trainer.fit(&only[0], &mut objective, feed, |event| panic!("{event:?}")).unwrap();
    assert_eq!(end, End::Finished);
    assert_eq!(std::fs::read(trainer.kept("first").join("model.safetensors")).unwrap(), model);
    let saved = trainer.last().join("model.safetensors");
    let saved = bauta_backbones::checkpoint::read_tensors(&saved).unwrap();
    assert_eq!(objective.weight.detach(), saved["layer.weight"], "the averages");
}

#[test]
fn a_run_that_begins_anew_forgets_its_former_life() {
    let folder = tempfile::tempdir().unwrap();
    run_phases(&phases(Start::Fresh), folder.path(), false, |_, _| ()).unwrap();
    let stop = AtomicBool::new(false);
    drop(Trainer::open(folder.path(), false, &stop).unwrap());
    // Killed before its first checkpoint, the run starts anew again.
    let trainer = Trainer::open(folder.path(), true, &stop).unwrap();
    assert_eq!(trainer.progress(), &Progress::default());
    assert!(!trainer.is_over("first"));
    assert!(MetricsLog::read(&folder.path().join("metrics.jsonl")).unwrap().is_empty());
}

#[test]
fn a_phase_may_be_made_longer() {
    let (whole, longer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let phase = |steps| {
        let mut config = TrainConfig { ema: None, ..config(6) };
        config.schedule = bauta_train::Schedule::constant(0.01, steps);
        [Phase::new("only", config)]
    };
    run_phases(&phase(9), whole.path(), false, |_, _| ()).unwrap();
    run_phases(&phase(6), longer.path(), false, |_, _| ()).unwrap();
    run_phases(&phase(9), longer.path(), true, |_, _| ()).unwrap();
    super::toy::assert_same(longer.path(), whole.path(), "nine steps");
}
