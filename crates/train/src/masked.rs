//! Batches of images with their masks, the input of most systems.

use std::sync::Arc;

use bauta_backbones::{DropPath, TokenIndices};
use bauta_data::Batch;
use bauta_masking::{MaskPlan, MaskStrategy};
use bauta_streams::Purpose;
use tch::{Device, Tensor};

use crate::{DROP_PATH, draw_drop_path, host_tensor};

/// Images with their masked tokens and skipped branches, on the device.
#[derive(Debug)]
pub struct MaskedImages {
    /// u8 pixels [B, C, H, W].
    pub pixels: Tensor,
    /// Which of their tokens are masked.
    pub indices: TokenIndices,
    /// Branches of the encoder that samples skip; `None` if nothing is skipped.
    pub drop_path: Option<DropPath>,
    /// Branches of the decoder that samples skip, likewise.
    pub decoder_drop_path: Option<DropPath>,
}

/// How batches become [`MaskedImages`] on the loader's threads, with draws from each sample's
/// own random streams.
#[derive(Clone)]
pub struct Masking {
    /// The masking strategy of each epoch; the last one serves all later epochs too.
    pub strategies: Arc<[Arc<dyn MaskStrategy>]>,
    /// The epoch of the first strategy.
    pub first_epoch: u64,
    /// Seed of the run.
    pub seed: u64,
    /// The device of the tensors.
    pub device: Device,
    /// Rate at which samples skip the last block's branches; lower blocks have lower rates.
    pub drop_path: f64,
    /// Blocks of the encoder.
    pub depth: usize,
    /// Blocks of the decoder whose branches are skipped as well.
    pub decoder_depth: usize,
}

impl Masking {
    /// Skips branches at the given rate, also in a decoder of `decoder_depth` blocks.
    pub fn dropping(self, rate: f64, decoder_depth: usize) -> Self {
        Self { drop_path: rate, decoder_depth, ..self }
    }

    /// Starts with the first strategy in epoch `first_epoch`.
    pub fn from_epoch(self, first_epoch: u64) -> Self {
        Self { first_epoch, ..self }
    }

    /// Returns [`Self::draw`] as a closure for a loader's threads.
    pub fn prepare(self) -> impl Fn(Batch) -> MaskedImages + Clone + Send + Sync {
        move |batch| self.draw(&batch)
    }

    /// Draws masks and skipped branches of a batch.
    ///
    /// # Panics
    /// When the strategy masks different numbers of tokens in the samples of one batch;
    /// the strategies that recipes can name do not.
    pub fn draw(&self, batch: &Batch) -> MaskedImages {
        let (last, since) =
            (self.strategies.len() - 1, batch.epoch.saturating_sub(self.first_epoch));
        let strategy = &self.strategies[last.min(since as usize)];
        let plan = MaskPlan::draw(&**strategy, self.seed, batch.epoch, &batch.indices)
            .expect("recipes name strategies that mask a fixed number of tokens");
        MaskedImages {
            pixels: host_tensor(&batch.pixels).to_device(self.device),
            indices: TokenIndices::new(&plan, self.device),
            drop_path: self.skipped(DROP_PATH, self.depth, batch),
            decoder_drop_path: self.skipped(
                Purpose::named("decoder drop path"),
                self.decoder_depth,
                batch,
            ),
        }
    }

    fn skipped(&self, purpose: Purpose, depth: usize, batch: &Batch) -> Option<DropPath> {
        let Self { drop_path: rate, seed, device, .. } = *self;
        (rate > 0.0 && depth > 0).then(|| {
            let factors = draw_drop_path(purpose, depth, rate, seed, batch.epoch, &batch.indices);
            DropPath::new(&factors, depth, batch.indices.len(), device)
        })
    }
}

impl MaskedImages {
    /// Pixels and masks as named tensors.
    pub fn tensors(&self) -> Vec<(&'static str, Tensor)> {
        vec![("pixels", self.pixels.shallow_clone()), ("mask", self.indices.mask())]
    }
}
