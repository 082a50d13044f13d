//! The common part of both dense tasks: preparing an encoder, and training a head on it.

use std::ops::Range;
use std::sync::Arc;

use bauta_backbones::{Encode, ImageEncoder, ImageNormalization, ModelError, Moments, Parameters};
use bauta_data::dense::{DenseBatch, DenseLoader, DenseSource};
use bauta_data::{Inputs, LoaderConfig, OnError, Order};
use bauta_libtorch::on_one_thread;
use bauta_train::{Objective, OptimizerConfig, Progress, Schedule, TrainConfig};
use serde_json::Value;
use tch::Device;

use crate::folder::FeatureModel;
use crate::{EvalError, Metrics, Picture, TrainingRun};

/// How a head is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseConfig {
    /// Optimiser steps, at least 1.
    pub steps: u64,
    /// Images per step, at least 1.
    pub batch_size: usize,
    /// Learning rate at 256 images per step; warmed up over a tenth of the steps, then lowered
    /// to 0 along half a cosine.
    pub base_lr: f64,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
}

/// A dense task on a model folder, with everything it needs.
///
/// The head is trained on the training split, alone or together with the encoder, and
/// measured once on the test split.
pub struct DenseTask<'a> {
    /// The model, with three channels.
    pub folder: &'a FeatureModel,
    /// Train only the head, on the frozen encoder's tokens.
    pub frozen: bool,
    /// Start from random weights in the model's architecture, as a baseline.
    pub random_init: bool,
    /// How the head is trained.
    pub config: DenseConfig,
    /// How the model's images are normalised.
    pub normalization: ImageNormalization,
    /// Height and width of the images.
    pub image_size: usize,
    /// Images to train on.
    pub train: Arc<dyn DenseSource>,
    /// Images to measure on.
    pub test: Arc<dyn DenseSource>,
    /// Seed of the head's weights and the order of images.
    pub seed: u64,
    /// Device of the tensors.
    pub device: Device,
    /// Threads of the loader; 0 uses every core.
    pub threads: usize,
    /// How images that cannot be decoded are handled.
    pub on_error: OnError,
    /// Everything the result depends on, for the folder's `settings.json`: a run can only continue
    /// with the same.
    pub settings: Value,
}

/// The result of a dense task.
#[derive(Debug)]
pub struct DenseScores {
    /// The metrics.
    pub metrics: Metrics,
    /// The metric of each class, where it is defined.
    pub by_class: Vec<(String, Option<f64>)>,
    /// Predictions next to the true labels.
    pub picture: Picture,
    /// Mean loss of the last steps.
    pub final_loss: f64,
    /// Seconds of training.
    pub seconds: f64,
    /// Number of times that training left out an image because it cannot be decoded.
    pub skipped: u64,
    /// Test images left out for the same reason.
    pub test_skipped: u64,
}

/// An encoder and the parameters that will be trained with its head.
pub(super) struct Ready {
    pub(super) encoder: Box<dyn ImageEncoder>,
    /// The trained parameters: the encoder's unless it is frozen; the head adds its own.
    pub(super) parameters: Parameters,
    /// How the encoder runs in training.
    pub(super) pass: Pass,
    /// The encoder's own parameters where it is frozen, kept unchanged.
    _frozen: Option<Parameters>,
}

/// How an encoder computes a head's tokens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pass {
    /// In training, with gradients and the batch's own moments.
    Trained,
    /// For training only the head, and for measuring: the encoder does not change.
    Kept,
}

impl Pass {
    /// Calls `see` with the settings of this pass.
    pub(super) fn ask<T>(
        self,
        see: impl FnOnce(Encode<'static>) -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        let batch = Moments::Batch { splits: 1 };
        match self {
            Self::Trained => see(Encode::whole().with_moments(batch)),
            Self::Kept => tch::no_grad(|| see(Encode::whole())),
        }
    }
}

impl DenseTask<'_> {
    /// Builds the folder's encoder for images of the task's size.
    pub(super) fn ready(&self) -> Result<Ready, EvalError> {
        let tunable = self.folder.tunable();
        let folder = tunable.as_ref().unwrap_or(self.folder);
        let channels = folder.channels();
        if channels != 3 {
            let message = format!("photos have 3 channels, but the model takes {channels}");
            return Err(EvalError::Unsuitable(message));
        }
        let image_size = Some([self.image_size; 2]);
        let (parameters, encoder) = folder.untrained(self.seed, self.device, image_size)?;
        if !self.random_init {
            let (loaded, _) = folder.encoder(self.device, image_size)?;
            for from in &loaded {
                let to = parameters.get(&from.name).expect("both are the folder's network");
                tch::no_grad(|| to.tensor.shallow_clone().copy_(&from.tensor));
            }
        }
        Ok(match self.frozen {
            true => {
                let own = Parameters::new(self.seed, self.device);
                Ready { encoder, parameters: own, pass: Pass::Kept, _frozen: Some(parameters) }
            }
            false => Ready { encoder, parameters, pass: Pass::Trained, _frozen: None },
        })
    }

    /// Trains an objective, as the phase `name` of a run, on shuffled batches. The run's folder
    /// is made only after all checks.
    pub(super) fn train<O: Objective>(
        &self,
        name: &str,
        objective: &mut O,
        prepare: fn(DenseBatch) -> O::Input,
        run: TrainingRun<'_>,
    ) -> Result<Progress, EvalError> {
        let DenseConfig { steps, batch_size, base_lr, weight_decay } = self.config;
        let loader = self.loader(&self.train, Order::Shuffled)?;
        let lr = Schedule::scaled_lr(base_lr, batch_size);
        let schedule = Schedule::cosine(lr, 0.0, steps as f64 / 10.0, steps);
        let config = TrainConfig {
            steps_per_epoch: loader.steps_per_epoch(),
            optimizer: OptimizerConfig::adamw((0.9, 0.999), weight_decay),
            clip_grad: Some(1.0),
            ..TrainConfig::new(schedule, batch_size)
        };
        let feed = |steps: Range<u64>| loader.batches(steps, on_one_thread(prepare));
        run.begin(&self.settings)?;
        run.fit(name, config, objective, feed)
    }

    /// The test images in their own order.
    pub(super) fn test_batches<T: Send + 'static>(
        &self,
        prepare: fn(DenseBatch) -> T,
    ) -> Result<Inputs<T>, EvalError> {
        let loader = self.loader(&self.test, Order::Sequential)?;
        Ok(loader.batches(0..loader.steps_per_epoch(), prepare))
    }

    /// The error when no test image can be decoded.
    pub(super) fn none_measured(&self) -> EvalError {
        EvalError::Unsuitable(format!(
            "none of the {} test images can be decoded; the warnings name them",
            self.test.len()
        ))
    }

    fn loader(
        &self,
        source: &Arc<dyn DenseSource>,
        order: Order,
    ) -> Result<DenseLoader, EvalError> {
        let config = LoaderConfig {
            seed: self.seed,
            threads: self.threads,
            order,
            on_error: self.on_error,
            ..LoaderConfig::new(self.config.batch_size, self.image_size, self.image_size)
        };
        Ok(DenseLoader::new(Arc::clone(source), config)?)
    }
}
