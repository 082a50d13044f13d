//! Shaded images of parts: each face is a lattice of points over its unit square, whose cells
//! inside the trim are drawn as triangles with a depth buffer.

use glam::{DMat3, DVec2, DVec3};

/// Supersampling factor along each side.
const FINER: usize = 2;

/// Extent of the image from its centre, in the part's units.
const REACH: f64 = 1.75;

/// Points of a face, on a lattice over its unit square.
#[derive(Clone, Debug)]
pub struct Patch {
    /// Points along a side of the lattice.
    pub side: usize,
    /// side² points, row by row.
    pub points: Vec<[f32; 3]>,
    /// Whether each point is inside the trim.
    pub inside: Vec<bool>,
    /// Red, green and blue.
    pub color: [u8; 3],
}

/// The (a, b) of a lattice's points, row by row.
pub fn lattice(side: usize) -> impl Iterator<Item = DVec2> {
    let last = (side - 1).max(1) as f64;
    (0..side * side).map(move |i| DVec2::new((i % side) as f64, (i / side) as f64) / last)
}

/// Draws faces seen from above and in front: `size`² bytes of red, then of green and of blue, row
/// by row.
pub fn shade(patches: &[Patch], size: usize) -> Vec<u8> {
    let mut canvas = Canvas::new(size * FINER);
    for patch in patches {
        canvas.patch(patch);
    }
    canvas.halved(size)
}

struct Canvas {
    side: usize,
    view: DMat3,
    colors: Vec<[f32; 3]>,
    depths: Vec<f64>,
}

impl Canvas {
    fn new(side: usize) -> Self {
        // Rows of the view matrix: right, up, towards the eye.
        let eye = DVec3::new(0.55, -0.7, 0.6).normalize();
        let right = DVec3::Z.cross(eye).normalize();
        let view = DMat3::from_cols(right, eye.cross(right), eye).transpose();
        let count = side * side;
        Self { side, view, colors: vec![[1.0; 3]; count], depths: vec![f64::NEG_INFINITY; count] }
    }

    fn patch(&mut self, patch: &Patch) {
        let seen: Vec<DVec3> = patch
            .points
            .iter()
            .map(|point| self.view * DVec3::from_array(point.map(f64::from)))
            .collect();
        let side = patch.side;
        for row in 0..side - 1 {
            for column in 0..side - 1 {
                let corners = [0, 1, side + 1, side].map(|step| row * side + column + step);
                // A cell is drawn if at least three of its corners are inside.
                if corners.iter().filter(|&&corner| patch.inside[corner]).count() >= 3 {
                    let [a, b, c, d] = corners.map(|corner| seen[corner]);
                    self.triangle([a, b, c], patch.color);
                    self.triangle([a, c, d], patch.color);
                }
            }
        }
    }

    fn triangle(&mut self, corners: [DVec3; 3], color: [u8; 3]) {
        let [a, b, c] = corners;
        let normal = (b - a).cross(c - a).normalize_or_zero();
        let light = DVec3::new(-0.4, 0.5, 0.75).normalize();
        // Both sides are lit, since a reconstruction has no inside.
        let bright = (0.35 + 0.65 * normal.dot(light).abs()) as f32;
        let shaded = color.map(|part| f32::from(part) / 255.0 * bright);
        let half = self.side as f64 / 2.0;
        let pixel =
            |point: DVec3| DVec2::new(half + point.x * half / REACH, half - point.y * half / REACH);
        let [pa, pb, pc] = corners.map(pixel);
        let area = (pb - pa).perp_dot(pc - pa);
        if area.abs() < 1e-12 || !area.is_finite() {
            return;
        }
        let (low, high) = (pa.min(pb).min(pc), pa.max(pb).max(pc));
        let range = |low: f64, high: f64| {
            let last = self.side as f64 - 1.0;
            (low.clamp(0.0, last) as usize)..=(high.clamp(0.0, last) as usize)
        };
        for y in range(low.y, high.y) {
            for x in range(low.x, high.x) {
                let at = DVec2::new(x as f64 + 0.5, y as f64 + 0.5);
                let u = (pb - at).perp_dot(pc - at) / area;
                let v = (pc - at).perp_dot(pa - at) / area;
                let w = 1.0 - u - v;
                let place = y * self.side + x;
                let depth = u * a.z + v * b.z + w * c.z;
                if u.min(v).min(w) >= -1e-9 && depth > self.depths[place] {
                    self.depths[place] = depth;
                    self.colors[place] = shaded;
                }
            }
        }
    }

    /// The image reduced to its final size, each pixel the mean of those it covers.
    fn halved(&self, size: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size * size * 3);
        let share = 255.0 / (FINER * FINER) as f32;
        for channel in 0..3 {
            for place in 0..size * size {
                let (x, y) = (place % size * FINER, place / size * FINER);
                let covered = (0..FINER * FINER).map(|i| {
                    let at = (y + i / FINER) * self.side + x + i % FINER;
                    self.colors[at][channel]
                });
                bytes.push((covered.sum::<f32>() * share).round() as u8);
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(height: f32, color: [u8; 3], inside: bool) -> Patch {
        let points = lattice(9).map(|at| [at.x as f32 - 0.5, at.y as f32 - 0.5, height]).collect();
        Patch { side: 9, points, inside: vec![inside; 81], color }
    }

    #[test]
    fn the_nearer_face_hides_the_other_and_what_is_outside_is_not_drawn() {
        let (red, blue) = ([255, 0, 0], [0, 0, 255]);
        let middle = |patches: &[Patch]| {
            let bytes = shade(patches, 64);
            [0, 1, 2].map(|channel| bytes[channel * 64 * 64 + 32 * 64 + 32])
        };
        let [r, g, b] = middle(&[square(0.1, red, true), square(-0.1, blue, true)]);
        assert!(r > 100 && g == 0 && b == 0, "{r} {g} {b}");
        let [r, g, b] = middle(&[square(0.1, red, false), square(-0.1, blue, true)]);
        assert!(r == 0 && g == 0 && b > 100, "{r} {g} {b}");
        assert_eq!(middle(&[]), [255; 3]);
    }
}
