//! Clips as networks see and hear them, drawn once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use bauta_data::sound::LogMel;
use bauta_data::video::{MovingStamps, StampSplit};
use bauta_data::{Prefetcher, Prepared};

/// Clips of a split, row by row.
#[derive(Default)]
pub(super) struct Part {
    /// [N, 3, T + F, H, W].
    pub(super) pixels: Vec<u8>,
    /// Of clips to train on where there is a network of it, in thousandths of a pixel:
    /// [N, 2, T + F − 1, H, W].
    pub(super) flow: Vec<i16>,
    /// [N, C, bands, windows].
    pub(super) sound: Vec<f32>,
    pub(super) labels: Vec<i64>,
}

/// How clips become what networks see and hear.
#[derive(Clone)]
pub(super) struct Drawing {
    pub(super) source: Arc<MovingStamps>,
    pub(super) mel: LogMel,
}

impl Drawing {
    /// Channels, bands and windows of a spectrogram.
    pub(super) fn sound_sides(&self) -> [usize; 3] {
        [2, self.mel.config().bands, self.mel.frames(self.source.rate() as usize)]
    }

    /// Draws the first clips of a split.
    pub(super) fn part(
        &self,
        split: StampSplit,
        count: usize,
        prefetcher: &Prefetcher,
        stop: &AtomicBool,
    ) -> Result<Part> {
        let drawing = self.clone();
        let clips = prefetcher.inputs(0..count as u64, move |index, _| {
            Ok(Prepared::whole(drawing.clip(split, index)))
        });
        let mut part = Part::default();
        for clip in clips {
            if stop.load(Ordering::Relaxed) {
                bail!("stopped while the clips were drawn; nothing was trained");
            }
            let clip = clip?;
            part.pixels.extend(clip.pixels);
            part.sound.extend(clip.sound);
            part.labels.extend(clip.labels);
        }
        Ok(part)
    }

    fn clip(&self, split: StampSplit, index: u64) -> Part {
        let clip = self.source.clip(split, index);
        let channel = |channel: usize| clip.frames.iter().skip(channel).step_by(3).copied();
        Part {
            pixels: (0..3).flat_map(channel).collect(),
            flow: Vec::new(),
            sound: clip.sound.iter().flat_map(|ear| self.mel.spectrogram(ear)).collect(),
            labels: vec![i64::from(clip.class)],
        }
    }
}

impl Part {
    /// Mean and deviation of the spectrograms.
    pub(super) fn moments(&self) -> [f64; 2] {
        let count = self.sound.len() as f64;
        let mean = self.sound.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
        let squares = self.sound.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>();
        [mean, (squares / count).sqrt().max(1e-6)]
    }

    /// Brings the spectrograms to mean 0 and deviation 1, given their moments.
    pub(super) fn scale(&mut self, [mean, deviation]: [f64; 2]) {
        self.sound.iter_mut().for_each(|x| *x = ((f64::from(*x) - mean) / deviation) as f32);
    }
}
