//! A fine-tuning task on a model folder and labelled images, and its figures.

use std::sync::Arc;
use std::time::Instant;

use bauta_backbones::ImageNormalization;
use bauta_data::{Augment, Loader, LoaderConfig, OnError, Source, Subset};
use bauta_libtorch::on_one_thread;
use bauta_train::{LayerDecay, Objective, OptimizerConfig, Precision, Schedule, TrainConfig};
use serde::Serialize;
use tch::{Device, Tensor};

use super::classification::{Classification, Mixer};
use super::config::FineTuneConfig;
use crate::batch::host_tensor;
use crate::folder::{FeatureModel, framing};
use crate::watch::go_on;
use crate::{
    Accuracy, EVALUATION_BATCH, EvalError, Metrics, Scores, TrainingRun, Watch,
    warn_of_missing_classes,
};

/// One fine-tuning, with everything it needs.
pub struct FineTuneTask<'a> {
    /// The model.
    pub folder: &'a FeatureModel,
    /// Use only its architecture and train from scratch.
    pub from_scratch: bool,
    /// How it is trained.
    pub config: FineTuneConfig,
    /// How the model's images are normalised.
    pub normalization: ImageNormalization,
    /// How training images are augmented, apart from RandAugment and erasing.
    pub augment: Augment,
    /// Height and width of the images; the model's own if not given.
    pub image_size: Option<[usize; 2]>,
    /// What to do with an image that cannot be decoded.
    pub on_error: OnError,
    /// Labelled images to train on.
    pub train: Arc<dyn Source>,
    /// Labelled images to measure on.
    pub test: Arc<dyn Source>,
    /// Seed of the order, the augmentation, the head and the choice of labels.
    pub seed: u64,
    /// Device of the tensors.
    pub device: Device,
    /// Threads of the loader; 0 uses every core.
    pub threads: usize,
    /// Arithmetic of matrix products.
    pub precision: Precision,
}

/// Figures of one fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FineTuned {
    /// By name; fractions in [0, 1].
    pub metrics: Metrics,
    /// Labelled images to train on.
    pub train_images: usize,
    /// Images measured on, without those that cannot be decoded.
    pub test_images: usize,
    /// Scalars that were trained.
    pub trained_parameters: usize,
    /// Labelled images per step: fewer than requested if there are no more.
    pub batch_size: usize,
    /// Optimiser steps.
    pub steps: u64,
    /// Loss of the first step.
    pub first_loss: f64,
    /// Mean loss of the last log window.
    pub final_loss: f64,
    /// Seconds of training.
    pub seconds: f64,
    /// Seconds of measuring.
    pub eval_seconds: f64,
}

