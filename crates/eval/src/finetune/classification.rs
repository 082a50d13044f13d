//! One step of fine-tuning: mixed images in, soft cross-entropy out.
//!
//! He et al., arXiv 2111.06377, A.1 "End-to-end fine-tuning": the encoder without its
//! decoder, a norm and a linear layer on the mean of its patch tokens; samples skip
//! branches, images are mixed within their batch, labels are smoothed.

use bauta_backbones::{
    DropPath, Encode, EncoderWithHead, Framing, ImageNormalization, ModelError, Moments,
    Parameters, Preprocessing,
};
use bauta_data::Batch;
use bauta_train::{
    DROP_PATH, LayerDecay, Loss, Mix, MixConfig, Objective, ObjectiveError, draw_drop_path,
    soft_cross_entropy,
};
use tch::Tensor;

use super::config::FineTuneConfig;
use crate::batch::host_tensor;

/// A batch of labelled images with its random choices.
#[derive(Debug)]
pub struct MixedBatch {
    /// u8 pixels of images [B, C, H, W] or of clips [N, C, T, H, W].
    pub(super) pixels: Tensor,
    /// Classes, i64, one per sample.
    pub(super) labels: Tensor,
    /// How samples are mixed within their batch.
    pub(super) mix: Mix,
    /// Factors of the skipped and kept branches; empty if none is skipped.
    pub(super) branches: Vec<f32>,
}

/// Turns a batch into a [`MixedBatch`], on the loader's threads.
#[derive(Clone, Copy, Debug)]
pub struct Mixer {
    /// Seed of the run.
    pub seed: u64,
    /// How images are mixed.
    pub mix: MixConfig,
    /// Drop-path rate of the last block.
    pub drop_path: f64,
    /// Number of blocks.
    pub depth: usize,
}

impl Mixer {
    /// Draws a batch's random choices from streams of the step and of the samples.
    pub fn draw(&self, batch: Batch) -> MixedBatch {
        let (_, _, height, width) = batch.pixels.dim();
        let labels = batch.labels.as_ref().expect("sources with classes label every image");
        let place = [batch.step, batch.epoch];
        self.mixed(host_tensor(&batch.pixels), labels, place, &batch.indices, [height, width])
    }

    /// Like [`Self::draw`], for the samples with these numbers in the given step and epoch.
    pub(super) fn mixed(
        &self,
        pixels: Tensor,
        labels: &[i64],
        [step, epoch]: [u64; 2],
        samples: &[u64],
        [height, width]: [usize; 2],
    ) -> MixedBatch {
        let Self { seed, mix, drop_path, depth } = *self;
        let mix = mix.draw(seed, step, height, width);
        let branches = if drop_path > 0.0 {
            draw_drop_path(DROP_PATH, depth, drop_path, seed, epoch, samples)
        } else {
            Vec::new()
        };
        MixedBatch { pixels, labels: Tensor::from_slice(labels), mix, branches }
    }
}

/// An encoder and its new classifier, in training.
pub struct Classification<'a> {
    parameters: Parameters,
    model: EncoderWithHead,
    described: serde_json::Value,
    normalization: &'a ImageNormalization,
    preprocessing: Preprocessing,
    classes: usize,
    smoothing: f64,
    layers: LayerDecay,
}

impl<'a> Classification<'a> {
    /// Trains a model with a classifier, `described` by its `config.json`, with the learning rates
    /// of `layers`; only its last blocks if `config` says so.
    pub fn new(
        (mut parameters, model): (Parameters, EncoderWithHead),
        described: serde_json::Value,
        layers: LayerDecay,
        config: &FineTuneConfig,
        normalization: &'a ImageNormalization,
        framing: Option<Framing>,
        classes: usize,
    ) -> Self {
        let preprocessing = normalization.preprocessing(framing);
        let last = config.blocks.unwrap_or(layers.depth + 1);
        parameters.train_only(|name| layers.is_among_last(name, last));
        let smoothing = config.smoothing;
        Self {
            parameters,
            model,
            described,
            normalization,
            preprocessing,
            classes,
            smoothing,
            layers,
        }
    }

    /// The layer-wise decay of the learning rate.
    pub fn layers(&self) -> LayerDecay {
        self.layers
    }

    /// Height and width of the images.
    pub fn image_size(&self) -> [usize; 2] {
        self.model.encoder().image_size()
    }

    /// Class scores for u8 pixels [B, C, H, W].
    ///
    /// # Errors
    /// When the images are of another size.
    pub fn logits(&self, pixels: &Tensor) -> Result<Tensor, ModelError> {
        self.scores(&self.normalization.normalize(pixels), Encode::whole())
    }

    fn scores(&self, images: &Tensor, how: Encode<'_>) -> Result<Tensor, ModelError> {
        let logits = self.model.forward(images, how)?.logits;
        Ok(logits.expect("the model was built with a classifier"))
    }
}

impl Objective for Classification<'_> {
    type Input = MixedBatch;

    fn loss(&mut self, input: &MixedBatch) -> Result<Loss, ObjectiveError> {
        let MixedBatch { pixels, labels, mix, branches } = input;
        let device = self.parameters.device();
        let images = mix.images(&self.normalization.normalize(pixels));
        let targets = mix.targets(&labels.to_device(device), self.classes, self.smoothing);

        let drop = (!branches.is_empty())
            .then(|| DropPath::new(branches, self.layers.depth, labels.numel(), device));
        let how = Encode::whole().dropping(drop.as_ref());
        let how = how.with_moments(Moments::Batch { splits: 1 });
        Ok(soft_cross_entropy(&self.scores(&images, how)?, &targets).into())
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn config(&self) -> serde_json::Value {
        self.described.clone()
    }

    fn preprocessing(&self) -> Option<Preprocessing> {
        Some(self.preprocessing.clone())
    }

    fn tensors(&self, input: &MixedBatch) -> Vec<(&'static str, Tensor)> {
        let MixedBatch { pixels, labels, .. } = input;
        vec![("pixels", pixels.shallow_clone()), ("labels", labels.shallow_clone())]
    }
}
