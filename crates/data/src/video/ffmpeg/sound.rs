//! The sound of a video or audio file, mixed to one channel, or a part of it in stereo.

use std::path::Path;

use bauta_datasets::DataError;

use super::Ffmpeg;
use super::process::{problem, run};
use crate::prefetch::Cancel;

/// Maximum number of samples that are read: ten minutes at 48 kHz.
const MOST: usize = 48_000 * 600;

/// Seconds by which decoding starts before a part: the first packet after a jump can be lost.
const LEAD: f64 = 0.25;

/// A filter that puts each sample at its time, from the beginning on, with silence in the gaps.
const TIMED: [&str; 2] = ["-af", "aresample=async=1:first_pts=0"];

impl Ffmpeg {
    /// Decodes a file's sound, mixed to one channel and resampled to `rate` samples per second,
    /// each about in [−1, 1].
    ///
    /// # Errors
    /// [`DataError::Video`] when the file has no sound, cannot be decoded, or lasts longer than ten
    /// minutes at 48 kHz.
    pub fn sound(&self, path: &Path, rate: u32) -> Result<Vec<f32>, DataError> {
        let wave = self.heard(path, [rate, 1], &[], &[], &Cancel::default())?;
        match wave.is_empty() {
            false => Ok(wave),
            true => Err(refuse(path, "it has no sound".to_owned())),
        }
    }

    /// Decodes the left and the right channel of the sound in the `seconds` from `start` on: as
    /// many samples as there are, none after the sound's end. A single channel is used for both.
    ///
    /// # Errors
    /// [`DataError::Video`] when the file has no sound or cannot be decoded.
    pub fn sound_between(
        &self,
        path: &Path,
        rate: u32,
        [start, seconds]: [f64; 2],
        cancel: &Cancel,
    ) -> Result<[Vec<f32>; 2], DataError> {
        let lead = start.min(LEAD);
        let (from, length) = (start - lead, lead + seconds);
        let part = ["-ss", &format!("{from:.6}"), "-t", &format!("{length:.6}")];
        let wave = self.heard(path, [rate, 2], &part.map(str::to_owned), &TIMED, cancel)?;
        let skipped = 2 * (lead * f64::from(rate)).round() as usize;
        let wave = wave.get(skipped..).unwrap_or_default();
        Ok([0, 1].map(|ear| wave.iter().skip(ear).step_by(2).copied().collect()))
    }

    /// Decodes the sound of a part of a file, with interleaved channels.
    fn heard(
        &self,
        path: &Path,
        [rate, channels]: [u32; 2],
        part: &[String],
        filter: &[&str],
        cancel: &Cancel,
    ) -> Result<Vec<f32>, DataError> {
        let mut command = self.opening(path, part);
        let (channels, rate) = (channels.to_string(), rate.to_string());
        command.args(["-vn", "-sn", "-dn"]).args(filter).args(["-ac", &channels, "-ar", &rate]);
        command.args(["-c:a", "pcm_f32le", "-f", "f32le", "-"]);
        let mut bytes: Vec<u8> = Vec::new();
        let ended = run(&mut command, cancel, |output| {
            loop {
                bytes.reserve(1 << 16);
                if output.append(&mut bytes).map_err(problem)? == 0 {
                    return Ok(());
                }
                if bytes.len() > 4 * MOST {
                    return Err(format!("its sound is longer than {MOST} samples; cut it"));
                }
            }
        });
        let ended = ended.map_err(|problem| refuse(path, problem))?;
        if !ended.success() {
            return Err(refuse(path, ended.reason()));
        }
        let samples = bytes.as_chunks::<4>().0.iter();
        Ok(samples.map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}

fn refuse(path: &Path, problem: String) -> DataError {
    DataError::Video { video: path.display().to_string(), problem }
}
