//! A small objective, its data, and runs of it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bauta_backbones::{Init, Parameters};
use bauta_data::{Augment, Batch, Crop, InMemory, Loader, LoaderConfig, Share, Statistics};
use bauta_train::{
    End, Event, Loss, Objective, ObjectiveError, Phase, Schedule, TrainConfig, TrainError, Trainer,
};
use tch::{Device, Kind, Tensor};

/// A one-layer autoencoder of 4 × 4 greyscale images; its loss diverges in step `poison`.
pub struct Autoencoder {
    pub parameters: Parameters,
    pub weight: Tensor,
    pub bias: Tensor,
    pub poison: Option<u64>,
}

impl Autoencoder {
    pub fn new(seed: u64) -> Self {
        let mut parameters = Parameters::new(seed, Device::Cpu);
        let weight = parameters.root().add("layer.weight", &[16, 16], Init::XavierUniform);
        let bias = parameters.root().add("layer.bias", &[16], Init::Constant(0.0));
        Self { parameters, weight, bias, poison: None }
    }
}

impl Objective for Autoencoder {
    type Input = Batch;

    fn loss(&mut self, batch: &Batch) -> Result<Loss, ObjectiveError> {
        let pixels = pixels(batch);
        let loss = (pixels.linear(&self.weight, Some(&self.bias)) - pixels).square().mean(None);
        Ok(Loss::from(if self.poison == Some(batch.step) { loss / 0.0 } else { loss }))
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({ "model_type": "autoencoder" })
    }

    fn tensors(&self, batch: &Batch) -> Vec<(&'static str, Tensor)> {
        vec![("pixels", pixels(batch))]
    }
}

pub fn pixels(batch: &Batch) -> Tensor {
    let values = batch.pixels.bytes().unwrap().as_slice().unwrap();
    Tensor::from_slice(values).to_kind(Kind::Float).view([-1, 16]) / 255.0
}

pub fn loader(batch_size: usize) -> Loader {
    loader_of(batch_size, Share::WHOLE)
}

pub fn loader_of(batch_size: usize, share: Share) -> Loader {
    let pixels = (0..96 * 16).map(|i| (i * 37 % 251) as u8).collect();
    let labels = vec![0; 96];
    let classes = vec!["only".to_owned()];
    let source =
        InMemory::new("toy", [4, 4, 1], pixels, labels, classes, Statistics::MNIST).unwrap();
    let augment = Augment { crop: Crop::None, flip: true, ..Augment::default() };
    let config = LoaderConfig { share, ..LoaderConfig::new(batch_size, 4, 4) };
    Loader::new(Arc::new(source), augment, config).unwrap()
}

/// Settings with clipping and averaging, a checkpoint every five steps and a record every four.
pub fn config(steps: u64) -> TrainConfig {
    TrainConfig {
        steps_per_epoch: 6,
        clip_grad: Some(0.05),
        ema: Some(0.9),
        checkpoint_every: 5,
        log_every: 4,
        ..TrainConfig::new(Schedule::cosine(0.01, 0.0, 4.0, steps), 16)
    }
}

/// Runs one phase on the toy's data, and stops after `stop_at` steps of the run.
pub fn run<O: Objective<Input = Batch>>(
    objective: &mut O,
    config: &TrainConfig,
    folder: &Path,
    resume: bool,
    stop_at: Option<u64>,
) -> Result<End, TrainError> {
    let stop = AtomicBool::new(false);
    let mut trainer = Trainer::open(folder, resume, &stop)?;
    let feed = |steps| loader(config.batch_size).batches(steps, |batch| batch);
    trainer.fit(&Phase::new("main", config.clone()), objective, feed, |event| {
        if let Event::Step { step } = event
            && Some(step) == stop_at
        {
            stop.store(true, Ordering::Relaxed);
        }
    })
}

/// A file of the last checkpoint.
pub fn last(folder: &Path, file: &str) -> Vec<u8> {
    fs::read(folder.join("checkpoints/last").join(file)).unwrap()
}

/// Files that a run left: the model, optimiser and state, and the models that phases keep.
pub fn left(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder.join("checkpoints")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with("step-") {
            continue;
        }
        for file in fs::read_dir(&path).unwrap() {
            let file = file.unwrap().path();
            let part = file.file_name().unwrap().to_str().unwrap().to_owned();
            // Its seconds differ between runs.
            if part != "state.json" {
                files.push((format!("{name}/{part}"), fs::read(&file).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// Panics unless two runs left the same bytes.
pub fn assert_same(found: &Path, wanted: &Path, what: &str) {
    let (found, wanted) = (left(found), left(wanted));
    let names = |files: &[(String, Vec<u8>)]| -> Vec<String> {
        files.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&found), names(&wanted), "{what}");
    for ((name, found), (_, wanted)) in found.iter().zip(&wanted) {
        assert!(found == wanted, "{what}: {name} differs");
    }
}

/// Copies a run's folder as a kill would leave it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        let kind = fs::symlink_metadata(&from).unwrap().file_type();
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&from).unwrap(), &to).unwrap();
        } else if kind.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}
