//! JPEG files that cost a decoder what photos do: 500 × 375 pixels, about 80 kB each.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bauta_streams::{Purpose, StreamKey};
use image::codecs::jpeg::JpegEncoder;
use image::{ImageEncoder, Rgb, RgbImage};

/// Photos to train on.
pub const COUNT: usize = 256;

const SIDES: (u32, u32) = (500, 375);
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
        let picture = picture(photo as u64);
        JpegEncoder::new_with_quality(BufWriter::new(file), QUALITY).write_image(
            &picture,
            SIDES.0,
            SIDES.1,
            image::ExtendedColorType::Rgb8,
        )?;
    }
    Ok(())
}

/// Slow and fast waves in three colours, edges, and grain.
fn picture(photo: u64) -> RgbImage {
    let key = StreamKey { seed: 0, purpose: Purpose::named("photo"), epoch: 0, sample: photo };
    let mut stream = key.stream();
    let [slow, fast, phase, edge] = [(60.0, 120.0), (5.0, 12.0), (0.0, 6.0), (100.0, 400.0)]
        .map(|(low, high)| stream.uniform_in(low, high) as f32);
    RgbImage::from_fn(SIDES.0, SIDES.1, |x, y| {
        let (x, y) = (x as f32, y as f32);
        let wave = |scale: f32| (x / scale + phase).sin() * (y / scale).cos();
        let side = if x + 0.5 * y < edge { 30.0 } else { -30.0 };
        let level = 128.0 + 50.0 * wave(slow) + 12.0 * wave(fast) + side;
        let grain = stream.uniform() + stream.uniform() - 1.0;
        let colour = |tint: f32| (level + tint * wave(slow * 0.7) + 22.0 * grain) as u8;
        Rgb([colour(30.0), colour(-10.0), colour(-40.0)])
    })
}
