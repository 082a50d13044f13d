//! Batches of augmented images, prepared ahead of the consumer.
//!
//! The contents of a batch are a pure function of the seed and the global step: the order of an
//! epoch comes from (seed, epoch), an image's augmentation from (seed, epoch, its index). Batches
//! are therefore the same for any number of threads, any length of the queue, and when a run starts
//! in the middle.

mod assemble;
mod config;
mod order;
mod reads;
mod share;
mod unreadable;

use std::ops::Range;
use std::sync::Arc;

use bauta_datasets::{Augment, DataError};

use self::assemble::Assembler;
pub use self::config::LoaderConfig;
pub(crate) use self::order::Itinerary;
pub use self::order::Order;
pub use self::reads::{Read, ReadImages};
pub use self::share::Share;
pub(crate) use self::unreadable::Unreadable;
use crate::augment::Augmenter;
use crate::prefetch::{Inputs, Prefetcher, Prepared};
use crate::sample::Pixels;
use crate::source::Source;

/// Images of one step, on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The images, \[B, C, H, W\].
    pub pixels: Pixels,
    /// Their indices in the source, B.
    pub indices: Vec<u64>,
    /// Their classes, B; `None` for an unlabelled source.
    pub labels: Option<Vec<i64>>,
    /// The epoch, from 0.
    pub epoch: u64,
    /// The global step, from 0, counted across epochs.
    pub step: u64,
    /// Additional images read for each image, one entry per [`Read`], in their order.
    pub reads: Vec<ReadImages>,
}

/// A source, an augmentation and the threads that build batches from them.
pub struct Loader {
    itinerary: Arc<Itinerary>,
    assembler: Arc<Assembler>,
    prefetcher: Prefetcher,
    reads: Arc<[Read]>,
}

impl Loader {
    /// Prepares to load, and starts the threads.
    ///
    /// # Errors
    /// When a setting of `augment` or `config` is out of its range or does not suit the
    /// samples, or the source has fewer images than one batch of a shuffled epoch.
    pub fn new(
        source: Arc<dyn Source>,
        augment: Augment,
        config: LoaderConfig,
    ) -> Result<Self, DataError> {
        config.check(source.len(), "images")?;
        augment.suits(source.sample_type())?;
        let (height, width) = (config.height, config.width);
        let mut augmenter = Augmenter::new(&augment, source.channels(), height, width)?
            .for_data(source.statistics());
        if let Some(framing) = config.framing {
            augmenter = augmenter.framed(framing);
        }
        let itinerary = Itinerary::new(&config, source.len());
        Ok(Self {
            itinerary: Arc::new(itinerary),
            prefetcher: Prefetcher::new(config.threads, config.queue)?,
            assembler: Arc::new(Assembler::new(source, augmenter, &config)),
            reads: Arc::default(),
        })
    }

    /// Prepares to load a source for evaluation, in order and without randomness.
    ///
    /// Images are centre-cropped, or framed as `config` says; the last batch can be shorter.
    ///
    /// # Errors
    /// As [`Loader::new`].
    pub fn for_evaluation(
        source: Arc<dyn Source>,
        config: LoaderConfig,
    ) -> Result<Self, DataError> {
        let (order, share) = (Order::Sequential, Share::WHOLE);
        let config = LoaderConfig { order, share, ..config };
        Self::new(source, Augment::evaluation(), config)
    }

    /// Reads more images for each image of a batch, into [`Batch::reads`].
    ///
    /// # Panics
    /// When a partner is drawn from a source of a different length.
    pub fn reading(self, reads: Vec<Read>) -> Self {
        self.assembler.check(&reads);
        Self { reads: reads.into(), ..self }
    }

    /// Number of batches in an epoch.
    ///
    /// A shuffled epoch drops the images that do not fill a batch; a
    /// sequential one keeps them as a shorter batch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.itinerary.steps_per_epoch()
    }

    /// Builds the batches of the given global steps, in order, across epochs.
    ///
    /// If no image of a step can be read and [`OnError::Skip`](crate::OnError::Skip) is set, a
    /// shuffled step takes the images of the next step of its epoch that has any, so every step has
    /// its batch, which stays a function of seed and step; a sequential step is left out. If an
    /// epoch has no image that can be read, the batches end with [`DataError::NoImages`].
    ///
    /// `prepare` turns each batch into what the consumer wants (mask plans are
    /// drawn there); it runs on the loader's threads, for several batches at once.
    pub fn batches<T, F>(&self, steps: Range<u64>, prepare: F) -> Inputs<T>
    where
        T: Send + 'static,
        F: Fn(Batch) -> T + Send + Sync + 'static,
    {
        Self::interleaved(std::slice::from_ref(self), steps, move |_, batch| prepare(batch))
    }

    /// The first batch of an epoch that has a readable image; `None` if there is none.
    ///
    /// # Errors
    /// As [`Self::batches`], except [`DataError::NoImages`].
    pub fn first(&self) -> Result<Option<Batch>, DataError> {
        for step in 0..self.steps_per_epoch() {
            match self.batches(step..step + 1, |batch| batch).next() {
                None => {}
                // All steps of a shuffled epoch were tried for this one.
                Some(Err(DataError::NoImages { .. })) => return Ok(None),
                Some(found) => return found.map(Some),
            }
        }
        Ok(None)
    }

    /// Builds batches of several loaders in turn, as [`Self::batches`] does for one: step s is step
    /// ⌊s / n⌋ of loader s mod n.
    ///
    /// The threads of the first loader build them all. `prepare` gets the number of the loader with
    /// each batch.
    ///
    /// # Panics
    /// When there is no loader.
    pub fn interleaved<T, F>(loaders: &[Self], steps: Range<u64>, prepare: F) -> Inputs<T>
    where
        T: Send + 'static,
        F: Fn(usize, Batch) -> T + Send + Sync + 'static,
    {
        let parts: Vec<_> = loaders.iter().map(Self::parts).collect();
        loaders[0].prefetcher.inputs(steps, move |step, cancel| {
            let number = (step % parts.len() as u64) as usize;
            let (itinerary, assembler, reads) = &parts[number];
            let step = step / parts.len() as u64;
            let mut skipped = None;
            for visited in itinerary.substitutes(step) {
                let (epoch, indices) = itinerary.visit(visited);
                let (batch, missing) = assembler.assemble(step, epoch, indices, cancel)?;
                // Those missing from another step's batch are counted there.
                skipped.get_or_insert(missing);
                let Some(mut batch) = batch else { continue };
                for read in &**reads {
                    batch.reads.push(assembler.read_beside(&batch, read, cancel)?);
                }
                let input = Some(prepare(number, batch));
                return Ok(Prepared { input, skipped: skipped.unwrap_or(0) });
            }
            itinerary.gone_without(step, skipped.unwrap_or(0))
        })
    }

    fn parts(&self) -> (Arc<Itinerary>, Arc<Assembler>, Arc<[Read]>) {
        let Self { itinerary, assembler, reads, .. } = self;
        (Arc::clone(itinerary), Arc::clone(assembler), Arc::clone(reads))
    }
}

#[cfg(test)]
mod tests;
