//! How a source is cut into batches.

use bauta_datasets::{DataError, OnError};

use super::{Order, Share};
use crate::augment::Framing;

/// How a source is cut into batches.
#[derive(Clone, Debug, PartialEq)]
pub struct LoaderConfig {
    /// Images in a batch, B.
    pub batch_size: usize,
    /// Height of the images in a batch, H, in pixels.
    pub height: usize,
    /// Width of the images in a batch, W, in pixels.
    pub width: usize,
    /// Seed of the run.
    pub seed: u64,
    /// Threads that decode and augment; 0 takes every core.
    pub threads: usize,
    /// Batches prepared ahead of the consumer, at least 1.
    pub queue: usize,
    /// The order in which an epoch visits the images.
    pub order: Order,
    /// What to do with an image that cannot be decoded.
    pub on_error: OnError,
    /// How images are brought to height and width, instead of the augmentation's crop.
    pub framing: Option<Framing>,
    /// The part of each batch of a shuffled order that this process prepares.
    pub share: Share,
}

impl LoaderConfig {
    /// Shuffled batches of `batch_size` images of `height × width` pixels, with seed 0, threads for
    /// every core, four batches ahead, corrupt images skipped, no framing, whole batches.
    pub fn new(batch_size: usize, height: usize, width: usize) -> Self {
        let (order, on_error) = (Order::Shuffled, OnError::Skip);
        let (seed, threads, queue, framing, share) = (0, 0, 4, None, Share::WHOLE);
        Self { batch_size, height, width, seed, threads, queue, order, on_error, framing, share }
    }

    /// Checks that a source of `samples` samples, which are images or videos, fills a batch.
    pub(crate) fn check(&self, samples: usize, called: &str) -> Result<(), DataError> {
        if self.batch_size == 0 {
            return Err(DataError::setting("batch_size", 0, "must be at least 1"));
        }
        let least = if self.order == Order::Shuffled { self.batch_size } else { 1 };
        if samples < least {
            let rule = format!("the source has only {samples} {called}");
            return Err(DataError::setting("batch_size", self.batch_size, rule));
        }
        self.share.check(self.batch_size)
    }
}
