//! Reads, augments and stacks the images of one batch.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bauta_streams::{Purpose, StreamKey};
use ndarray::Array4;
use rayon::prelude::*;

use super::{Batch, LoaderConfig, OnError};
use crate::augment::Augmenter;
use crate::error::DataError;
use crate::source::Source;

/// How an image is augmented where it is another's partner.
const PARTNER_AUGMENT: Purpose = Purpose::named("partner augment");

/// Everything that a batch is made of, shared by the threads.
pub(super) struct Assembler {
    source: Arc<dyn Source>,
    augmenter: Augmenter,
    height: usize,
    width: usize,
    seed: u64,
    on_error: OnError,
    /// Indices of the corrupt images that have been reported.
    reported: Mutex<HashSet<u64>>,
}

impl Assembler {
    pub(super) fn new(
        source: Arc<dyn Source>,
        augmenter: Augmenter,
        config: &LoaderConfig,
    ) -> Self {
        let LoaderConfig { height, width, seed, on_error, .. } = *config;
        Self { source, augmenter, height, width, seed, on_error, reported: Mutex::default() }
    }

    /// Makes a batch; also says how many images were left out of it.
    ///
    /// Gives up with an arbitrary batch soon after `cancelled` is set.
    pub(super) fn assemble(
        &self,
        step: u64,
        epoch: u64,
        mut indices: Vec<u64>,
        cancelled: &AtomicBool,
    ) -> Result<(Batch, u64), DataError> {
        let size = self.image_size();
        let mut pixels = vec![0; indices.len() * size];
        let failures: Vec<Option<DataError>> = pixels
            .par_chunks_exact_mut(size)
            .zip(&indices)
            .map(|(out, &index)| {
                if cancelled.load(Ordering::Relaxed) {
                    return None;
                }
                let key = self.key(Purpose::AUGMENT, epoch, index);
                self.read(index, key, out).err()
            })
            .collect();

        let failed: Vec<bool> = failures.iter().map(Option::is_some).collect();
        for (error, &index) in failures.into_iter().zip(&indices) {
            match (error, self.on_error) {
                (None, _) => {}
                (Some(error), OnError::Stop) => return Err(error),
                (Some(error), OnError::Skip) => self.report(index, &error),
            }
        }
        let skipped = failed.iter().filter(|&&failed| failed).count();
        if skipped == indices.len() {
            return Err(DataError::EmptyBatch { step });
        }
        if skipped > 0 {
            leave_out(&mut pixels, size, &failed);
            leave_out(&mut indices, 1, &failed);
        }

        Ok((self.batch(pixels, indices, epoch, step), skipped as u64))
    }

    /// Reads, for each image of a batch, the image with the index that `partners` names;
    /// the batch of those has its epoch and step.
    ///
    /// A partner is augmented by the stream (seed, "partner augment", epoch, index of the
    /// batch's image), so it varies where an image meets it again, and independently of its
    /// own turn. One that cannot be decoded is reported, and the batch's own image stands
    /// in its place.
    pub(super) fn partners(&self, batch: &Batch, partners: &[u64]) -> Result<Batch, DataError> {
        assert_eq!(batch.indices.len(), partners.len(), "one partner an image");
        let own = batch.pixels.as_slice().expect("batches are filled in standard layout");
        let mut pixels = own.to_vec();
        let size = self.image_size();
        let failures: Vec<Option<DataError>> = pixels
            .par_chunks_exact_mut(size)
            .zip(batch.indices.par_iter().zip(partners))
            .map(|(out, (&index, &partner))| {
                let key = self.key(PARTNER_AUGMENT, batch.epoch, index);
                self.read(partner, key, out).err()
            })
            .collect();
        let mut indices = partners.to_vec();
        for (place, error) in failures.into_iter().enumerate() {
            match (error, self.on_error) {
                (None, _) => {}
                (Some(error), OnError::Stop) => return Err(error),
                (Some(error), OnError::Skip) => {
                    // A source refuses before anything is written, so the own image still stands.
                    self.report(partners[place], &error);
                    indices[place] = batch.indices[place];
                }
            }
        }
        Ok(self.batch(pixels, indices, batch.epoch, batch.step))
    }

    fn batch(&self, pixels: Vec<u8>, indices: Vec<u64>, epoch: u64, step: u64) -> Batch {
        let labels =
            indices.iter().map(|&index| self.source.label(index as usize).map(i64::from)).collect();
        let shape = (indices.len(), self.source.channels(), self.height, self.width);
        let pixels = Array4::from_shape_vec(shape, pixels).expect("one chunk of pixels an index");
        Batch { pixels, indices, labels, epoch, step }
    }

    /// Samples of one image of a batch, C · H · W.
    fn image_size(&self) -> usize {
        self.source.channels() * self.height * self.width
    }

    fn key(&self, purpose: Purpose, epoch: u64, sample: u64) -> StreamKey {
        StreamKey { seed: self.seed, purpose, epoch, sample }
    }

    fn read(&self, index: u64, key: StreamKey, out: &mut [u8]) -> Result<(), DataError> {
        let image = self.source.image(index as usize)?;
        self.augmenter.apply(&image, &mut key.stream(), out);
        Ok(())
    }

    fn report(&self, index: u64, error: &DataError) {
        // A set of numbers is whole even if a thread panicked while it held the lock.
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.insert(index) {
            let image = self.source.describe(index as usize);
            tracing::warn!(%image, %error, "skipping a corrupt image");
        }
    }
}

/// Removes the groups of `size` items that are marked.
fn leave_out<T: Copy>(items: &mut Vec<T>, size: usize, marked: &[bool]) {
    let mut kept = 0;
    for group in (0..marked.len()).filter(|&group| !marked[group]) {
        items.copy_within(group * size..(group + 1) * size, kept * size);
        kept += 1;
    }
    items.truncate(kept * size);
}
