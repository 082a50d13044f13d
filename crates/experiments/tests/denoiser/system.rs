//! Extracting and Composing Robust Features with Denoising Autoencoders
//! (Vincent, Larochelle, Bengio and Manzagol, ICML 2008).
//!
//! Set a fraction of an image's pixels to zero; encode what is left by one hidden layer;
//! decode; predict the image as it was.

use anyhow::Result;
use bauta_backbones::{Linear, Parameters};
use bauta_data::Batch;
use bauta_eval::{Scores, host_tensor};
use bauta_experiments::images::{Features, Images};
use bauta_experiments::run::{Run, System};
use bauta_streams::{Purpose, StreamKey};
use bauta_train::{Loss, Objective, ObjectiveError};
use tch::{Kind, Reduction, Tensor};

use super::settings::Denoiser as Settings;

/// One hidden layer, and the layer that decodes it.
pub struct Denoiser {
    parameters: Parameters,
    encoder: Linear,
    decoder: Linear,
}

/// Images in [0, 1] as they are and with pixels set to zero, both [B, C · H · W].
pub struct NoisyImages {
    clean: Tensor,
    noisy: Tensor,
}

impl Objective for Denoiser {
    type Input = NoisyImages;

    fn loss(&mut self, input: &NoisyImages) -> Result<Loss, ObjectiveError> {
        let hidden = self.encoder.forward(&input.noisy).sigmoid();
        let prediction = self.decoder.forward(&hidden);
        Ok(prediction.mse_loss(&input.clean, Reduction::Mean).into())
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({ "model_type": "denoiser" })
    }

    fn tensors(&self, input: &NoisyImages) -> Vec<(&'static str, Tensor)> {
        vec![("clean", input.clean.shallow_clone()), ("noisy", input.noisy.shallow_clone())]
    }
}

impl System for Denoiser {
    type Settings = Settings;

    fn run(settings: &Settings, run: &mut Run<'_>) -> Result<Scores> {
        let images = run.images(&settings.data, &settings.eval)?;
        let mut denoiser = Self::new(settings, &images);
        let noise = Noise { seed: run.seed, ratio: settings.noise.ratio as f32 };
        let inputs = images.inputs(Vec::new(), move |batch| noise.corrupt(&batch))?;
        let phase = run.phase("pretrain", images.batches_per_epoch());
        run.train(&phase, &mut denoiser, inputs)?;

        let untrained = Self::new(settings, &images);
        let scores = run.probe(&images, denoiser.features(), untrained.features(), vec![])?;
        run.neighbours(&images, &denoiser.features())?;
        Ok(scores)
    }
}

impl Denoiser {
    fn new(settings: &Settings, images: &Images) -> Self {
        let pixels = images.splits.train.channels() * images.loader.height * images.loader.width;
        let (dim, mut parameters) = (settings.model.dim, images.parameters());
        let encoder = Linear::new(parameters.root().sub("encoder"), pixels, dim, true);
        let decoder = Linear::new(parameters.root().sub("decoder"), dim, pixels, true);
        Self { parameters, encoder, decoder }
    }

    /// The hidden layer's answer to whole images, as the protocols measure it.
    fn features(&self) -> Features<'_> {
        Box::new(|pixels| Ok(self.encoder.forward(&unit(pixels)).sigmoid()))
    }
}

/// How batches are corrupted, on the loader's threads.
#[derive(Clone, Copy)]
struct Noise {
    seed: u64,
    ratio: f32,
}

impl Noise {
    /// Each image draws from its own stream, so the noise is the same for any batch split,
    /// and after any resume.
    fn corrupt(self, batch: &Batch) -> NoisyImages {
        let clean = unit(&host_tensor(&batch.pixels));
        let size = clean.size()[1] as usize;
        let mut kept: Vec<f32> = Vec::with_capacity(batch.indices.len() * size);
        for &sample in &batch.indices {
            let purpose = Purpose::named("denoiser noise");
            let key = StreamKey { seed: self.seed, purpose, epoch: batch.epoch, sample };
            let mut stream = key.stream();
            kept.extend((0..size).map(|_| f32::from(u8::from(stream.uniform() >= self.ratio))));
        }
        let kept = Tensor::from_slice(&kept).view_as(&clean);
        NoisyImages { noisy: &clean * kept, clean }
    }
}

/// u8 pixels [B, C, H, W] as numbers in [0, 1], [B, C · H · W].
fn unit(pixels: &Tensor) -> Tensor {
    pixels.to_kind(Kind::Float).flatten(1, -1) / 255.0
}
