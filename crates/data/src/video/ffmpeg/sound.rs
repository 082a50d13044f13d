//! The sound of a video or audio file, as one wave.

use std::path::Path;

use bauta_datasets::DataError;

use super::Ffmpeg;
use super::process::{problem, run};
use crate::prefetch::Cancel;

/// The most samples that are read: ten minutes at 48 kHz.
const MOST: usize = 48_000 * 600;

impl Ffmpeg {
    /// Decodes a file's sound, mixed to one channel and resampled to `rate` samples a second,
    /// each about in [−1, 1].
    ///
    /// # Errors
    /// [`DataError::Video`] when the file has no sound, cannot be decoded, or sounds for longer
    /// than ten minutes at 48 kHz.
    pub fn sound(&self, path: &Path, rate: u32) -> Result<Vec<f32>, DataError> {
        let refuse =
            |problem: String| DataError::Video { video: path.display().to_string(), problem };
        let mut command = self.opening(path, &[]);
        command.args(["-vn", "-sn", "-dn", "-ac", "1", "-ar", &rate.to_string()]);
        command.args(["-c:a", "pcm_f32le", "-f", "f32le", "-"]);
        let mut bytes: Vec<u8> = Vec::new();
        let ended = run(&mut command, &Cancel::default(), |output| {
            loop {
                bytes.reserve(1 << 16);
                if output.append(&mut bytes).map_err(problem)? == 0 {
                    return Ok(());
                }
                if bytes.len() > 4 * MOST {
                    return Err(format!("it sounds for more than {MOST} samples; cut it"));
                }
            }
        });
        let ended = ended.map_err(refuse)?;
        if !ended.success() {
            return Err(refuse(ended.reason()));
        }
        if bytes.is_empty() {
            return Err(refuse("it has no sound".to_owned()));
        }
        let samples = bytes.as_chunks::<4>().0.iter();
        Ok(samples.map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}
