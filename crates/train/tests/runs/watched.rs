//! Records and observers of a run, which do not change its training.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

use bauta_backbones::{BatchNorm, Moments};
use bauta_data::Batch;
use bauta_report::{MetricsLog, Record};
use bauta_train::{
    End, Event, Loss, Objective, ObjectiveError, OptimizerConfig, Phase, Schedule, TrainConfig,
    Trainer,
};
use tch::Tensor;

use super::toy::{Autoencoder, assert_same, config, loader, pixels, run};

/// An autoencoder with the loss of predicting the mean as reference, which can set a stop flag
/// within a step, and can have a batch norm beside it.
struct Compared<'a> {
    inner: Autoencoder,
    norm: Option<BatchNorm>,
    stop: Option<(u64, &'a AtomicBool)>,
    losses: u64,
}

impl<'a> Compared<'a> {
    fn new(stop: Option<(u64, &'a AtomicBool)>) -> Self {
        Self { inner: Autoencoder::new(1), norm: None, stop, losses: 0 }
    }

    fn normed(stop: Option<(u64, &'a AtomicBool)>) -> Self {
        let mut compared = Self::new(stop);
        let norm = BatchNorm::plain(compared.inner.parameters.root().sub("norm"), 16);
        compared.norm = Some(norm);
        compared
    }
}

impl Objective for Compared<'_> {
    type Input = Batch;

    fn loss(&mut self, batch: &Batch) -> Result<Loss, ObjectiveError> {
        self.losses += 1;
        if let Some((_, stop)) = self.stop.filter(|(at, _)| *at == self.losses) {
            stop.store(true, Ordering::Relaxed);
        }
        let pixels = pixels(batch);
        if let Some(norm) = &self.norm {
            // Each pass moves its running moments.
            let _ = norm.forward(&pixels, Moments::Batch { splits: 1 });
        }
        let of_mean = move || {
            let mean = pixels.mean_dim([0].as_slice(), true, None);
            Ok::<_, ObjectiveError>((mean - pixels).square().mean(None))
        };
        Ok(self.inner.loss(batch)?.beside(of_mean))
    }

    fn parameters(&self) -> &bauta_backbones::Parameters {
        &self.inner.parameters
    }

    fn config(&self) -> serde_json::Value {
        self.inner.config()
    }

    fn tensors(&self, batch: &Batch) -> Vec<(&'static str, Tensor)> {
        self.inner.tensors(batch)
    }
}

fn log(folder: &std::path::Path) -> Vec<Record> {
    MetricsLog::read(&folder.join("metrics.jsonl")).unwrap()
}

#[test]
fn log_steps_know_the_norms_and_the_loss_of_the_mean() {
    let folder = tempfile::tempdir().unwrap();
    let (lr, steps) = (0.25, 9);
    let optimizer = OptimizerConfig::sgd(0.0, 0.0);
    let schedule = Schedule::constant(lr, steps);
    let config = TrainConfig { optimizer, schedule, ema: None, clip_grad: None, ..config(steps) };
    let mut objective = Compared::new(None);
    run(&mut objective, &config, folder.path(), false, None).unwrap();
    let log = log(folder.path());
    // A record every four steps, a checkpoint every five.
    assert_eq!(log.iter().map(|record| record.step).collect::<Vec<_>>(), [1, 4, 5, 8, 9]);
    for record in &log {
        let is_log_step = record.step != 5;
        assert_eq!(record.mean_loss.is_some(), is_log_step, "{record:?}");
        assert_eq!(record.update_norm.is_some(), is_log_step, "{record:?}");
    }
    // The update of plain gradient descent is the learning rate times the gradient.
    let first = &log[0];
    let gap = first.update_norm.unwrap() - lr * first.grad_norm;
    assert!(gap.abs() < 1e-6 * first.grad_norm, "{first:?}");
    let parameters = [&objective.inner.weight, &objective.inner.bias].map(Tensor::detach);
    let squares: f64 = parameters.iter().map(|p| p.square().sum(None).double_value(&[])).sum();
    let last = log[4].parameter_norm.unwrap();
    assert!((last - squares.sqrt()).abs() < 1e-5, "{last} is not {}", squares.sqrt());
    assert!(log[0].mean_loss.unwrap() > 0.0);
}

#[test]
fn observers_measure_at_their_steps_and_change_no_weight() {
    let (plain, watched) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&mut Autoencoder::new(1), &config(12), plain.path(), false, None).unwrap();

