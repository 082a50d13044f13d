//! JPEG files that cost a decoder as much as photos: 500 × 375 pixels, with colours at half the
//! resolution (4:2:0) as cameras write them.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bauta_streams::{Purpose, StreamKey};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

/// Number of photos to train on.
pub const COUNT: usize = 256;

const SIDES: [u16; 2] = [500, 375];
const QUALITY: u8 = 90;
const CLASSES: usize = 4;

/// The folder of the photos.
pub fn root(shared: &Path) -> PathBuf {
    shared.join("photos")
}

/// Writes the photos, the same in every call, in four classes; a test split of one.
pub fn write(shared: &Path) -> Result<()> {
    for photo in 0..=COUNT {
        let split = if photo < COUNT { "train" } else { "test" };
        let folder = root(shared).join(format!("{split}/{}", photo % CLASSES));
        let path = folder.join(format!("{photo:04}.jpg"));
        let written = fs::create_dir_all(&folder).and_then(|()| File::create(&path));
        let file = written.with_context(|| format!("cannot write {}", path.display()))?;
        let mut encoder = Encoder::new(BufWriter::new(file), QUALITY);
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        encoder.encode(&picture(photo as u64), SIDES[0], SIDES[1], ColorType::Rgb)?;
    }
    Ok(())
}

/// Slow and fast waves in three colours, edges, and grain; RGB, row by row.
fn picture(photo: u64) -> Vec<u8> {
    let key = StreamKey { seed: 0, purpose: Purpose::named("photo"), epoch: 0, sample: photo };
    let mut stream = key.stream();
    let [slow, fast, phase, edge] = [(60.0, 120.0), (5.0, 12.0), (0.0, 6.0), (100.0, 400.0)]
        .map(|(low, high)| stream.uniform_in(low, high) as f32);
    let [width, height] = SIDES;
    let places = (0..height).flat_map(|y| (0..width).map(move |x| [x, y].map(f32::from)));
    let pixels = places.flat_map(|[x, y]| {
        let wave = |scale: f32| (x / scale + phase).sin() * (y / scale).cos();
        let side = if x + 0.5 * y < edge { 30.0 } else { -30.0 };
        let level = 128.0 + 50.0 * wave(slow) + 12.0 * wave(fast) + side;
        let grain = stream.uniform() + stream.uniform() - 1.0;
        let colour = |tint: f32| (level + tint * wave(slow * 0.7) + 22.0 * grain) as u8;
        [colour(30.0), colour(-10.0), colour(-40.0)]
    });
    pixels.collect()
}
