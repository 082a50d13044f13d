//! Clips as inputs of networks, computed once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use bauta_data::sound::LogMel;
use bauta_data::video::{SoundingSource, SoundingSplit};
use bauta_data::{Cancel, DataError, Prefetcher, Prepared};

/// Clips of a split, row by row.
#[derive(Default)]
pub(super) struct Part {
    /// [N, 3, T + F, H, W].
    pub(super) pixels: Vec<u8>,
    /// For training clips, if there is a network for flow, in thousandths of a pixel:
    /// [N, 2, T + F − 1, H, W].
    pub(super) flow: Vec<i16>,
    /// [N, C, bands, windows].
    pub(super) sound: Vec<f32>,
    pub(super) labels: Vec<i64>,
    /// Number of clips that were left out because they are silent.
    pub(super) silent: u64,
}

/// How clips become inputs of networks.
#[derive(Clone)]
pub(super) struct Drawing {
    pub(super) source: Arc<dyn SoundingSource>,
    pub(super) mel: LogMel,
}

impl Drawing {
    /// Channels, bands and windows of a spectrogram.
    pub(super) fn sound_sides(&self) -> [usize; 3] {
        [2, self.mel.config().bands, self.mel.frames(self.source.samples())]
    }

    /// Prepares the first clips of a split that are not silent.
    pub(super) fn part(
        &self,
        split: SoundingSplit,
        count: usize,
        prefetcher: &Prefetcher,
        stop: &AtomicBool,
    ) -> Result<Part> {
        let drawing = self.clone();
        let mut clips = prefetcher
            .inputs(0..count as u64, move |index, cancel| drawing.clip(split, index, cancel));
        let mut part = Part::default();
        for clip in clips.by_ref() {
            if stop.load(Ordering::Relaxed) {
                bail!("stopped while the clips were made; nothing was trained");
            }
            let clip = clip?;
            part.pixels.extend(clip.pixels);
            part.sound.extend(clip.sound);
            part.labels.extend(clip.labels);
        }
        part.silent = clips.skipped();
        Ok(part)
    }

    fn clip(
        &self,
        split: SoundingSplit,
        index: u64,
        cancel: &Cancel,
    ) -> Result<Prepared<Part>, DataError> {
        let Some(clip) = self.source.clip(split, index, cancel)? else {
            return Ok(Prepared { input: None, skipped: 1 });
        };
        let channel = |channel: usize| clip.frames.iter().skip(channel).step_by(3).copied();
        let heard = clip.sound.iter().filter(|ear| !ear.is_empty());
        Ok(Prepared::whole(Part {
            pixels: (0..3).flat_map(channel).collect(),
            sound: heard.flat_map(|ear| self.mel.spectrogram(ear)).collect(),
            labels: vec![i64::from(clip.class)],
            ..Part::default()
        }))
    }
}

impl Part {
    /// Mean and standard deviation of the spectrograms; meaningless if there are none.
    pub(super) fn moments(&self) -> [f64; 2] {
        let count = self.sound.len().max(1) as f64;
        let mean = self.sound.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
        let squares = self.sound.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>();
        [mean, (squares / count).sqrt().max(1e-6)]
    }

    /// Scales the spectrograms to mean 0 and standard deviation 1, given their moments.
    pub(super) fn scale(&mut self, [mean, deviation]: [f64; 2]) {
        self.sound.iter_mut().for_each(|x| *x = ((f64::from(*x) - mean) / deviation) as f32);
    }
}