    let config = TrainConfig { measure_every: 7, ..config(12) };
    let stop = AtomicBool::new(false);
    let mut trainer = Trainer::open(watched.path(), false, &stop).unwrap();
    let measured = RefCell::new(Vec::new());
    let feed = |steps| loader(config.batch_size).batches(steps, |batch| batch);
    let phase = Phase::new("main", config.clone());
    let mut objective = Autoencoder::new(1);
    trainer
        .fit_measured(&phase, &mut objective, feed, |event, objective: &Autoencoder| {
            let Event::Record(record) = event else { return };
            if config.measures(record.step) {
                let norm = objective.weight.norm().double_value(&[]);
                record.features.knn_top1 = Some(norm);
                measured.borrow_mut().push((record.step, norm));
            }
        })
        .unwrap();
    assert_same(watched.path(), plain.path(), "measured");
    let written = log(watched.path()).into_iter();
    let written: Vec<(u64, f64)> =
        written.filter_map(|record| Some((record.step, record.features.knn_top1?))).collect();
    assert_eq!(written, *measured.borrow());
    assert_eq!(written.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [7, 12]);
}

#[test]
fn a_step_is_left_between_its_inputs_and_made_anew() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = TrainConfig { accumulate: 3, batch_size: 4, ..config(6) };
    run(&mut Autoencoder::new(1), &config, whole.path(), false, None).unwrap();

    let stop = AtomicBool::new(false);
    let train = |objective: &mut Compared<'_>, resume| {
        let mut trainer = Trainer::open(broken.path(), resume, &stop).unwrap();
        let feed = |steps| loader(config.batch_size).batches(steps, |batch| batch);
        trainer.fit(&Phase::new("main", config.clone()), objective, feed, |_| ()).unwrap()
    };
    // The first step is abandoned after one of its inputs: nothing is saved.
    let mut objective = Compared::new(Some((1, &stop)));
    assert_eq!(train(&mut objective, false), End::Stopped { step: 0 });
    assert!(!broken.path().join("checkpoints/last").exists());
    // Step 2 is abandoned after two of its inputs: the two steps before it are saved.
    stop.store(false, Ordering::Relaxed);
    let mut objective = Compared::new(Some((8, &stop)));
    assert_eq!(train(&mut objective, true), End::Stopped { step: 2 });
    assert_eq!(objective.losses, 8);
    assert_eq!(log(broken.path()).last().unwrap().step, 2);
    stop.store(false, Ordering::Relaxed);
    assert_eq!(train(&mut Compared::new(None), true), End::Finished);
    assert_same(broken.path(), whole.path(), "left within step 2");
}

#[test]
fn a_step_that_moves_running_moments_is_not_left_between_its_inputs() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = TrainConfig { accumulate: 3, batch_size: 4, ..config(6) };
    let stop = AtomicBool::new(false);
    let train = |objective: &mut Compared<'_>, folder: &std::path::Path, resume| {
        let mut trainer = Trainer::open(folder, resume, &stop).unwrap();
        let feed = |steps| loader(config.batch_size).batches(steps, |batch| batch);
        trainer.fit(&Phase::new("main", config.clone()), objective, feed, |_| ()).unwrap()
    };
    assert_eq!(train(&mut Compared::normed(None), whole.path(), false), End::Finished);
    // A stop is wanted after the first of the third step's inputs.
    let mut objective = Compared::normed(Some((7, &stop)));
    assert_eq!(train(&mut objective, broken.path(), false), End::Stopped { step: 3 });
    assert_eq!(objective.losses, 9);
    stop.store(false, Ordering::Relaxed);
    assert_eq!(train(&mut Compared::normed(None), broken.path(), true), End::Finished);
    assert_same(broken.path(), whole.path(), "stopped within step 2");
}
