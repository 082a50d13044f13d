//! Reads, augments and stacks the images of one batch.

use std::path::Path;
use std::sync::Arc;

use bauta_datasets::{DataError, SampleType};
use bauta_streams::{Purpose, StreamKey};
use ndarray::Array4;
use rayon::prelude::*;

use super::{Batch, LoaderConfig, Read, ReadImages, Unreadable};
use crate::augment::Augmenter;
use crate::prefetch::Cancel;
use crate::sample::{Pixels, Sample};
use crate::source::Source;

/// Purpose of the stream that augments an image as another's partner.
const PARTNER_AUGMENT: Purpose = Purpose::named("partner augment");

/// Everything that is needed to build a batch, shared by the threads.
pub(super) struct Assembler {
    source: Arc<dyn Source>,
    augmenter: Augmenter,
    height: usize,
    width: usize,
    seed: u64,
    unreadable: Unreadable,
}

impl Assembler {
    pub(super) fn new(
        source: Arc<dyn Source>,
        augmenter: Augmenter,
        config: &LoaderConfig,
    ) -> Self {
        let LoaderConfig { height, width, seed, on_error, .. } = *config;
        Self { source, augmenter, height, width, seed, unreadable: Unreadable::new(on_error) }
    }

    /// Panics unless every partner is drawn from this source.
    pub(super) fn check(&self, reads: &[Read]) {
        for read in reads {
            if let Read::Partner(sampler) = read {
                let (found, wanted) = (sampler.samples(), self.source.len() as u64);
                assert_eq!(found, wanted, "partners are drawn from the loader's own source");
            }
        }
    }

    /// Builds a batch, if one of its images can be read; also returns how many were left out.
    ///
    /// Returns early with an arbitrary batch once `cancel` is set.
    pub(super) fn assemble(
        &self,
        step: u64,
        epoch: u64,
        indices: Vec<u64>,
        cancel: &Cancel,
    ) -> Result<(Option<Batch>, u64), DataError> {
        match self.source.sample_type() {
            SampleType::Uint8 => self.assemble_of::<u8>(step, epoch, indices, cancel),
            _ => self.assemble_of::<f32>(step, epoch, indices, cancel),
        }
    }

    fn assemble_of<S: Sample>(
        &self,
        step: u64,
        epoch: u64,
        mut indices: Vec<u64>,
        cancel: &Cancel,
    ) -> Result<(Option<Batch>, u64), DataError> {
        let size = self.image_size();
        let mut pixels = vec![S::default(); indices.len() * size];
        let places = indices.iter().map(|&index| (index, index));
        let failed = self.fill(&mut pixels, places, Purpose::AUGMENT, epoch, cancel)?;
        let skipped = failed.iter().filter(|&&failed| failed).count();
        if skipped == indices.len() {
            return Ok((None, skipped as u64));
        }
        if skipped > 0 {
            leave_out(&mut pixels, size, &failed);
            leave_out(&mut indices, 1, &failed);
        }
        let labels =
            indices.iter().map(|&index| self.source.label(index as usize).map(i64::from)).collect();
        let pixels = self.stacked(pixels, indices.len());
        let batch = Batch { pixels, indices, labels, epoch, step, reads: Vec::new() };
        Ok((Some(batch), skipped as u64))
    }

    /// Reads another image for each image of a batch.
    ///
    /// One that cannot be decoded is reported, and the batch's own image takes its place.
    pub(super) fn read_beside(
        &self,
        batch: &Batch,
        read: &Read,
        cancel: &Cancel,
    ) -> Result<ReadImages, DataError> {
        match &batch.pixels {
            Pixels::Bytes(own) => self.read_beside_of(own, batch, read, cancel),
            Pixels::Values(own) => self.read_beside_of(own, batch, read, cancel),
        }
    }

    fn read_beside_of<S: Sample>(
        &self,
        own: &Array4<S>,
        batch: &Batch,
        read: &Read,
        cancel: &Cancel,
    ) -> Result<ReadImages, DataError> {
        let (mut indices, purpose) = match read {
            Read::Again(purpose) => (batch.indices.clone(), *purpose),
            Read::Partner(sampler) => {
                (sampler.partners(batch.epoch, &batch.indices), PARTNER_AUGMENT)
            }
        };
        let own = own.as_slice().expect("batches are filled in standard layout");
        let mut pixels = own.to_vec();
        let places = indices.iter().copied().zip(batch.indices.iter().copied());
        let failed = self.fill(&mut pixels, places, purpose, batch.epoch, cancel)?;
        for (place, _) in failed.iter().enumerate().filter(|&(_, &failed)| failed) {
            // A source fails before anything is written, so the own image is still there.
            indices[place] = batch.indices[place];
        }
        Ok(ReadImages { pixels: self.stacked(pixels, indices.len()), indices })
    }

    /// Fills one chunk of pixels for each pair of an image's index and that of the image whose
    /// stream augments it; returns which could not be read.
    fn fill<S: Sample>(
        &self,
        pixels: &mut [S],
        places: impl Iterator<Item = (u64, u64)>,
        purpose: Purpose,
        epoch: u64,
        cancel: &Cancel,
    ) -> Result<Vec<bool>, DataError> {
        let places: Vec<(u64, u64)> = places.collect();
        let failures: Vec<Option<DataError>> = pixels
            .par_chunks_exact_mut(self.image_size())
            .zip(&places)
            .map(|(out, &(index, sample))| {
                if cancel.is_set() {
                    return None;
                }
                let key = StreamKey { seed: self.seed, purpose, epoch, sample };
                self.read(index, key, out).err()
            })
            .collect();
        let indices: Vec<u64> = places.iter().map(|&(index, _)| index).collect();
        self.unreadable.judge(failures, &indices, |index| self.source.describe(index))
    }

    fn read<S: Sample>(&self, index: u64, key: StreamKey, out: &mut [S]) -> Result<(), DataError> {
        let image = S::read(&*self.source, index as usize)?;
        self.augmenter.check(&image).map_err(|problem| {
            DataError::malformed(Path::new(&self.source.describe(index as usize)), problem)
        })?;
        self.augmenter.apply(&image, &mut key.stream(), out);
        Ok(())
    }

    fn stacked<S: Sample>(&self, pixels: Vec<S>, images: usize) -> Pixels {
        let shape = (images, self.source.channels(), self.height, self.width);
        S::pixels(Array4::from_shape_vec(shape, pixels).expect("one chunk of pixels an image"))
    }

    /// Samples of one image of a batch, C · H · W.
    fn image_size(&self) -> usize {
        self.source.channels() * self.height * self.width
    }
}

/// Removes the marked groups of `size` items.
fn leave_out<T: Copy>(items: &mut Vec<T>, size: usize, marked: &[bool]) {
    let mut kept = 0;
    for group in (0..marked.len()).filter(|&group| !marked[group]) {
        items.copy_within(group * size..(group + 1) * size, kept * size);
        kept += 1;
    }
    items.truncate(kept * size);
}
