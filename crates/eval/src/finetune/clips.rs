//! Fine-tuning of a clip encoder on labelled videos (MAE-ST, arXiv 2205.09113, A.1): clips in,
//! soft cross-entropy out; measured on several views of each test video.
//!
//! The feature of a clip is the mean of a transformer's patch tokens after the pre-trained norm,
//! as in the authors' code, or of a residual network's last map; there is no dropout before the
//! classifier.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bauta_backbones::{
    ClipEncoder, ClipFolder, DropPath, ImageNormalization, Linear, ModelError, Moments, Parameters,
};
use bauta_data::video::{
    ClipAugment, ClipBatch, ClipLoader, ClipSampling, ClipSource, ClipSubset, Views,
};
use bauta_data::{LoaderConfig, OnError};
use bauta_libtorch::on_one_thread;
use bauta_train::{LayerDecay, Loss, Objective, ObjectiveError, Precision, soft_cross_entropy};
use tch::{Device, Kind, Tensor};

use super::classification::{MixedBatch, Mixer};
use super::config::FineTuneConfig;
use super::task::{FineTuned, Measured, train_config};
use crate::batch::host_tensor;
use crate::folder::check_clip_channels;
use crate::watch::go_on;
use crate::{Accuracy, EvalError, Metrics, TrainingRun, Watch, class_balanced, per_class};

/// Number of clips in one forward pass while measuring.
const CLIPS: usize = 64;

/// One fine-tuning on videos, with everything it needs.
pub struct ClipFineTuneTask<'a> {
    /// The model.
    pub folder: &'a ClipFolder,
    /// Its location.
    pub model: &'a Path,
    /// Use only its architecture and train from scratch.
    pub from_scratch: bool,
    /// How it is trained; a step has `batch_size` videos.
    pub config: FineTuneConfig,
    /// Labelled videos to train on.
    pub train: Arc<dyn ClipSource>,
    /// Labelled videos to measure on.
    pub test: Arc<dyn ClipSource>,
    /// Index of the label set to learn.
    pub label: usize,
    /// How the frames of a clip are chosen; their number is the model's.
    pub sampling: ClipSampling,
    /// How training clips are augmented.
    pub augment: ClipAugment,
    /// Clips cut from each video in a step, at least 1.
    pub repeats: usize,
    /// The views of each test video, over which class probabilities are averaged.
    pub views: Views,
    /// What to do with a video that cannot be decoded.
    pub on_error: OnError,
    /// Seed of the order, the clips, the head and the choice of labels.
    pub seed: u64,
    /// Device of the tensors.
    pub device: Device,
    /// Threads of the loader; 0 uses every core.
    pub threads: usize,
    /// Arithmetic of matrix products.
    pub precision: Precision,
}

