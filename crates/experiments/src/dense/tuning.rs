//! What both tasks do alike: make an encoder ready, train, write what came of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bauta_backbones::{ImageEncoder, ImageNormalization, ModelFolder, Parameters};
use bauta_data::dense::{DenseBatch, DenseBatches, DenseSource};
use bauta_data::{DataError, Statistics};
use bauta_eval::{Metrics, Picture};
use bauta_train::{
    AdamWConfig, Objective, Precision, Schedule, Stage, StepMaker, TrainConfig, TrainError,
};
use serde_json::json;
use tch::{Device, Tensor};

use super::settings::Settings;
use super::{DenseArguments, DenseData};
use crate::prepared::{choose_device, choose_threads};
use crate::progress::stage;

/// Steps between two looks at the loss.
const LOOK: u64 = 20;

/// An encoder and the parameters that will be trained with its head.
pub struct Ready {
    /// The encoder.
    pub encoder: Box<dyn ImageEncoder>,
    /// The encoder's own parameters where it is frozen, kept alive and unchanged.
    _frozen: Option<Parameters>,
    /// What is trained: those of the encoder unless it is frozen; the head adds its own.
    pub parameters: Parameters,
    /// Where tensors live.
    pub device: Device,
    /// Height and width of the images.
    pub size: usize,
}

impl Ready {
    /// Reads the model folder and sets its encoder up for images of the wanted size.
    pub fn new(arguments: &DenseArguments, settings: &Settings) -> Result<Self> {
        let device = choose_device(bauta_recipe::Device::Auto)?;
        choose_threads(settings.threads);
        let folder = ModelFolder::read(&arguments.model)?.tunable();
        let channels = folder.config().channels();
        ensure!(channels == 3, "the model takes {channels} channels, photos have 3");
        let [height, width] = folder.config().image_size();
        let least = if arguments.data == DenseData::ComposedDigits { 64 } else { 0 };
        let size = settings.image_size.unwrap_or(height.max(width).max(least));
        let image_size = Some([size, size]);
        let (parameters, encoder) =
            folder.untrained_image_encoder(settings.seed, device, image_size)?;
        if !arguments.random_init {
            let (loaded, _) = folder.image_encoder(device, image_size)?;
            for from in &loaded {
                let to = parameters.get(&from.name).context("the same network")?;
                tch::no_grad(|| to.tensor.shallow_clone().copy_(&from.tensor));
            }
        }
        let (parameters, frozen) = if arguments.frozen {
            (Parameters::new(settings.seed, device), Some(parameters))
        } else {
            (parameters, None)
        };
        Ok(Self { encoder, _frozen: frozen, parameters, device, size })
    }
}

/// How the model's images are normalised: as its folder says, or as the data do.
pub fn normalization(
    arguments: &DenseArguments,
    data: Statistics,
    device: Device,
) -> Result<ImageNormalization> {
    Ok(match ModelFolder::preprocessing(&arguments.model)? {
        Some(said) => ImageNormalization::new(&said.image_mean, &said.image_std, device)?,
        None => ImageNormalization::new(data.mean, data.std, device)?,
    })
}

/// A batch's pixels as a u8 tensor [B, 3, H, W] on the host.
pub fn pixels(batch: &DenseBatch) -> Tensor {
    let shape: Vec<i64> = batch.pixels.shape().iter().map(|&side| side as i64).collect();
    let pixels = batch.pixels.as_slice().expect("batches are in standard layout");
    Tensor::from_slice(pixels).view(shape.as_slice())
}

/// Trains an objective on shuffled batches; gives the mean loss of the last steps and the seconds.
pub fn train<O: Objective>(
    objective: &O,
    batches: &DenseBatches,
    input: impl Fn(&DenseBatch) -> O::Input,
    settings: &Settings,
    frozen: bool,
) -> Result<(f64, f64)> {
    let base_lr = settings.base_lr.unwrap_or(if frozen { 8e-3 } else { 4e-3 });
    let steps = settings.steps;
    let config = TrainConfig {
        stage: Stage::default(),
        schedule: Schedule {
            lr: Schedule::scaled_lr(base_lr, settings.batch_size),
            min_lr: 0.0,
            warmup_steps: steps as f64 / 10.0,
            steps,
        },
        steps_per_epoch: steps,
        batch_size: settings.batch_size,
        accumulate: 1,
        adamw: AdamWConfig {
            betas: (0.9, 0.999),
            weight_decay: settings.weight_decay,
            ..Default::default()
        },
        clip_grad: Some(1.0),
        ema: None,
        precision: Precision::Fp32,
        checkpoint_every: 0,
        log_every: LOOK,
    };
    let mut maker = StepMaker::new(objective, &config);
    let mut inputs = (0..steps).map(|step| -> Result<O::Input, DataError> {
        Ok(input(&batches.shuffled(settings.seed, step)?))
    });
    let bar = stage("training");
    let start = Instant::now();
    let mut last = f64::NAN;
    for step in 0..steps {
        maker.make(&mut inputs, config.schedule.at(step), step)?;
        if (step + 1) % LOOK == 0 || step + 1 == steps {
            let (losses, norms) = maker.read();
            let bad = losses.iter().chain(&norms).find(|value| !value.is_finite());
            if let Some(bad) = bad {
                let text = format!("a loss of {bad} by step {step}; lower train.base_lr");
                return Err(TrainError::Objective(text).into());
            }
            last = losses.iter().sum::<f64>() / losses.len() as f64;
            let rate =
                (step + 1) as f64 * settings.batch_size as f64 / start.elapsed().as_secs_f64();
            bar.set_message(format!(
                "training: step {} of {steps}, loss {last:.4}, {rate:.0} images/s",
                step + 1
            ));
        }
    }
    bar.finish_and_clear();
    Ok((last, start.elapsed().as_secs_f64()))
}

