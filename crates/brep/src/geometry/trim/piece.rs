//! Pieces of a boundary: line segments, and arcs of ellipses within one quadrant.

use glam::DVec2;

/// Number of angles of an arc at which the search for its nearest point starts.
const STATIONS: usize = 9;

/// A piece, which is monotonic along both axes.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Line { from: DVec2, to: DVec2 },
    Arc { center: DVec2, radii: DVec2, start: f64, end: f64, from: DVec2, to: DVec2 },
}

impl Piece {
    pub(super) fn line(from: DVec2, to: DVec2) -> Self {
        Self::Line { from, to }
    }

    /// The arc between two angles of an axis-parallel ellipse, which lie in one quadrant.
    pub(super) fn arc(center: DVec2, radii: DVec2, start: f64, end: f64) -> Self {
        let [from, to] = [start, end].map(|angle| center + radii * DVec2::from_angle(angle));
        Self::Arc { center, radii, start, end, from, to }
    }

    fn ends(&self) -> [DVec2; 2] {
        match *self {
            Self::Line { from, to } | Self::Arc { from, to, .. } => [from, to],
        }
    }

    /// A lower bound of the distance to the piece: the distance to its bounding box.
    pub(super) fn box_distance(&self, point: DVec2) -> f64 {
        let [from, to] = self.ends();
        let (low, high) = (from.min(to), from.max(to));
        (low - point).max(point - high).max(DVec2::ZERO).length()
    }

    /// Whether a ray from the point along the first axis crosses the piece.
    pub(super) fn is_crossed(&self, point: DVec2) -> bool {
        let [from, to] = self.ends();
        if (from.y <= point.y) == (to.y <= point.y) {
            return false;
        }
        let at = match *self {
            Self::Line { .. } => from.x + (to.x - from.x) * (point.y - from.y) / (to.y - from.y),
            Self::Arc { center, radii, start, end, .. } => {
                let height = (point.y - center.y) / radii.y;
                let half = (1.0 - height * height).max(0.0).sqrt() * radii.x;
                center.x + half.copysign((0.5 * (start + end)).cos())
            }
        };
        at > point.x
    }

    /// The distance of a point to the piece.
    pub(super) fn distance(&self, point: DVec2) -> f64 {
        match *self {
            Self::Line { from, to } => {
                let along = to - from;
                let share =
                    (point - from).dot(along) / along.length_squared().max(f64::MIN_POSITIVE);
                (from + along * share.clamp(0.0, 1.0)).distance(point)
            }
            Self::Arc { center, radii, start, end, .. } => {
                Ellipse { radii, off: point - center }.distance(start, end)
            }
        }
    }
}

/// A point relative to the centre of an ellipse.
struct Ellipse {
    radii: DVec2,
    off: DVec2,
}

impl Ellipse {
    /// The distance to the arc between two angles, by Newton's method around each sampled angle
    /// that is at least as near as its neighbours.
    fn distance(&self, start: f64, end: f64) -> f64 {
        let step = (end - start) / (STATIONS - 1) as f64;
        let angle = |i: usize| start + step * i as f64;
        let squared: [f64; STATIONS] = std::array::from_fn(|i| self.squared(angle(i)));
        let mut least = squared[0].min(squared[STATIONS - 1]);
        for i in 0..STATIONS {
            let (before, after) = (i.saturating_sub(1), (i + 1).min(STATIONS - 1));
            if squared[i] <= squared[before] && squared[i] <= squared[after] {
                least = least.min(self.descend(angle(i), angle(before), angle(after)));
            }
        }
        least.sqrt()
    }

    /// The smallest squared distance between two angles, by Newton's method from an angle between
    /// them.
    fn descend(&self, mut angle: f64, mut low: f64, mut high: f64) -> f64 {
        for _ in 0..40 {
            let (slope, curvature) = self.derivatives(angle);
            if slope > 0.0 {
                high = angle
            } else {
                low = angle
            }
            let newton = angle - slope / curvature;
            let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
            if (next - angle).abs() < 1e-12 {
                break;
            }
            angle = next;
        }
        self.squared(angle)
    }

    fn squared(&self, angle: f64) -> f64 {
        (self.radii * DVec2::from_angle(angle)).distance_squared(self.off)
    }

    /// Half the first and second derivatives of the squared distance with respect to the angle.
    fn derivatives(&self, angle: f64) -> (f64, f64) {
        let direction = DVec2::from_angle(angle);
        let (place, along) = (self.radii * direction, self.radii * direction.perp());
        let off = place - self.off;
        (off.dot(along), along.length_squared() - off.dot(place))
    }
}