impl ClipFineTuneTask<'_> {
    /// Trains, as the phase `finetune` of a run, and measures once.
    ///
    /// The folder gets `metrics.jsonl` and, at least at the end, a checkpoint that is a model
    /// folder with a classifier. The metrics are `finetune_top1` and, with more than five
    /// classes, `finetune_top5`, prefixed with `from_scratch.` when trained from scratch.
    ///
    /// # Errors
    /// When model, videos and settings do not fit each other, a video cannot be read, or the
    /// watch ends it ([`EvalError::TrainingStopped`] with a checkpoint to resume from).
    pub fn run(&self, run: TrainingRun<'_>) -> Result<FineTuned, EvalError> {
        let Self { folder, config, seed, views, .. } = self;
        check_clip_channels(folder, self.model, &*self.train)?;
        let labels = &self.train.label_sets()[self.label];
        if labels.classes.len() < 2 {
            return Err(EvalError::Unsuitable(format!(
                "fine-tuning needs labelled videos of two classes or more; the label {} has {}",
                labels.name,
                labels.classes.len()
            )));
        }
        let train = match config.labels {
            part if part < 1.0 => balanced(&self.train, self.label, part, *seed)?[0].clone(),
            _ => Arc::clone(&self.train),
        };
        let batch_size = config.batch_size.min(train.len());
        if batch_size < config.batch_size {
            tracing::warn!(
                "batch_size {} is more than the {batch_size} labelled videos: each step uses all \
                 of them",
                config.batch_size
            );
        }
        let mut objective = self.objective(train.label_sets()[self.label].classes.len())?;
        let [_, height, width] = objective.encoder.clip();
        let loader_config = LoaderConfig {
            seed: *seed,
            threads: self.threads,
            on_error: self.on_error,
            ..LoaderConfig::new(batch_size, height, width)
        };
        let (sampling, augment) = (self.sampling.clone(), self.augment.clone());
        let loader = ClipLoader::new(
            Arc::clone(&train),
            sampling,
            augment,
            self.repeats,
            loader_config.clone(),
        )?;
        // In fine-tuning the repeats count as clips of the step (mae_st).
        let clips = batch_size * self.repeats;
        let steps = loader.steps_per_epoch();
        let training = train_config(config, self.precision, clips, steps, objective.layers);
        let (mix, drop_path, depth) = (config.mix, config.drop_path, objective.layers.depth);
        let (mixer, label) = (Mixer { seed: *seed, mix, drop_path, depth }, self.label);
        let draw = move |batch: ClipBatch| mixed(mixer, label, &batch);
        let feed = |steps| loader.batches(steps, on_one_thread(draw));
        let progress = run.fit("finetune", training, &mut objective, feed)?;

        let start = Instant::now();
        let batch_size_of_test = (CLIPS / views.count()).max(1);
        let loader_config = LoaderConfig { batch_size: batch_size_of_test, ..loader_config };
        let (metrics, test_images) = self.measure(&objective, loader_config, run.watch)?;
        let name = config.name();
        let metrics =
            metrics.into_iter().map(|(metric, value)| (format!("{name}_{metric}"), value));
        let metrics: Metrics = metrics.collect();
        let metrics = if self.from_scratch { metrics.prefixed("from_scratch") } else { metrics };
        let trained = objective.parameters.trainable();
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

    /// A classifier on the folder's encoder, or on the same encoder at its initial weights, whose
    /// layers then share one learning rate, as there are no pre-trained weights to preserve.
    fn objective(&self, classes: usize) -> Result<ClipClassification, EvalError> {
        let Self { folder, config, seed, device, .. } = self;
        let (mut parameters, encoder, head) =
            folder.classifier(classes, self.from_scratch, *seed, *device)?;
        if config.drop_path > 0.0 && !encoder.has_branches() {
            return Err(EvalError::Unsuitable(format!(
                "drop_path is {}, but a residual network does not support it; set it to 0",
                config.drop_path
            )));
        }
        let depth = encoder.depth();
        if let Some(blocks) = config.blocks.filter(|&blocks| blocks > depth) {
            return Err(EvalError::Unsuitable(format!(
                "blocks {blocks} is more than the encoder's {depth} blocks"
            )));
        }
        let decay = if self.from_scratch { 1.0 } else { config.layer_decay };
        let layers = LayerDecay { decay, depth };
        let last = config.blocks.unwrap_or(depth + 1);
        // Fixed position embeddings stay fixed.
        let fixed: Vec<String> = parameters
            .iter()
            .filter(|parameter| !parameter.trainable)
            .map(|parameter| parameter.name.clone())
            .collect();
        parameters.train_only(|name| {
            layers.is_among_last(name, last) && !fixed.iter().any(|fixed| fixed == name)
        });
        let [mean, deviation] = folder.statistics();
        Ok(ClipClassification {
            parameters,
            encoder,
            head,
            described: folder.described(),
            normalization: ImageNormalization::new(mean, deviation, *device)?,
            classes,
            smoothing: config.smoothing,
            layers,
        })
    }

    /// Top-1 and, with more than five classes, top-5 accuracy of the mean over views, and the
    /// number of videos.
    fn measure(
        &self,
        objective: &ClipClassification,
        loader: LoaderConfig,
        watch: &dyn Watch,
    ) -> Result<Measured, EvalError> {
        watch.begin(&format!("measuring on {} videos", self.test.len()));
        let mut counts = vec![("top1", Accuracy::new(1, self.device))];
        if objective.classes > 5 {
            counts.push(("top5", Accuracy::new(5, self.device)));
        }
        let (test, sampling) = (Arc::clone(&self.test), self.sampling.clone());
        let loader = ClipLoader::for_evaluation(test, sampling, self.views, loader)?;
        let label = self.label;
        let batches = loader.batches(0..loader.steps_per_epoch(), move |mut batch| {
            let labels = batch.labels.swap_remove(label);
            (host_tensor(&batch.pixels), labels, batch.per_video)
        });
        let mut videos = 0;
        for batch in batches {
            go_on(watch.stop())?;
            let (pixels, labels, views) = batch?;
            let scores = tch::no_grad(|| objective.logits(&pixels))?;
            videos += labels.len();
            let labels = Tensor::from_slice(&labels);
            let scores = mean_over_views(&scores, views);
            counts.iter_mut().for_each(|(_, accuracy)| accuracy.add(&scores, &labels));
        }
        let metrics = counts.iter().map(|(name, accuracy)| (*name, accuracy.value()));
        Ok((metrics.collect(), videos))
    }
}

