//! One step of fine-tuning: mixed images in, soft cross-entropy out.
//!
//! He et al., arXiv 2111.06377, A.1 "End-to-end fine-tuning": the encoder without its
//! decoder, a norm and a linear layer on the mean of its patch tokens; samples skip
//! branches, images are mixed with their batch, labels smoothed.

use anyhow::Result;
use bauta_backbones::{
    DropPath, ImageNormalization, ModelConfig, ModelFolder, Parameters, VitHead, VitModel,
};
use bauta_data::Batch;
use bauta_recipe::{Features, FineTune};
use bauta_train::{
    DROP_PATH, LayerDecay, Mix, MixConfig, Objective, TrainError, draw_drop_path,
    soft_cross_entropy,
};
use tch::{Device, Tensor};

use crate::systems::pixels;

/// A batch of labelled images with what chance adds.
#[derive(Debug)]
pub struct MixedBatch {
    batch: Batch,
    mix: Mix,
    /// Factors of the skipped and kept branches; empty where none is skipped.
    branches: Vec<f32>,
}

/// How a batch becomes a [`MixedBatch`], on the loader's threads.
#[derive(Clone, Copy, Debug)]
pub struct Mixer {
    seed: u64,
    mix: MixConfig,
    drop_path: f64,
    depth: usize,
}

impl Mixer {
    /// Draws what chance adds to a batch, from streams of the step and of the samples.
    pub fn draw(&self, batch: Batch) -> MixedBatch {
        let (_, _, height, width) = batch.pixels.dim();
        let mix = self.mix.draw(self.seed, batch.step, height, width);
        let branches = if self.drop_path > 0.0 {
            draw_drop_path(
                DROP_PATH,
                self.depth,
                self.drop_path,
                self.seed,
                batch.epoch,
                &batch.indices,
            )
        } else {
            Vec::new()
        };
        MixedBatch { batch, mix, branches }
    }
}

/// An encoder and its new classifier, in training.
pub struct Classification {
    parameters: Parameters,
    model: VitModel,
    config: ModelConfig,
    normalization: ImageNormalization,
    classes: usize,
    smoothing: f64,
    layers: LayerDecay,
}

impl Classification {
    /// Puts a classifier on a model folder's encoder, or on the same encoder at its
    /// initial weights, `from_scratch`; layers then learn at one rate, as nothing in
    /// them is worth keeping.
    ///
    /// # Errors
    /// When the folder's weights are not those it describes, or there are fewer
    /// blocks than are to be trained.
    pub fn new(
        folder: &ModelFolder,
        from_scratch: bool,
        settings: &FineTune,
        normalization: ImageNormalization,
        (classes, image_size, seed): (usize, Option<[usize; 2]>, u64),
        device: Device,
    ) -> Result<Self> {
        let head = match settings.features {
            Features::Mean => VitHead::MeanClassifier(classes),
            Features::Cls => VitHead::Classifier(classes),
        };
        let (mut parameters, model) = if from_scratch {
            folder.untrained(head, image_size, seed, device)?
        } else {
            folder.classifier(head, image_size, seed, device)?
        };
        let config = folder.classifier_config(head, image_size)?;
        let decay = if from_scratch { 1.0 } else { settings.layer_decay };
        let depth = model.encoder().depth();
        let layers = LayerDecay { decay, depth };
        let last = settings.blocks.unwrap_or(depth + 1);
        anyhow::ensure!(
            settings.blocks.is_none_or(|blocks| blocks <= depth),
            "eval.finetune.blocks {last} is more than the encoder's {depth} blocks"
        );
        parameters.train_only(|name| layers.is_among_last(name, last));
        let smoothing = settings.smoothing;
        Ok(Self { parameters, model, config, normalization, classes, smoothing, layers })
    }

    /// How batches are mixed for this model.
    pub fn mixer(&self, settings: &FineTune, seed: u64) -> Mixer {
        let mix = MixConfig { mixup: settings.mixup, cutmix: settings.cutmix };
        Mixer { seed, mix, drop_path: settings.drop_path, depth: self.layers.depth }
    }

    /// How learning rates fall towards the input.
    pub fn layers(&self) -> LayerDecay {
        self.layers
    }

    /// Height and width of the images.
    pub fn image_size(&self) -> [usize; 2] {
        self.model.encoder().image_size()
    }

    /// Scores of the classes, of u8 pixels [B, C, H, W].
    ///
    /// # Errors
    /// When the images are of another size.
    pub fn logits(&self, pixels: &Tensor) -> Result<Tensor> {
        Ok(self.scores(&self.normalization.normalize(pixels), None)?)
    }

    fn scores(&self, images: &Tensor, drop: Option<&DropPath>) -> Result<Tensor, TrainError> {
        let logits = self.model.forward_dropping(images, drop)?.logits;
        Ok(logits.expect("the model was built with a classifier"))
    }
}

impl Objective for Classification {
    type Input = MixedBatch;

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn loss(&self, input: &MixedBatch) -> Result<Tensor, TrainError> {
        let MixedBatch { batch, mix, branches } = input;
        let device = self.parameters.device();
        let images = mix.images(&self.normalization.normalize(&pixels(batch)));
        let labels = batch.labels.as_ref().expect("labelled sources label every image");
        let labels = Tensor::from_slice(labels).to_device(device);
        let targets = mix.targets(&labels, self.classes, self.smoothing);

        let drop = (!branches.is_empty())
            .then(|| DropPath::new(branches, self.layers.depth, batch.indices.len(), device));
        Ok(soft_cross_entropy(&self.scores(&images, drop.as_ref())?, &targets))
    }

    fn config(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).expect("a configuration is plain values")
    }

    fn tensors(&self, input: &MixedBatch) -> Vec<(&'static str, Tensor)> {
        vec![("pixels", pixels(&input.batch))]
    }
}
