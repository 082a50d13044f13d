//! A run that is killed at any instant ends with the same bytes as an uninterrupted one.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use bauta_report::MetricsLog;
use bauta_train::{End, Event, Phase, Start, TrainConfig, Trainer};

use super::phases::{phases, run_phases};
use super::toy::{Autoencoder, assert_same, config, copy, last, run};

#[test]
fn a_stopped_run_ends_with_the_same_bytes() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = config(18);
    run(&mut Autoencoder::new(1), &config, whole.path(), false, None).unwrap();

    let stopped = run(&mut Autoencoder::new(1), &config, broken.path(), false, Some(7)).unwrap();
    assert_eq!(stopped, End::Stopped { step: 7 });
    let end = run(&mut Autoencoder::new(1), &config, broken.path(), true, None).unwrap();
    assert_eq!(end, End::Finished);
    assert_same(broken.path(), whole.path(), "stopped at 7");
    for file in ["model", "training", "optimizer"] {
        assert!(!last(whole.path(), &format!("{file}.safetensors")).is_empty());
    }
    let steps = |folder: &Path| -> Vec<u64> {
        let log = MetricsLog::read(&folder.join("metrics.jsonl")).unwrap();
        log.iter().map(|record| record.step).collect()
    };
    assert_eq!(steps(whole.path()), [1, 4, 5, 8, 10, 12, 15, 16, 18]);
    assert_eq!(steps(broken.path()), [1, 4, 5, 7, 8, 10, 12, 15, 16, 18]);
}