/// Mean class probabilities over the views of each video, which are consecutive: logits
/// [B · V, classes] to [B, classes].
pub(crate) fn mean_over_views(logits: &Tensor, views: usize) -> Tensor {
    let probabilities = logits.softmax(-1, Kind::Float);
    let classes = logits.size()[1];
    probabilities.view([-1, views as i64, classes]).mean_dim([1_i64].as_slice(), false, None)
}

/// Divides labelled videos into a class-balanced fraction `part` and the rest.
///
/// # Errors
/// [`EvalError::TooFew`] when a class has too few videos.
pub fn balanced(
    videos: &Arc<dyn ClipSource>,
    label: usize,
    part: f64,
    seed: u64,
) -> Result<[Arc<dyn ClipSource>; 2], EvalError> {
    let labels: Vec<i64> = (0..videos.len()).map(|i| videos.label(i, label).into()).collect();
    let classes = videos.label_sets()[label].classes.len();
    let each = per_class(videos.len(), classes, 100.0 * part);
    let chosen = class_balanced(&labels, classes, each, seed, 0)?;
    let rest = (0..videos.len()).filter(|index| chosen.binary_search(index).is_err()).collect();
    let of =
        |indices| -> Arc<dyn ClipSource> { Arc::new(ClipSubset::new(Arc::clone(videos), indices)) };
    Ok([of(chosen), of(rest)])
}

/// The clips of a step, each with the label of its video, and their random choices.
fn mixed(mixer: Mixer, label: usize, batch: &ClipBatch) -> MixedBatch {
    let (_, _, _, height, width) = batch.pixels.dim();
    let labels = batch.labels[label].iter();
    let labels: Vec<i64> =
        labels.flat_map(|&label| std::iter::repeat_n(label, batch.per_video)).collect();
    let place = [batch.step, batch.epoch];
    mixer.mixed(host_tensor(&batch.pixels), &labels, place, &batch.samples, [height, width])
}

/// A clip encoder and its new classifier, in training.
struct ClipClassification {
    parameters: Parameters,
    encoder: ClipEncoder,
    head: Linear,
    described: serde_json::Value,
    normalization: ImageNormalization,
    classes: usize,
    smoothing: f64,
    layers: LayerDecay,
}

impl ClipClassification {
    /// Class scores for u8 clips [N, C, T, H, W].
    fn logits(&self, pixels: &Tensor) -> Result<Tensor, ModelError> {
        self.scores(&self.normalization.normalize(pixels), Moments::Running, None)
    }

    fn scores(
        &self,
        clips: &Tensor,
        moments: Moments,
        drop: Option<&DropPath>,
    ) -> Result<Tensor, ModelError> {
        Ok(self.head.forward(&self.encoder.features(clips, moments, drop)?))
    }
}

impl Objective for ClipClassification {
    type Input = MixedBatch;

    fn loss(&mut self, input: &MixedBatch) -> Result<Loss, ObjectiveError> {
        let MixedBatch { pixels, labels, mix, branches } = input;
        let device = self.parameters.device();
        let clips = self.normalization.normalize(pixels);
        // All frames and channels are mixed alike, with one rectangle in all frames.
        let clips = mix.images(&clips.flatten(1, 2)).view_as(&clips);
        let targets = mix.targets(&labels.to_device(device), self.classes, self.smoothing);
        let drop = (!branches.is_empty())
            .then(|| DropPath::new(branches, self.layers.depth, labels.numel(), device));
        let own = Moments::Batch { splits: 1 };
        Ok(soft_cross_entropy(&self.scores(&clips, own, drop.as_ref())?, &targets).into())
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn config(&self) -> serde_json::Value {
        self.described.clone()
    }

    fn tensors(&self, input: &MixedBatch) -> Vec<(&'static str, Tensor)> {
        let MixedBatch { pixels, labels, .. } = input;
        vec![("pixels", pixels.shallow_clone()), ("labels", labels.shallow_clone())]
    }
}

#[cfg(test)]
mod tests {
    use bauta_libtorch::normal;

    use super::*;
    use crate::seeded::stream;

    /// One view gives the plain softmax; several views can be in any order.
    #[test]
    fn one_view_is_the_plain_forward_and_the_order_of_views_does_not_matter() {
        let logits = normal(&[6, 4], 1.0, &mut stream("logits"));
        let plain = mean_over_views(&logits, 1);
        assert_eq!(plain, logits.softmax(-1, Kind::Float));
        assert_eq!(plain.argmax(1, false), logits.argmax(1, false));
        let forth = mean_over_views(&logits, 3);
        assert_eq!(forth.size(), [2, 4]);
        let order = Tensor::from_slice(&[2_i64, 0, 1, 5, 3, 4]);
        let back = mean_over_views(&logits.index_select(0, &order), 3);
        assert!((forth - back).abs().max().double_value(&[]) < 1e-6);
    }
}
