//! The flow of many clips, computed once and kept on disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bauta_datasets::DataError;
use bauta_files::write_whole;
use sha2::{Digest, Sha256};

use super::{TvL1, TvL1Config};
use crate::prefetch::{Prefetcher, Prepared};

/// Changes whenever the same clips would get a different flow.
const VERSION: &str = "TV-L1, 1";

/// Units of a stored flow per pixel: thousandths.
const A_PIXEL: f32 = 1000.0;

/// Length of the digest at the end of a file, in bytes.
const DIGEST: usize = 32;

/// Computes the flow of clips with the default settings, and keeps it in a folder under a hash of
/// the clips.
#[derive(Clone, Debug)]
pub struct ClipFlow {
    folder: PathBuf,
}

impl ClipFlow {
    /// Keeps flows in a folder, which is created when it is needed.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The flow from each frame to the next of RGB clips [N, 3, T, H, W], in thousandths of a
    /// pixel: [N, 2, T − 1, H, W], to the right and downwards.
    ///
    /// Values are clipped to the range of an `i16`. The flow is computed on the threads of
    /// `prefetcher`, unless a file holds it; a folder that cannot be written to is not an error.
    ///
    /// # Errors
    /// [`DataError::Setting`] when the pixels are not a whole number of clips, a clip has fewer
    /// than two frames, or a side is out of the range of [`TvL1::between`]; [`DataError::Stopped`]
    /// soon after `stop` is set.
    pub fn of(
        &self,
        pixels: &[u8],
        sides: [usize; 3],
        prefetcher: &Prefetcher,
        stop: &AtomicBool,
    ) -> Result<Vec<i16>, DataError> {
        let [frames, height, width] = sides;
        let clip = 3 * frames * height * width;
        if frames < 2 || clip == 0 || !pixels.len().is_multiple_of(clip) {
            let rule =
                format!("must be clips of [3, {frames}, {height}, {width}], 2 frames or more");
            return Err(DataError::setting("pixels", pixels.len(), rule));
        }
        let clips = pixels.len() / clip;
        let values = clips * 2 * (frames - 1) * height * width;
        let path = self.path(pixels, sides);
        if let Some(kept) = read(&path, values) {
            return Ok(kept);
        }
        let grey: Arc<Vec<u8>> = Arc::new(pixels.chunks_exact(clip).flat_map(grey).collect());
        let flow = TvL1::new(TvL1Config::default())?;
        let made = prefetcher.inputs(0..clips as u64, move |index, cancel| {
            let size = height * width;
            let own = &grey[index as usize * frames * size..][..frames * size];
            let mut fields = Vec::with_capacity(frames - 1);
            for pair in own.windows(2 * size).step_by(size) {
                if cancel.is_set() {
                    return Err(DataError::Stopped);
                }
                fields.push(flow.between(&pair[..size], &pair[size..], [height, width])?);
            }
            let axis = |axis: usize| fields.iter().flat_map(move |f| &f[axis * size..][..size]);
            // A float becomes the nearest number that an i16 can hold.
            let counted = axis(0).chain(axis(1)).map(|x| (x * A_PIXEL).round() as i16);
            Ok(Prepared::whole(counted.collect::<Vec<_>>()))
        });
        let mut all = Vec::with_capacity(values);
        for clip in made {
            if stop.load(Ordering::Relaxed) {
                return Err(DataError::Stopped);
            }
            all.extend(clip?);
        }
        let mut bytes: Vec<u8> = all.iter().flat_map(|x: &i16| x.to_le_bytes()).collect();
        let digest = Sha256::digest(&bytes);
        bytes.extend(digest);
        let kept = fs::create_dir_all(&self.folder).and_then(|()| write_whole(&path, &bytes));
        if let Err(error) = kept {
            tracing::warn!("the flow cannot be saved in {}: {error}", path.display());
        }
        Ok(all)
    }

    fn path(&self, pixels: &[u8], sides: [usize; 3]) -> PathBuf {
        let mut hash = Sha256::new_with_prefix(format!("{VERSION}, {sides:?}"));
        hash.update(pixels);
        let name: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(name)
    }
}

/// Grey frames [T, H, W] of a clip [3, T, H, W] (ITU-R BT.601).
fn grey(clip: &[u8]) -> Vec<u8> {
    let (red, others) = clip.split_at(clip.len() / 3);
    let (green, blue) = others.split_at(red.len());
    let colours = red.iter().zip(green).zip(blue);
    let [r, g, b] = [299_u32, 587, 114];
    colours
        .map(|((&red, &green), &blue)| {
            ((r * u32::from(red) + g * u32::from(green) + b * u32::from(blue) + 500) / 1000) as u8
        })
        .collect()
}

/// The contents of a file; `None` if there is no file, or it is damaged.
fn read(path: &Path, values: usize) -> Option<Vec<i16>> {
    let bytes = fs::read(path).ok()?;
    let (fields, digest) = bytes.split_at_checked(2 * values)?;
    if digest.len() != DIGEST || digest != Sha256::digest(fields).as_slice() {
        return None;
    }
    Some(fields.as_chunks::<2>().0.iter().map(|bytes| i16::from_le_bytes(*bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two clips of three frames, in which a bright square moves to the right by two pixels.
    fn clips() -> Vec<u8> {
        let mut pixels = Vec::new();
        for clip in 0..2 {
            for _colour in 0..3 {
                for frame in 0..3 {
                    pixels.extend((0..16 * 20).map(|at| {
                        let (row, column) = (at / 20, at % 20);
                        let left = 4 + 2 * frame + clip;
                        let inside = (5..11).contains(&row) && (left..left + 6).contains(&column);
                        if inside { 200 + (row * 7 + (column - left) * 5) as u8 % 50 } else { 30 }
                    }));
                }
            }
        }
        pixels
    }

    #[test]
    fn a_flow_is_measured_once_and_a_file_that_is_not_whole_is_none() {
        let place = tempfile::tempdir().unwrap();
        let flow = ClipFlow::new(place.path().join("flow"));
        let prefetcher = Prefetcher::new(2, 4).unwrap();
        let (pixels, go) = (clips(), AtomicBool::new(false));
        let of = |stop| flow.of(&pixels, [3, 16, 20], &prefetcher, stop);
        let found = of(&go).unwrap();
        assert_eq!(found.len(), 2 * 2 * 2 * 16 * 20);
        // In the middle of the square, to the right and downwards, in thousandths.
        let right = found[8 * 20 + 8];
        let down = found[2 * 16 * 20 + 8 * 20 + 8];
        assert!((1500..=2500).contains(&right) && down.abs() < 500, "{right}, {down}");

        let file = fs::read_dir(place.path().join("flow")).unwrap().next().unwrap().unwrap().path();
        assert_eq!(of(&go).unwrap(), found);
        // An intact file is trusted; the flow of a damaged one is computed again.
        let whole = fs::read(&file).unwrap();
        let mut other = vec![0; whole.len() - DIGEST];
        let digest = Sha256::digest(&other);
        other.extend(digest);
        fs::write(&file, &other).unwrap();
        assert!(of(&go).unwrap().iter().all(|x| *x == 0));
        for broken in [&whole[..whole.len() - 1], &whole[1..], &[]] {
            fs::write(&file, broken).unwrap();
            assert_eq!(of(&go).unwrap(), found);
        }
        fs::remove_file(&file).unwrap();
        assert!(matches!(of(&AtomicBool::new(true)), Err(DataError::Stopped)));
        assert!(flow.of(&pixels[1..], [3, 16, 20], &prefetcher, &go).is_err());
    }
}
