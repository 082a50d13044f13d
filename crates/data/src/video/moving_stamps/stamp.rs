//! A stamp with its picture and its sound.

use std::path::{Path, PathBuf};

use bauta_datasets::DataError;
use bauta_streams::{Purpose, StreamKey};
use image::RgbaImage;
use image::imageops::{FilterType, resize};

use crate::regular;
use crate::source::listing::{files_below, has_extension};
use crate::video::Ffmpeg;
use crate::video::sounding::{SILENT, loudness};

/// Maximum side of a picture; larger ones are shrunk to it.
const SIDE: u32 = 128;
/// Minimum length of a sound in seconds; stamps with shorter ones are skipped.
const SHORTEST: f64 = 0.1;
/// Root mean square to which sounds are scaled.
const LOUDNESS: f64 = 0.1;

/// A stamp.
pub(super) struct Stamp {
    /// Name of its file, without the extension.
    pub(super) name: String,
    pub(super) picture: RgbaImage,
    /// Not empty and not silent.
    pub(super) wave: Vec<f32>,
}

/// Draws stamps from those below a folder.
pub(super) fn choose(
    root: &Path,
    ffmpeg: &Ffmpeg,
    count: usize,
    rate: u32,
    seed: u64,
) -> Result<Vec<Stamp>, DataError> {
    let mut found: Vec<(PathBuf, PathBuf)> =
        files_below(root, |path| has_extension(path, &["png"]))?
            .paths
            .into_iter()
            .filter_map(|picture| {
                let mut sounds = ["ogg", "wav"].into_iter().map(|end| picture.with_extension(end));
                sounds.find(|sound| regular::is_regular(sound)).map(|sound| (picture, sound))
            })
            .collect();
    found.sort();
    let purpose = Purpose::named("choice of stamps");
    StreamKey { seed, purpose, epoch: 0, sample: 0 }.stream().shuffle(&mut found);
    let all = found.len();
    let mut stamps = Vec::with_capacity(count);
    for (picture, sound) in found {
        if stamps.len() == count {
            break;
        }
        let wave = ffmpeg.sound(&sound, rate)?;
        match normalized(wave, rate) {
            Some(wave) => {
                stamps.push(Stamp { name: name(&picture), picture: read(&picture)?, wave })
            }
            None => tracing::info!("{} is silent or too short; left out", sound.display()),
        }
    }
    if stamps.len() < count {
        return Err(DataError::Absent {
            path: root.to_path_buf(),
            wanted: format!("{count} stamps with a sound"),
            remedy: format!(
                "{all} PNG files lie beside an .ogg or .wav of the same name, {} of them audible; \
                 ask for fewer stamps, or name the folder of Tux Paint's stamps",
                stamps.len()
            ),
        });
    }
    Ok(stamps)
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The sound at the common loudness; `None` if it is silent or too short.
fn normalized(mut wave: Vec<f32>, rate: u32) -> Option<Vec<f32>> {
    let loudness = loudness(&wave);
    let long = wave.len() as f64 >= SHORTEST * f64::from(rate);
    if !long || loudness < SILENT || !loudness.is_finite() {
        return None;
    }
    wave.iter_mut().for_each(|x| *x = (f64::from(*x) * LOUDNESS / loudness) as f32);
    Some(wave)
}

fn read(path: &Path) -> Result<RgbaImage, DataError> {
    let bytes = regular::read(path)?;
    let picture = image::load_from_memory(&bytes).map_err(|error| DataError::Image {
        image: path.display().to_string(),
        problem: error.to_string(),
    })?;
    let mut picture = picture.to_rgba8();
    let longest = picture.width().max(picture.height());
    if longest > SIDE {
        let side = |side: u32| (side * SIDE / longest).max(1);
        let (width, height) = (side(picture.width()), side(picture.height()));
        picture = resize(&picture, width, height, FilterType::Triangle);
    }
    Ok(picture)
}
