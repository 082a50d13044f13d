//! One flight of a stamp: its pictures and its sound.

use bauta_streams::RandomStream;
use image::imageops::{FilterType, resize};

use super::stamp::Stamp;

/// The random parameters of a clip. Lengths are in sides of the frame, times in clips.
pub(super) struct Scene {
    /// The stamp's centre in the middle of the clip.
    middle: [f64; 2],
    /// Its displacement over the whole clip.
    way: [f64; 2],
    /// Longest side of the stamp.
    side: f64,
    /// Colours of the upper and the lower border of the background.
    ground: [[f64; 3]; 2],
    /// Start of its sound, as a fraction of the sound's length.
    beginning: f64,
}

impl Scene {
    pub(super) fn draw(direction: [f64; 2], stream: &mut RandomStream) -> Self {
        let length = stream.uniform_in(0.5, 0.9);
        let mut ground = [[0.0; 3]; 2];
        ground.iter_mut().flatten().for_each(|colour| *colour = stream.uniform_in(40.0, 215.0));
        Self {
            middle: [(); 2].map(|()| stream.uniform_in(0.35, 0.65)),
            way: direction.map(|part| part * length),
            side: stream.uniform_in(0.35, 0.5),
            ground,
            beginning: stream.uniform_in(0.0, 1.0),
        }
    }

    /// The stamp's centre at a time in [0, 1].
    fn place(&self, time: f64) -> [f64; 2] {
        [0, 1].map(|axis| self.middle[axis] + self.way[axis] * (time - 0.5))
    }

    /// Pixels of the frames, [T, H, W, 3].
    pub(super) fn frames(&self, stamp: &Stamp, size: usize, frames: usize) -> Vec<u8> {
        let (width, height) = stamp.picture.dimensions();
        let longest = f64::from(width.max(height));
        let scaled = |side: u32| {
            ((f64::from(side) / longest * self.side * size as f64).round() as u32).max(1)
        };
        let picture = resize(&stamp.picture, scaled(width), scaled(height), FilterType::Triangle);
        let mut pixels = Vec::with_capacity(frames * size * size * 3);
        for frame in 0..frames {
            let first = pixels.len();
            for row in 0..size {
                let share = row as f64 / (size - 1) as f64;
                let colour = [0, 1, 2].map(|c| {
                    (self.ground[0][c] * (1.0 - share) + self.ground[1][c] * share).round() as u8
                });
                pixels.extend(colour.iter().cycle().take(3 * size));
            }
            let [x, y] = self.place(frame as f64 / (frames - 1) as f64);
            let corner = |middle: f64, side: u32| {
                (middle * size as f64 - f64::from(side) / 2.0).round() as i64
            };
            let (left, top) = (corner(x, picture.width()), corner(y, picture.height()));
            for (column, row, colour) in picture.enumerate_pixels() {
                let (x, y) = (left + i64::from(column), top + i64::from(row));
                let inside = |place: i64| (0..size as i64).contains(&place);
                if !(inside(x) && inside(y)) {
                    continue;
                }
                let opacity = u32::from(colour.0[3]);
                let under = &mut pixels[first + 3 * (y as usize * size + x as usize)..][..3];
                for (under, over) in under.iter_mut().zip(&colour.0[..3]) {
                    let mixed = u32::from(*over) * opacity + u32::from(*under) * (255 - opacity);
                    *under = ((mixed + 127) / 255) as u8;
                }
            }
        }
        pixels
    }

    /// The sound of one second for the left and the right ear.
    pub(super) fn sound(&self, stamp: &Stamp, rate: u32) -> [Vec<f32>; 2] {
        let samples = rate as usize;
        let offset = (self.beginning * stamp.wave.len() as f64) as usize;
        let mut ears = [Vec::with_capacity(samples), Vec::with_capacity(samples)];
        for sample in 0..samples {
            let [x, y] = self.place(sample as f64 / (samples - 1) as f64);
            let away = ((x - 0.5).powi(2) + (y - 0.5).powi(2)) / 0.0625;
            // 1 in the middle of the frame, one half at a quarter of its side from there.
            let loudness = 1.0 / (1.0 + away);
            let (right, left) = (x.clamp(0.0, 1.0) * std::f64::consts::FRAC_PI_2).sin_cos();
            // A sound shorter than the clip starts again.
            let heard = f64::from(stamp.wave[(offset + sample) % stamp.wave.len()]) * loudness;
            ears[0].push((heard * left) as f32);
            ears[1].push((heard * right) as f32);
        }
        ears
    }
}
