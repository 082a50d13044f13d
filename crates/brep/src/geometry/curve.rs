//! Curves of edges: lines, circles and ellipses by their exact parameters.

use glam::DVec3;

use super::{Fit, Frame};

/// The curve of an edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Curve {
    /// o + t d.
    Line {
        /// o.
        origin: DVec3,
        /// d, of length 1.
        direction: DVec3,
    },
    /// o + r (cos t x + sin t y).
    Circle {
        /// Its frame; z is the axis.
        frame: Frame,
        /// r.
        radius: f64,
    },
    /// o + R cos t x + r sin t y.
    Ellipse {
        /// Its frame; z is the axis.
        frame: Frame,
        /// R, along x.
        major: f64,
        /// r, along y.
        minor: f64,
    },
    /// Any other curve; its geometry is not encoded.
    Other,
}

/// An edge: a curve between two parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edge {
    /// The curve.
    pub curve: Curve,
    /// The parameters at its start and end.
    pub range: [f64; 2],
    /// Whether the edge runs against the curve's direction.
    pub flipped: bool,
}

impl Curve {
    /// The index of its one-hot column; `None` for any other curve.
    pub fn column(&self) -> Option<usize> {
        match self {
            Self::Line { .. } => Some(0),
            Self::Circle { .. } => Some(1),
            Self::Ellipse { .. } => Some(2),
            Self::Other => None,
        }
    }

    /// The point at `t`; `None` for any other curve.
    pub fn point(&self, t: f64) -> Option<DVec3> {
        match self {
            Self::Line { origin, direction } => Some(*origin + t * *direction),
            Self::Circle { frame, radius } => Some(frame.origin + *radius * frame.around(t)),
            Self::Ellipse { frame, major, minor } => {
                Some(frame.origin + major * t.cos() * frame.x + minor * t.sin() * frame.y())
            }
            Self::Other => None,
        }
    }

    /// The same curve, with a line's origin moved to the point nearest to the part's centre, and
    /// the resulting offset of its parameters.
    pub fn canonical(self) -> (Self, f64) {
        match self {
            Self::Line { origin, direction } => {
                let along = direction.dot(origin);
                (Self::Line { origin: origin - direction * along, direction }, along)
            }
            other => (other, 0.0),
        }
    }

    /// The curve of the moved and scaled part, and the factor of its parameters.
    fn fitted(&self, fit: &Fit) -> (Self, f64) {
        let scale = fit.scale;
        match *self {
            Self::Line { origin, direction } => {
                (Self::Line { origin: fit.point(origin), direction }, scale)
            }
            Self::Circle { frame, radius } => {
                (Self::Circle { frame: frame.fitted(fit), radius: radius * scale }, 1.0)
            }
            Self::Ellipse { frame, major, minor } => {
                let (major, minor) = (major * scale, minor * scale);
                (Self::Ellipse { frame: frame.fitted(fit), major, minor }, 1.0)
            }
            Self::Other => (Self::Other, 1.0),
        }
    }
}

impl Edge {
    /// Points along the edge, equally spaced in the curve's parameter, in the edge's direction;
    /// `None` for any other curve.
    pub fn points(&self, count: usize) -> Option<Vec<DVec3>> {
        let [from, to] = if self.flipped { [self.range[1], self.range[0]] } else { self.range };
        let last = count.saturating_sub(1).max(1) as f64;
        (0..count).map(|i| self.curve.point(from + (to - from) * i as f64 / last)).collect()
    }

    pub(super) fn canonical(self) -> Self {
        let (curve, shift) = self.curve.canonical();
        Self { curve, range: self.range.map(|t| t + shift), ..self }
    }

    pub(super) fn fitted(&self, fit: &Fit) -> Self {
        let (curve, factor) = self.curve.fitted(fit);
        Self { curve, range: self.range.map(|t| t * factor), ..*self }
    }
}
