//! The operations of RandAugment that move pixels, as Pillow computes them.

use super::operations::Planes;

/// Source of a pixel: x' = a·x + b·y + c and y' = d·x + e·y + f, in terms of the pixels' centres.
pub(super) type Affine = [f64; 6];

/// Rotation about the image's centre, counter-clockwise, in degrees.
pub(super) fn rotation(degrees: f64, height: usize, width: usize) -> Affine {
    let (sin, cos) = (-degrees.to_radians()).sin_cos();
    let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
    [cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y]
}

impl Planes<'_> {
    /// Moves pixels with bicubic interpolation; pixels from outside become `fill`, one value per
    /// channel.
    pub(super) fn warp(&mut self, affine: Affine, fill: &[u8], scratch: &mut Vec<u8>) {
        let [a, b, c, d, e, f] = affine;
        let (height, width) = (self.height, self.width);
        for (channel, plane) in self.pixels.chunks_exact_mut(height * width).enumerate() {
            scratch.clear();
            scratch.extend_from_slice(plane);
            for y in 0..height {
                for x in 0..width {
                    let (centre_x, centre_y) = (x as f64 + 0.5, y as f64 + 0.5);
                    let from_x = a * centre_x + b * centre_y + c;
                    let from_y = d * centre_x + e * centre_y + f;
                    let inside = (0.0..width as f64).contains(&from_x)
                        && (0.0..height as f64).contains(&from_y);
                    plane[y * width + x] = if inside {
                        bicubic(scratch, [height, width], from_y - 0.5, from_x - 0.5)
                    } else {
                        fill[channel]
                    };
                }
            }
        }
    }
}

/// The cubic convolution of Keys with a = −1, with the border repeated.
fn bicubic(plane: &[u8], [height, width]: [usize; 2], y: f64, x: f64) -> u8 {
    let (top, left) = (y.floor(), x.floor());
    let clip = |place: f64, side: usize| place.clamp(0.0, side as f64 - 1.0) as usize;
    let columns: [usize; 4] = std::array::from_fn(|i| clip(left + i as f64 - 1.0, width));
    let rows: [f64; 4] = std::array::from_fn(|i| {
        let row = clip(top + i as f64 - 1.0, height) * width;
        cubic(columns.map(|column| f64::from(plane[row + column])), x - left)
    });
    // The cast clips values that are out of range.
    cubic(rows, y - top) as u8
}

fn cubic([v1, v2, v3, v4]: [f64; 4], d: f64) -> f64 {
    let p2 = v3 - v1;
    let p3 = 2.0 * (v1 - v2) + v3 - v4;
    let p4 = v2 - v1 + v4 - v3;
    v2 + d * (p2 + d * (p3 + d * p4))
}
