//! Batches of images, each with a partner that it is mixed with (i-MAE §3).

use bauta_data::Batch;
use bauta_eval::host_tensor;
use bauta_streams::{Purpose, StreamKey};
use tch::Tensor;

use crate::images::{MaskedImages, Masking};

/// Masked images, the images that they are mixed with, and the share of the first.
#[derive(Debug)]
pub struct MixedImages {
    /// The first images, and which tokens of the mixtures are masked.
    pub masked: MaskedImages,
    /// u8 pixels [B, C, H, W] of the second images.
    pub partners: Tensor,
    /// Share λ of the first images, in [0, 1].
    pub lambda: f64,
}

/// How batches that were read with their partners become [`MixedImages`].
#[derive(Clone)]
pub struct Mixing {
    /// How tokens are masked.
    pub masking: Masking,
    /// λ of every mixture; drawn from U(0, 1), one per batch, if not given.
    pub lambda: Option<f64>,
}

impl Mixing {
    /// Prepares batches, on a loader's threads.
    pub fn prepare(self) -> impl Fn(Batch) -> MixedImages + Clone + Send + Sync {
        move |batch| MixedImages {
            lambda: self.lambda.unwrap_or_else(|| draw_lambda(self.masking.seed, batch.step)),
            partners: host_tensor(&batch.reads[0].pixels).to_device(self.masking.device),
            masked: self.masking.draw(&batch),
        }
    }
}

impl MixedImages {
    /// Pixels, masks and share as named tensors.
    pub fn tensors(&self) -> Vec<(&'static str, Tensor)> {
        let mut tensors = self.masked.tensors();
        tensors.push(("partners", self.partners.shallow_clone()));
        tensors.push(("lambda", Tensor::from_slice(&[self.lambda])));
        tensors
    }
}

/// The share of a step's first images.
fn draw_lambda(seed: u64, step: u64) -> f64 {
    let purpose = Purpose::named("mixture");
    StreamKey { seed, purpose, epoch: 0, sample: step }.stream().uniform_in(0.0, 1.0)
}
