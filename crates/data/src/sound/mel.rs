//! Log-mel spectrograms, as computed by `torchaudio.transforms.MelSpectrogram` with `center=False`.
//!
//! The settings are a periodic Hann window, power, triangular filters on HTK's mel scale without
//! normalisation, and log(x + 1e-6).

use std::f64::consts::TAU;
use std::ops::Range;
use std::sync::Arc;

use bauta_datasets::DataError;
use realfft::{RealFftPlanner, RealToComplex};

/// Added before the logarithm.
const FLOOR: f64 = 1e-6;

/// Settings of a spectrogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogMelConfig {
    /// Samples per second.
    pub rate: u32,
    /// Samples of a window, at least 2.
    pub window: usize,
    /// Samples from one window to the next, at least 1.
    pub hop: usize,
    /// Mel bands from 0 to half the rate, at least 1.
    pub bands: usize,
}

impl Default for LogMelConfig {
    /// 16 kHz, windows of 25 ms every 10 ms, 64 bands.
    fn default() -> Self {
        Self { rate: 16_000, window: 400, hop: 160, bands: 64 }
    }
}

/// Computes log-mel spectrograms.
#[derive(Clone)]
pub struct LogMel {
    config: LogMelConfig,
    window: Vec<f32>,
    /// [bands, window / 2 + 1].
    bank: Vec<f32>,
    /// The range of each band's nonzero weights.
    reach: Vec<Range<usize>>,
    transform: Arc<dyn RealToComplex<f32>>,
}

impl LogMel {
    /// Prepares windows and bands.
    ///
    /// # Errors
    /// [`DataError::Setting`] when a setting is out of its range.
    pub fn new(config: LogMelConfig) -> Result<Self, DataError> {
        let LogMelConfig { rate, window, hop, bands } = config;
        for (key, value, least) in [
            ("rate", rate as usize, 1),
            ("window", window, 2),
            ("hop", hop, 1),
            ("bands", bands, 1),
        ] {
            if value < least {
                return Err(DataError::setting(key, value, format!("must be at least {least}")));
            }
        }
        let hann = |i: usize| (0.5 - 0.5 * (TAU * i as f64 / window as f64).cos()) as f32;
        let bank = bank(&config);
        let reach = bank.chunks_exact(window / 2 + 1).map(|row| {
            let first = row.iter().position(|weight| *weight > 0.0).unwrap_or(0);
            let last = row.iter().rposition(|weight| *weight > 0.0).map_or(0, |last| last + 1);
            first..last
        });
        Ok(Self {
            config,
            window: (0..window).map(hann).collect(),
            reach: reach.collect(),
            bank,
            transform: RealFftPlanner::new().plan_fft_forward(window),
        })
    }

    /// Its settings.
    pub fn config(&self) -> &LogMelConfig {
        &self.config
    }

    /// Number of windows in a wave of `samples` samples.
    pub fn frames(&self, samples: usize) -> usize {
        let LogMelConfig { window, hop, .. } = self.config;
        if samples < window { 0 } else { (samples - window) / hop + 1 }
    }

    /// The triangles, [bands, window / 2 + 1] row by row: the weight of each frequency.
    pub fn bank(&self) -> &[f32] {
        &self.bank
    }

    /// The spectrogram [bands, frames] of a wave, row by row; empty if the wave is shorter than a
    /// window.
    pub fn spectrogram(&self, wave: &[f32]) -> Vec<f32> {
        let LogMelConfig { window, hop, bands, .. } = self.config;
        let (frames, bins) = (self.frames(wave.len()), window / 2 + 1);
        let mut spectrogram = vec![0.0; bands * frames];
        let (mut part, mut spectrum) = (vec![0.0; window], self.transform.make_output_vec());
        for frame in 0..frames {
            let samples = &wave[frame * hop..][..window];
            part.iter_mut().zip(samples).zip(&self.window).for_each(|((to, x), w)| *to = x * w);
            self.transform
                .process(&mut part, &mut spectrum)
                .expect("both buffers have the transform's own lengths");
            let power: Vec<f32> = spectrum.iter().map(|bin| bin.norm_sqr()).collect();
            let rows = self.bank.chunks_exact(bins).zip(&self.reach).enumerate();
            for (band, (row, reach)) in rows {
                let heard = row[reach.clone()].iter().zip(&power[reach.clone()]);
                let energy: f32 = heard.map(|(weight, power)| weight * power).sum();
                spectrogram[band * frames + frame] = (f64::from(energy) + FLOOR).ln() as f32;
            }
        }
        spectrogram
    }
}

/// Converts Hz to mels with HTK's formula; [`to_hertz`] is the inverse.
fn to_mel(hertz: f64) -> f64 {
    2595.0 * (1.0 + hertz / 700.0).log10()
}

