//! Targets of a face: points of its unit square with the signed distance to its boundary, with more
//! points near the boundary (paper, section 3.2).

use bauta_streams::RandomStream;
use glam::DVec2;

use super::trim::WITHOUT_BOUNDARY;
use crate::BrepError;

/// How far candidates extend beyond the unit square, on each side.
pub const OVERHANG: f64 = 0.1;

/// How targets are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Candidates per face, uniform in [-0.1, 1.1]².
    pub candidates: usize,
    /// Number of candidates that are kept.
    pub kept: usize,
    /// The fraction of the kept ones that are the nearest to the boundary, in [0, 1]; the others
    /// are drawn from the rest.
    pub near: f64,
}

/// A point of the unit square and its signed distance, negative inside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// (a, b).
    pub unit: DVec2,
    /// The signed distance.
    pub distance: f64,
}

impl Default for Sampling {
    /// A thousand candidates and 200 kept, 40 % of these near the boundary, as in the paper.
    fn default() -> Self {
        Self { candidates: 1000, kept: 200, near: 0.4 }
    }
}

impl Sampling {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`BrepError::Setting`] for the first invalid one.
    pub fn check(&self) -> Result<(), BrepError> {
        let refuse = |key, value: String, rule| Err(BrepError::Setting { key, value, rule });
        if self.kept == 0 || self.kept > self.candidates {
            return refuse("kept", self.kept.to_string(), "must be in 1..=candidates");
        }
        if !(0.0..=1.0).contains(&self.near) {
            return refuse("near", self.near.to_string(), "must be in [0, 1]");
        }
        Ok(())
    }

    /// Draws candidates, uniform in [-0.1, 1.1]².
    pub fn candidates(&self, stream: &mut RandomStream) -> Vec<DVec2> {
        let mut draw = || stream.uniform_in(-OVERHANG, 1.0 + OVERHANG);
        (0..self.candidates).map(|_| DVec2::new(draw(), draw())).collect()
    }

    /// Keeps the candidates nearest to the boundary, and some of the rest.
    pub fn keep(&self, mut targets: Vec<Target>, stream: &mut RandomStream) -> Vec<Target> {
        let near = ((self.near * self.kept as f64) as usize).min(targets.len());
        let by_distance = |a: &Target, b: &Target| a.distance.abs().total_cmp(&b.distance.abs());
        if near > 0 && near < targets.len() {
            targets.select_nth_unstable_by(near - 1, by_distance);
        }
        let kept = self.kept.min(targets.len());
        for place in near..kept {
            let other = place + stream.below((targets.len() - place) as u64) as usize;
            targets.swap(place, other);
        }
        targets.truncate(kept);
        targets
    }
}

/// Signed distances for points of which it is only known whether they are inside: the distance to
/// the nearest point of the other kind. If all points are of one kind, no boundary is known, and
/// they have a constant distance.
pub fn nearest_opposite(points: &[DVec2], inside: &[bool]) -> Vec<f64> {
    let kinds = [false, true].map(|kind| Cells::of(points, |i| inside[i] == kind));
    let distance = |(point, &inside): (&DVec2, &bool)| {
        let distance = kinds[usize::from(!inside)].nearest(*point);
        match (distance.is_finite(), inside) {
            (true, true) => -distance,
            (true, false) => distance,
            (false, true) => WITHOUT_BOUNDARY,
            (false, false) => -WITHOUT_BOUNDARY,
        }
    };
    points.iter().zip(inside).map(distance).collect()
}

/// Points in a lattice of cells over [-0.1, 1.1]², row by row, for nearest-neighbour queries.
struct Cells {
    side: usize,
    /// Index of the first point of each cell, followed by the number of points.
    starts: Vec<usize>,
    points: Vec<DVec2>,
}

impl Cells {
    fn of(points: &[DVec2], chosen: impl Fn(usize) -> bool) -> Self {
        let side = ((points.len() as f64 / 2.0).sqrt() as usize).clamp(1, 128);
        let mut cells = Self { side, starts: vec![0; side * side + 1], points: Vec::new() };
        let number = |point: DVec2| {
            let [column, row] = cells.cell(point);
            row * side + column
        };
        let mut chosen: Vec<(usize, DVec2)> = (0..points.len())
            .filter(|&i| chosen(i))
            .map(|i| (number(points[i]), points[i]))
            .collect();
        chosen.sort_by_key(|(cell, _)| *cell);
        chosen.iter().for_each(|(cell, _)| cells.starts[cell + 1] += 1);
        (0..side * side).for_each(|cell| cells.starts[cell + 1] += cells.starts[cell]);
        cells.points = chosen.into_iter().map(|(_, point)| point).collect();
        cells
    }

    fn width(&self) -> f64 {
        (1.0 + 2.0 * OVERHANG) / self.side as f64
    }

    fn cell(&self, point: DVec2) -> [usize; 2] {
        let place = |x: f64| (((x + OVERHANG) / self.width()) as usize).min(self.side - 1);
        [place(point.x), place(point.y)]
    }

    /// Searches rings of cells until no nearer point is possible.
    fn nearest(&self, point: DVec2) -> f64 {
        if self.points.is_empty() {
            return f64::INFINITY;
        }
        let ([column, row], last) = (self.cell(point), self.side - 1);
        // Squared distances until the end.
        let mut nearest = f64::INFINITY;
        let mut look = |y: usize, from: usize, to: usize| {
            let first = y * self.side;
            let some = &self.points[self.starts[first + from]..self.starts[first + to + 1]];
            let near = some.iter().map(|other| other.distance_squared(point));
            nearest = near.fold(nearest, f64::min);
            nearest
        };
        for ring in 0..=last {
            let (left, right) = (column.saturating_sub(ring), (column + ring).min(last));
            let mut found = f64::INFINITY;
            for y in row.saturating_sub(ring)..=(row + ring).min(last) {
                if y.abs_diff(row) == ring {
                    found = look(y, left, right);
                    continue;
                }
                if column >= ring {
                    found = look(y, left, left);
                }
                if column + ring <= last {
                    found = look(y, right, right);
                }
            }
            if (ring as f64 * self.width()).powi(2) > found {
                break;
            }
        }
        nearest.sqrt()
    }
}