impl FineTuneTask<'_> {
    /// Trains, as the phase `finetune` of a run, and measures once.
    ///
    /// The folder gets `metrics.jsonl` and, at least at the end, a checkpoint that is a model
    /// folder with a classifier. The metrics are `finetune_top1` and, with more than
    /// five classes, `finetune_top5`, prefixed with `from_scratch.` when trained from scratch.
    ///
    /// # Errors
    /// When model, images and settings do not fit each other, an image cannot be read, or
    /// the watch ends it ([`EvalError::TrainingStopped`] with a checkpoint to resume from).
    pub fn run(&self, run: TrainingRun<'_>) -> Result<FineTuned, EvalError> {
        let Self { config, seed, device, .. } = self;
        let classes = self.train.classes().len();
        if classes < 2 {
            let wanted = "fine-tuning needs labelled images of two classes or more";
            return Err(EvalError::Unsuitable(match self.train.classes() {
                [only] => format!("{wanted}, but the training images have only one: {only}"),
                _ => format!("{wanted}, but the training images have no classes"),
            }));
        }
        warn_of_missing_classes(&*self.train, &*self.test);
        let train = self.labelled()?;
        let batch_size = config.batch_size.min(train.len());
        if batch_size < config.batch_size {
            tracing::warn!(
                "batch_size {} is more than the {batch_size} labelled images: each step uses all \
                 of them",
                config.batch_size
            );
        }
        let mut objective = self.objective(classes)?;
        let [height, width] = objective.image_size();
        let loader_config = LoaderConfig {
            seed: *seed,
            threads: self.threads,
            on_error: self.on_error,
            ..LoaderConfig::new(batch_size, height, width)
        };
        let augment = Augment {
            randaugment: config.randaugment,
            erasing: config.erasing,
            ..self.augment.clone()
        };
        let loader = Loader::new(Arc::clone(&train), augment, loader_config.clone())?;
        let steps = loader.steps_per_epoch();
        let training = train_config(config, self.precision, batch_size, steps, objective.layers());
        let mixer = Mixer {
            seed: *seed,
            mix: config.mix,
            drop_path: config.drop_path,
            depth: objective.layers().depth,
        };
        let feed = |steps| loader.batches(steps, on_one_thread(move |batch| mixer.draw(batch)));
        let progress = run.fit("finetune", training, &mut objective, feed)?;

        let start = Instant::now();
        let loader_config = LoaderConfig { batch_size: EVALUATION_BATCH, ..loader_config };
        let (metrics, test_images) =
            measure(&objective, &self.test, loader_config, *device, run.watch)?;
        let name = config.name();
        let metrics =
            metrics.into_iter().map(|(metric, value)| (format!("{name}_{metric}"), value));
        let metrics: Metrics = metrics.collect();
        let metrics = if self.from_scratch { metrics.prefixed("from_scratch") } else { metrics };
        let trained = objective.parameters().trainable();
        Ok(FineTuned {
            metrics,
            train_images: train.len(),
            batch_size,
            test_images,
            trained_parameters: trained.map(|parameter| parameter.tensor.numel()).sum(),
            steps: progress.step,
            first_loss: progress.first_loss.unwrap_or(f64::NAN),
            final_loss: progress.final_loss.unwrap_or(f64::NAN),
            seconds: progress.seconds,
            eval_seconds: start.elapsed().as_secs_f64(),
        })
    }

    /// Fine-tunes the model, and then the same network from scratch as its baseline, in
    /// the run folder's `finetune` and `from-scratch`.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_against_scratch(mut self, run: TrainingRun<'_>) -> Result<Scores, EvalError> {
        let mut tune = |from_scratch: bool, folder: &str| -> Result<Metrics, EvalError> {
            self.from_scratch = from_scratch;
            Ok(self.run(TrainingRun { folder: &run.folder.join(folder), ..run })?.metrics)
        };
        Ok(Scores { eval: tune(false, "finetune")?, baseline: tune(true, "from-scratch")? })
    }

    /// A classifier on the folder's encoder, or on the same encoder at its initial weights.
    ///
    /// In the latter case, layers share one learning rate, as there are no pre-trained weights to
    /// preserve. The layers of a residual network are its stages.
    fn objective(&self, classes: usize) -> Result<Classification<'_>, EvalError> {
        let Self { folder, config, image_size, seed, from_scratch, device, .. } = self;
        let head = (classes, config.pooling);
        let (built, described) =
            folder.classifier(head, *image_size, *from_scratch, *seed, *device)?;
        let layer_decay = if *from_scratch { 1.0 } else { config.layer_decay };
        if config.drop_path > 0.0 && built.1.encoder().transformer().is_none() {
            return Err(EvalError::Unsuitable(format!(
                "drop_path is {}, but a residual network does not support it; set it to 0",
                config.drop_path
            )));
        }
        let depth = built.1.encoder().depth();
        if let Some(blocks) = config.blocks.filter(|&blocks| blocks > depth) {
            return Err(EvalError::Unsuitable(format!(
                "blocks {blocks} is more than the encoder's {depth} blocks"
            )));
        }
        let layers = LayerDecay { decay: layer_decay, depth };
        let (normalization, size) = (&self.normalization, built.1.encoder().image_size());
        let framing = framing(&*self.train, size);
        Ok(Classification::new(built, described, layers, config, normalization, framing, classes))
    }

    /// The training images whose labels are used.
    fn labelled(&self) -> Result<Arc<dyn Source>, EvalError> {
        let train: Arc<dyn Source> = if self.config.labels < 1.0 {
            let [labelled, _] = Subset::balanced(&self.train, self.config.labels, self.seed)?;
            Arc::new(labelled)
        } else {
            Arc::clone(&self.train)
        };
        Ok(train)
    }
}

/// The training settings of a fine-tuning with `samples` samples per step.
pub(super) fn train_config(
    config: &FineTuneConfig,
    precision: Precision,
    samples: usize,
    steps_per_epoch: u64,
    layers: LayerDecay,
) -> TrainConfig {
    let schedule = Schedule::cosine(
        Schedule::scaled_lr(config.base_lr, samples),
        config.min_lr,
        config.warmup_epochs * steps_per_epoch as f64,
        u64::from(config.epochs) * steps_per_epoch,
    );
    TrainConfig {
        steps_per_epoch,
        optimizer: OptimizerConfig {
            layer_decay: Some(layers),
            ..OptimizerConfig::adamw((0.9, 0.999), config.weight_decay)
        },
        precision,
        ..TrainConfig::new(schedule, samples)
    }
}

/// Accuracies by name, and the number of samples that they are of.
pub(super) type Measured = (Vec<(&'static str, f64)>, usize);

/// Top-1 and, with more than five classes, top-5 accuracy on centre crops, and the number of
/// images.
fn measure(
    objective: &Classification<'_>,
    test: &Arc<dyn Source>,
    loader: LoaderConfig,
    device: Device,
    watch: &dyn Watch,
) -> Result<Measured, EvalError> {
    watch.begin(&format!("measuring on {} images", test.len()));
    let mut counts = vec![("top1", Accuracy::new(1, device))];
    if test.classes().len() > 5 {
        counts.push(("top5", Accuracy::new(5, device)));
    }
    let loader = Loader::for_evaluation(Arc::clone(test), loader)?;
    let batches = loader
        .batches(0..loader.steps_per_epoch(), |batch| (host_tensor(&batch.pixels), batch.labels));
    let mut images = 0;
    for batch in batches {
        go_on(watch.stop())?;
        let (pixels, labels) = batch?;
        let labels = labels.ok_or_else(|| {
            EvalError::Unsuitable("the images to measure on have no labels".to_owned())
        })?;
        let logits = tch::no_grad(|| objective.logits(&pixels))?;
        images += labels.len();
        let labels = Tensor::from_slice(&labels);
        counts.iter_mut().for_each(|(_, accuracy)| accuracy.add(&logits, &labels));
    }
    let metrics = counts.iter().map(|(name, accuracy)| (*name, accuracy.value()));
    Ok((metrics.collect(), images))
}