fn to_hertz(mel: f64) -> f64 {
    700.0 * (10_f64.powf(mel / 2595.0) - 1.0)
}

fn bank(config: &LogMelConfig) -> Vec<f32> {
    let LogMelConfig { rate, window, bands, .. } = *config;
    let (nyquist, bins) = (f64::from(rate) / 2.0, window / 2 + 1);
    let top = to_mel(nyquist);
    let corner = |place: usize| to_hertz(top * place as f64 / (bands + 1) as f64);
    let mut bank = Vec::with_capacity(bands * bins);
    for band in 0..bands {
        let [low, middle, high] = [band, band + 1, band + 2].map(corner);
        bank.extend((0..bins).map(|bin| {
            let hertz = nyquist * bin as f64 / (bins - 1) as f64;
            let rising = (hertz - low) / (middle - low);
            let falling = (high - hertz) / (high - middle);
            rising.min(falling).max(0.0) as f32
        }));
    }
    bank
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tone(hertz: f64, samples: usize) -> Vec<f32> {
        (0..samples).map(|i| (TAU * hertz * i as f64 / 16_000.0).sin() as f32).collect()
    }

    proptest! {
        #[test]
        fn a_pure_tone_peaks_in_its_band(hertz in 200.0_f64..7_500.0) {
            let mel = LogMel::new(LogMelConfig::default()).unwrap();
            let spectrogram = mel.spectrogram(&tone(hertz, 16_000));
            prop_assert_eq!(spectrogram.len(), 64 * 98);
            let middle = |band: usize| spectrogram[band * 98 + 49];
            let loudest = (0..64).max_by(|&a, &b| middle(a).total_cmp(&middle(b))).unwrap();
            let centre = to_hertz(to_mel(8000.0) * (loudest + 1) as f64 / 65.0);
            let width = to_hertz(to_mel(8000.0) * (loudest + 2) as f64 / 65.0) - centre;
            prop_assert!((centre - hertz).abs() <= width.max(40.0), "it peaks at {centre} Hz");
        }

        #[test]
        fn a_transform_keeps_the_energy(wave in prop::collection::vec(-1.0_f32..1.0, 400)) {
            let mel = LogMel::new(LogMelConfig::default()).unwrap();
            let energy: f32 = wave.iter().map(|x| x * x).sum();
            let (mut wave, mut spectrum) = (wave, mel.transform.make_output_vec());
            mel.transform.process(&mut wave, &mut spectrum).unwrap();
            let ends = spectrum[0].norm_sqr() + spectrum[200].norm_sqr();
            let inner: f32 = spectrum[1..200].iter().map(|bin| bin.norm_sqr()).sum();
            prop_assert!(((ends + 2.0 * inner) / 400.0 - energy).abs() <= 1e-3 * energy + 1e-6);
        }

        #[test]
        fn the_bands_are_triangles(bands in 1_usize..100, rate in 4_000_u32..48_000) {
            let mel = LogMel::new(LogMelConfig { bands, rate, ..LogMelConfig::default() }).unwrap();
            for row in mel.bank().chunks_exact(201) {
                prop_assert!(row.iter().all(|weight| (0.0..=1.0).contains(weight)));
                let falls = row.windows(2).position(|pair| pair[1] < pair[0]);
                let top = falls.unwrap_or(row.len() - 1);
                prop_assert!(row[top..].is_sorted_by(|a, b| a >= b), "it falls after its top");
            }
        }
    }

    #[test]
    fn silence_is_the_floor() {
        let mel = LogMel::new(LogMelConfig::default()).unwrap();
        let silence = mel.spectrogram(&[0.0; 500]);
        assert!(silence.iter().all(|x| (x - 1e-6_f32.ln()).abs() < 1e-4));
        assert!(mel.spectrogram(&[0.0; 399]).is_empty());
        assert!(LogMel::new(LogMelConfig { hop: 0, ..LogMelConfig::default() }).is_err());
    }

    /// The numbers are torchaudio's, computed by `tests/fixtures/log-mel/make.py`.
    #[test]
    fn torchaudio_makes_the_same_of_a_wave() {
        let numbers = include_str!("../../tests/fixtures/log-mel/torchaudio.txt");
        let expected: Vec<f32> = numbers.split_whitespace().map(|x| x.parse().unwrap()).collect();
        let wave: Vec<f32> = (0..1040)
            .map(|i| {
                let t = f64::from(i) / 16_000.0;
                let chirp = (TAU * (200.0 + 40_000.0 * t) * t).sin();
                (0.5 * chirp + 0.1 * (TAU * 3100.0 * t).cos()) as f32
            })
            .collect();
        let found = LogMel::new(LogMelConfig::default()).unwrap().spectrogram(&wave);
        assert_eq!((expected.len(), found.len()), (64 * 5, 64 * 5));
        let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 2e-3, "off by {off}");
    }
}
