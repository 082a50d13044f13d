//! Trims: the exact region of a face in the unit square of its parameters.
//!
//! The square is the face's parameter box with both axes scaled to 1, so a circle in a plane
//! becomes an ellipse. The signed distance is Euclidean there, and negative inside.

mod piece;

use std::f64::consts::{FRAC_PI_2, PI};

use glam::DVec2;

use self::piece::Piece;
use super::Domain;

/// The signed distance of a face without a boundary, such as a full torus.
pub const WITHOUT_BOUNDARY: f64 = -0.1;

/// A piece of a loop, in the surface's parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Segment {
    /// A straight line.
    Line {
        /// Its start.
        from: DVec2,
        /// Its end.
        to: DVec2,
    },
    /// An arc of a circle.
    Arc {
        /// The circle's centre.
        center: DVec2,
        /// The circle's radius.
        radius: f64,
        /// The start angle, in radians.
        start: f64,
        /// The angle that it spans, in radians; negative for clockwise.
        sweep: f64,
    },
}

/// A face's region of the unit square.
#[derive(Clone, Debug)]
pub enum Trim {
    /// No boundary: a full torus.
    Everything,
    /// Bounded in v only, from 0 to 1: a full cylinder.
    Band,
    /// Inside closed loops, by the even-odd rule.
    Region(Region),
}

/// The region bounded by closed loops.
#[derive(Clone, Debug)]
pub struct Region(Vec<Piece>);

impl Trim {
    /// The region bounded by closed loops, and its parameter box.
    pub fn of_loops(loops: &[Vec<Segment>]) -> (Self, Domain) {
        let (mut low, mut high) = (DVec2::INFINITY, DVec2::NEG_INFINITY);
        for segment in loops.iter().flatten() {
            for point in segment.extremes() {
                (low, high) = (low.min(point), high.max(point));
            }
        }
        let domain = Domain { low, high };
        let pieces = loops.iter().flatten().flat_map(|segment| segment.pieces(&domain));
        (Self::Region(Region(pieces.collect())), domain)
    }

    /// The signed distance of (a, b) to the boundary.
    pub fn distance(&self, point: DVec2) -> f64 {
        match self {
            Self::Everything => WITHOUT_BOUNDARY,
            Self::Band => (-point.y).max(point.y - 1.0),
            Self::Region(region) => region.distance(point),
        }
    }
}

impl Region {
    fn distance(&self, point: DVec2) -> f64 {
        let (mut nearest, mut inside) = (f64::INFINITY, false);
        for piece in &self.0 {
            inside ^= piece.is_crossed(point);
            if piece.box_distance(point) < nearest {
                nearest = nearest.min(piece.distance(point));
            }
        }
        if inside { -nearest } else { nearest }
    }
}

impl Segment {
    /// The point at an angle of an arc.
    fn on_circle(center: DVec2, radius: f64, angle: f64) -> DVec2 {
        center + radius * DVec2::from_angle(angle)
    }

    /// The angles at which an arc is cut so that each piece lies in one quarter of the circle.
    fn cuts(start: f64, sweep: f64) -> Vec<f64> {
        let (low, high) = (start.min(start + sweep), start.max(start + sweep));
        let mut cuts = vec![low];
        let mut next = (low / FRAC_PI_2).floor() * FRAC_PI_2 + FRAC_PI_2;
        while next < high - 1e-12 {
            if next > low + 1e-12 {
                cuts.push(next);
            }
            next += FRAC_PI_2;
        }
        cuts.push(high);
        cuts
    }

    /// Points whose bounding box is that of the segment.
    fn extremes(&self) -> Vec<DVec2> {
        match *self {
            Self::Line { from, to } => vec![from, to],
            Self::Arc { center, radius, start, sweep } => {
                let cuts = Self::cuts(start, sweep).into_iter();
                cuts.map(|angle| Self::on_circle(center, radius, angle)).collect()
            }
        }
    }

    fn pieces(&self, domain: &Domain) -> Vec<Piece> {
        match *self {
            Self::Line { from, to } => vec![Piece::line(domain.unit(from), domain.unit(to))],
            Self::Arc { center, radius, start, sweep } => {
                let radii = DVec2::splat(radius) / (domain.high - domain.low);
                let (center, cuts) = (domain.unit(center), Self::cuts(start, sweep));
                cuts.windows(2).map(|cut| Piece::arc(center, radii, cut[0], cut[1])).collect()
            }
        }
    }

    /// Twice the signed area between the segment and the origin, positive for counter-clockwise.
    pub fn twice_area(&self) -> f64 {
        match *self {
            Self::Line { from, to } => from.perp_dot(to),
            Self::Arc { center, radius, start, sweep } => {
                let (end, turns) = (start + sweep, (sweep.abs() - 2.0 * PI).abs() < 1e-12);
                let (from, to) = (DVec2::from_angle(start), DVec2::from_angle(end));
                let chord = if turns { DVec2::ZERO } else { to - from };
                radius * radius * sweep + radius * center.perp_dot(chord)
            }
        }
    }
}