/// What a command tells when it is done.
pub struct Told<'a> {
    /// `segment` or `detect`.
    pub task: &'a str,
    /// The head, in words.
    pub head: &'a str,
    /// Training images.
    pub train: &'a dyn DenseSource,
    /// Test images.
    pub test: &'a dyn DenseSource,
    /// Mean loss of the last steps.
    pub loss: f64,
    /// Seconds of training.
    pub seconds: f64,
    /// The metrics.
    pub metrics: &'a Metrics,
    /// A number for each class, where it is defined.
    pub by_class: Vec<(String, Option<f64>)>,
    /// Predictions next to the truth.
    pub picture: &'a Picture,
    /// Height and width of the images.
    pub size: usize,
}

impl Told<'_> {
    /// Writes `TASK.json` and `TASK.png` into the folder and prints the numbers with all
    /// that they depend on.
    pub fn tell(&self, arguments: &DenseArguments, settings: &Settings) -> Result<()> {
        let folder = arguments.out.clone().unwrap_or_else(|| {
            let model = arguments.model.file_name().unwrap_or_default().to_string_lossy();
            PathBuf::from(format!("runs/{}-{model}", self.task))
        });
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let picture = folder.join(format!("{}.png", self.task));
        self.picture.write_png(&picture)?;
        let encoder = match (arguments.frozen, arguments.random_init) {
            (true, true) => "frozen at random weights",
            (true, false) => "frozen",
            (false, true) => "trained from random weights",
            (false, false) => "fine-tuned",
        };
        let data = match arguments.data {
            DenseData::ComposedDigits => {
                "composed-digits (composed: MNIST's digits pasted on CIFAR-10's photos)"
            }
            DenseData::Ade20k => "ade20k",
            DenseData::Coco => "coco",
        };
        let by_class: serde_json::Map<String, serde_json::Value> =
            self.by_class.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let report = json!({
            "task": self.task,
            "model": arguments.model,
            "encoder": encoder,
            "head": self.head,
            "data": data,
            "train": {"split": "train", "images": self.train.len(), "steps": settings.steps,
                "batch_size": settings.batch_size, "final_loss": self.loss,
                "seconds": self.seconds},
            "test": {"split": "test", "images": self.test.len()},
            "image_size": self.size,
            "seed": settings.seed,
            "eval": self.metrics,
            "by_class": by_class,
        });
        write(&folder.join(format!("{}.json", self.task)), &report)?;
        println!("{} {}: {}, encoder {encoder}", self.task, arguments.model.display(), self.head);
        println!("data: {data}, {0} × {0} pixels, seed {1}", self.size, settings.seed);
        println!(
            "trained on the training split of {} images: {} steps of {}, {:.0} s, final loss {:.4}",
            self.train.len(),
            settings.steps,
            settings.batch_size,
            self.seconds,
            self.loss
        );
        println!("measured on the test split of {} images:", self.test.len());
        for (name, value) in self.metrics.iter() {
            println!("  {name:<16} {value:.4}");
        }
        let told = self
            .by_class
            .iter()
            .filter_map(|(name, value)| value.map(|value| format!("{name} {value:.3}")));
        let told: Vec<String> = told.take(20).collect();
        println!("  by class: {}", told.join(", "));
        println!("picture: {}", picture.display());
        Ok(())
    }
}

/// Writes a file whole: beside it first, then renamed.
fn write(path: &Path, report: &serde_json::Value) -> Result<()> {
    let text = format!("{report:#}\n");
    let beside = path.with_extension("json.part");
    fs::write(&beside, text)
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