/// Copies that skip links, keep one whose folder is gone, or follow them.
#[test]
fn a_copied_run_goes_on_from_its_newest_checkpoint() {
    let (whole, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = config(18);
    run(&mut Autoencoder::new(1), &config, whole.path(), false, None).unwrap();
    let stopped = place.path().join("stopped");
    run(&mut Autoencoder::new(1), &config, &stopped, false, Some(7)).unwrap();
    for name in ["skipped", "gone", "followed"] {
        let folder = place.path().join(name);
        copy(&stopped, &folder);
        let last = folder.join("checkpoints/last");
        fs::remove_file(&last).unwrap();
        match name {
            "skipped" => {}
            "gone" => std::os::unix::fs::symlink("step-99", &last).unwrap(),
            _ => copy(&folder.join("checkpoints/step-7"), &last),
        }
        let stop = AtomicBool::new(false);
        let trainer = Trainer::open(&folder, true, &stop).unwrap();
        assert_eq!(trainer.progress().step, 7, "{name}");
        drop(trainer);
        let end = run(&mut Autoencoder::new(1), &config, &folder, true, None).unwrap();
        assert_eq!(end, End::Finished, "{name}");
        assert_same(&folder, whole.path(), name);
        assert_eq!(fs::read_link(&last).unwrap(), Path::new("step-18"), "{name}");
    }
}

/// Phases with a checkpoint every two steps; the first keeps averages.
fn short(start: Start) -> [Phase; 2] {
    phases(start).map(|phase| {
        let ema = (phase.name == "first").then_some(0.5);
        Phase { config: TrainConfig { ema, checkpoint_every: 2, ..phase.config }, ..phase }
    })
}

/// Trains without interruption and copies the folder at each event; returns the copies, that of
/// step N (before its checkpoint) as `N`, that of its checkpoint as `N-saved`.
fn snapshots(start: Start, whole: &Path, copies: &Path) -> Vec<PathBuf> {
    let step = Cell::new(0);
    let mut made = Vec::new();
    run_phases(&short(start), whole, false, |event, _| {
        let name = match event {
            Event::Step { step: now } => {
                step.set(*now);
                now.to_string()
            }
            Event::Record(_) => return,
            Event::Checkpoint(_) => format!("{}-saved", step.get()),
        };
        copy(whole, &copies.join(&name));
        made.push(copies.join(name));
    })
    .unwrap();
    made
}

fn resume(start: Start, folder: &Path, whole: &Path) {
    let (ends, progress) = run_phases(&short(start), folder, true, |_, _| ()).unwrap();
    assert_eq!((ends.last(), progress.step), (Some(&End::Finished), 12));
    assert_same(folder, whole, &format!("{start:?}, {}", folder.display()));
    let log = MetricsLog::read(&folder.join("metrics.jsonl")).unwrap();
    assert_eq!(log.iter().map(|r| r.step).collect::<Vec<_>>(), (1..=12).collect::<Vec<u64>>());
    let left: Vec<_> = fs::read_dir(folder.join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(left.len() == 4 && left.iter().all(|name| !name.ends_with("partial")), "{left:?}");
}

#[test]
fn a_kill_after_any_step_or_checkpoint_changes_nothing() {
    for start in [Start::Fresh, Start::WithMoments, Start::Continue] {
        let (whole, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let made = snapshots(start, whole.path(), copies.path());
        assert_eq!(made.len(), 12 + 6);
        for folder in made {
            resume(start, &folder, whole.path());
        }
    }
}

#[test]
fn a_kill_within_a_checkpoint_changes_nothing() {
    let start = Start::Continue;
    let (whole, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    snapshots(start, whole.path(), copies.path());
    let copies = copies.path();
    // Step 6 ends the first phase, step 8 lies within the second, and step 12 ends it.
    for step in [6, 8, 12] {
        let saved = copies.join(format!("{step}-saved/checkpoints"));
        let killed = |name: &str| {
            let folder = copies.join(format!("{step}-{name}"));
            copy(&copies.join(step.to_string()), &folder);
            (folder.clone(), folder.join("checkpoints"))
        };
        let name = format!("step-{step}");

        let (folder, checkpoints) = killed("half-written");
        copy(&saved.join(&name), &checkpoints.join(format!("{name}.partial")));
        fs::remove_file(checkpoints.join(format!("{name}.partial/state.json"))).unwrap();
        let model = checkpoints.join(format!("{name}.partial/model.safetensors"));
        fs::write(&model, &fs::read(&model).unwrap()[..100]).unwrap();
        resume(start, &folder, whole.path());

        let (folder, checkpoints) = killed("renamed");
        copy(&saved.join(&name), &checkpoints.join(&name));
        resume(start, &folder, whole.path());

        if step == 6 {
            // Between a phase's end and its kept copy, and within and after the copy.
            let (folder, checkpoints) = killed("keeping");
            copy(&saved.join(&name), &checkpoints.join(&name));
            copy(&saved.join("first"), &checkpoints.join("first.partial"));
            fs::remove_file(checkpoints.join("first.partial/config.json")).unwrap();
            resume(start, &folder, whole.path());

            let (folder, checkpoints) = killed("kept");
            copy(&saved.join(&name), &checkpoints.join(&name));
            copy(&saved.join("first"), &checkpoints.join("first"));
            resume(start, &folder, whole.path());
        }

        let (folder, checkpoints) = killed("linking");
        copy(&saved, &checkpoints.join("..").join("new"));
        fs::remove_dir_all(&checkpoints).unwrap();
        fs::rename(folder.join("new"), &checkpoints).unwrap();
        fs::remove_file(checkpoints.join("last")).unwrap();
        let link = |to: &str, name: &str| {
            std::os::unix::fs::symlink(to, checkpoints.join(name)).unwrap();
        };
        copy(
            &copies.join(format!("{step}/checkpoints/step-{}", step - 2)),
            &checkpoints.join(format!("step-{}", step - 2)),
        );
        link(&format!("step-{}", step - 2), "last");
        link(&name, "last.partial");
        resume(start, &folder, whole.path());
    }
}

#[test]
fn an_error_leaves_a_trainer_that_goes_on_from_the_disk() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&mut Autoencoder::new(1), &config(18), whole.path(), false, None).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut trainer = bauta_train::Trainer::open(broken.path(), false, &stop).unwrap();
    let phase = Phase::new("main", config(18));
    let loader = super::toy::loader(16);
    // The data ends too early, two steps after a checkpoint.
    let short = |steps: std::ops::Range<u64>| loader.batches(steps.start..7, |batch| batch);
    let error = trainer.fit(&phase, &mut Autoencoder::new(1), short, |_| ()).unwrap_err();
    assert_eq!(error.to_string(), "the data ended at step 7 of 18");
    let feed = |steps| loader.batches(steps, |batch| batch);
    let end = trainer.fit(&phase, &mut Autoencoder::new(1), feed, |_| ()).unwrap();
    assert_eq!(end, End::Finished);
    assert_same(broken.path(), whole.path(), "after an error");
}
