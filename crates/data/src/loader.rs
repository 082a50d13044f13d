//! Batches of augmented images, prepared ahead of the consumer.
//!
//! What a batch holds is a pure function of the seed and the global step: the
//! order of an epoch comes from (seed, epoch), an image's augmentation from
//! (seed, epoch, its index). So batches are the same for any number of
//! threads, any length of the queue, and when a run starts in the middle.

mod assemble;
mod batches;
mod order;
mod reader;

use std::ops::Range;
use std::sync::Arc;

use ndarray::Array4;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::{Deserialize, Serialize};

use self::assemble::Assembler;
pub use self::batches::Batches;
pub use self::order::Order;
pub use self::reader::Reader;
use crate::augment::Augment;
use crate::error::DataError;
use crate::source::Source;

/// What to do with an image that cannot be read or decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// Leave it out of its batch, count it, and report it once through `tracing`.
    #[default]
    Skip,
    /// End the batches with an error that names it.
    Stop,
}

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
}

impl LoaderConfig {
    /// Shuffled batches of `batch_size` images of `height × width`, with seed 0,
    /// every core, four batches ahead, and corrupt images skipped.
    pub fn new(batch_size: usize, height: usize, width: usize) -> Self {
        let (order, on_error) = (Order::Shuffled, OnError::Skip);
        Self { batch_size, height, width, seed: 0, threads: 0, queue: 4, order, on_error }
    }
}

/// Images of one step, on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The images, \[B, C, H, W\].
    pub pixels: Array4<u8>,
    /// Their indices in the source, B.
    pub indices: Vec<u64>,
    /// Their classes, B; `None` for an unlabelled source.
    pub labels: Option<Vec<i64>>,
    /// The epoch, from 0.
    pub epoch: u64,
    /// The global step, from 0: steps are counted on over epochs.
    pub step: u64,
}

/// A source, an augmentation and the threads that make batches of them.
pub struct Loader {
    config: LoaderConfig,
    samples: usize,
    assembler: Arc<Assembler>,
    pool: Arc<ThreadPool>,
}

impl Loader {
    /// Prepares to load, and starts the threads.
    ///
    /// # Errors
    /// When a setting of `augment` or `config` is out of its range, or the
    /// source has fewer images than one batch of a shuffled epoch.
    pub fn new(
        source: Arc<dyn Source>,
        augment: Augment,
        config: LoaderConfig,
    ) -> Result<Self, DataError> {
        let refuse = |key, value: usize, rule: String| {
            Err(DataError::Setting { key, value: value.to_string(), rule })
        };
        let samples = source.len();
        let least = if config.order == Order::Shuffled { config.batch_size } else { 1 };
        if config.batch_size == 0 {
            return refuse("train.batch_size", 0, "must be at least 1".to_owned());
        }
        if samples < least {
            let rule = format!("the source has only {samples} images");
            return refuse("train.batch_size", config.batch_size, rule);
        }
        if config.queue == 0 {
            return refuse("queue", 0, "must be at least 1".to_owned());
        }
        let augmenter = augment
            .build(source.channels(), config.height, config.width)?
            .for_data(source.statistics());
        let pool = ThreadPoolBuilder::new()
            .num_threads(config.threads)
            .thread_name(|i| format!("bauta-loader-{i}"))
            .build()
            .map_err(|error| DataError::Setting {
                key: "train.threads",
                value: config.threads.to_string(),
                rule: error.to_string(),
            })?;
        let assembler = Assembler::new(source, augmenter, &config);
        Ok(Self { config, samples, assembler: Arc::new(assembler), pool: Arc::new(pool) })
    }

    /// Goes through a source in order and without chance: centre crops, the
    /// last batch as short as it comes.
    ///
    /// # Errors
    /// As [`Loader::new`].
    pub fn for_evaluation(
        source: Arc<dyn Source>,
        config: LoaderConfig,
    ) -> Result<Self, DataError> {
        let config = LoaderConfig { order: Order::Sequential, ..config };
        Self::new(source, Augment::evaluation(), config)
    }

    /// Number of batches in an epoch.
    ///
    /// A shuffled epoch drops the images that do not fill a batch; a
    /// sequential one keeps them as a shorter batch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.config.order.steps(self.samples, self.config.batch_size)
    }

    /// Makes the batches of the given global steps, in order, over the borders of epochs.
    ///
    /// `prepare` turns each batch into what the consumer wants (mask plans are
    /// drawn there); it runs on the loader's threads, for several batches at once.
    pub fn batches<T, F>(&self, steps: Range<u64>, prepare: F) -> Batches<T>
    where
        T: Send + 'static,
        F: Fn(Batch) -> T + Send + Sync + 'static,
    {
        let (assembler, pool) = (Arc::clone(&self.assembler), Arc::clone(&self.pool));
        Batches::start(&self.config, self.samples, assembler, pool, steps, Arc::new(prepare))
    }

    /// A handle that reads other images of the source, for closures that prepare batches.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.assembler))
    }
}

#[cfg(test)]
mod tests;
