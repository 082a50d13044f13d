//! Surfaces of faces: the five simple kinds with their exact parameters, and any other.
//!
//! Parametrisations are those of Open CASCADE, with y = z × x of the frame: a plane is o + u x + v
//! y; the others revolve by the angle u around z, from x.

use std::f64::consts::TAU;

use glam::{DVec2, DVec3};

use super::Fit;

/// A right-handed frame; its third direction is `z × x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// Its origin.
    pub origin: DVec3,
    /// The axis of a surface of revolution or the normal of a plane; of length 1.
    pub z: DVec3,
    /// The reference direction, of length 1 and perpendicular to `z`.
    pub x: DVec3,
}

impl Frame {
    /// The third direction.
    pub fn y(&self) -> DVec3 {
        self.z.cross(self.x)
    }

    /// The direction at an angle from `x` towards `y`.
    pub fn around(&self, angle: f64) -> DVec3 {
        let (sine, cosine) = angle.sin_cos();
        cosine * self.x + sine * self.y()
    }

    /// The coordinates of a point along `x` and `y`.
    pub fn flat(&self, point: DVec3) -> DVec2 {
        let off = point - self.origin;
        DVec2::new(off.dot(self.x), off.dot(self.y()))
    }

    pub(super) fn fitted(&self, fit: &Fit) -> Self {
        Self { origin: fit.point(self.origin), ..*self }
    }
}

/// The surface of a face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Surface {
    /// o + u x + v y.
    Plane(Frame),
    /// o + r (cos u x + sin u y) + v z.
    Cylinder {
        /// Its frame; z is the axis.
        frame: Frame,
        /// r.
        radius: f64,
    },
    /// o + (r + v sin α)(cos u x + sin u y) + v cos α z.
    Cone {
        /// Its frame; z is the axis.
        frame: Frame,
        /// r, the radius at the origin.
        radius: f64,
        /// α, in radians.
        semi_angle: f64,
    },
    /// o + r cos v (cos u x + sin u y) + r sin v z.
    Sphere {
        /// Its frame.
        frame: Frame,
        /// r.
        radius: f64,
    },
    /// o + (R + r cos v)(cos u x + sin u y) + r sin v z.
    Torus {
        /// Its frame; z is the axis.
        frame: Frame,
        /// R, the radius of the tube's centre circle.
        major: f64,
        /// r, the radius of the tube.
        minor: f64,
    },
    /// Any other surface; its geometry is not encoded.
    Other,
}

/// A box of surface parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Domain {
    /// The least (u, v).
    pub low: DVec2,
    /// The greatest (u, v).
    pub high: DVec2,
}

impl Domain {
    /// The parameters (u, v) at (a, b) of the unit square.
    pub fn at(&self, unit: DVec2) -> DVec2 {
        self.low + unit * (self.high - self.low)
    }

    /// The (a, b) of parameters (u, v).
    pub fn unit(&self, uv: DVec2) -> DVec2 {
        (uv - self.low) / (self.high - self.low)
    }
}

impl Surface {
    /// Names of the kinds, in the order of the one-hot columns.
    pub const NAMES: [&'static str; 5] = ["plane", "cylinder", "cone", "sphere", "torus"];

    /// The index of its one-hot column; `None` for any other surface.
    pub fn column(&self) -> Option<usize> {
        match self {
            Self::Plane(_) => Some(0),
            Self::Cylinder { .. } => Some(1),
            Self::Cone { .. } => Some(2),
            Self::Sphere { .. } => Some(3),
            Self::Torus { .. } => Some(4),
            Self::Other => None,
        }
    }

    /// Its frame; `None` for any other surface.
    pub fn frame(&self) -> Option<&Frame> {
        match self {
            Self::Plane(frame)
            | Self::Cylinder { frame, .. }
            | Self::Cone { frame, .. }
            | Self::Sphere { frame, .. }
            | Self::Torus { frame, .. } => Some(frame),
            Self::Other => None,
        }
    }

    /// The point at (u, v); `None` for any other surface.
    pub fn point(&self, uv: DVec2) -> Option<DVec3> {
        let (u, v) = (uv.x, uv.y);
        let turned = |frame: &Frame, radius: f64, height: f64| {
            Some(frame.origin + radius * frame.around(u) + height * frame.z)
        };
        match self {
            Self::Plane(frame) => Some(frame.origin + u * frame.x + v * frame.y()),
            Self::Cylinder { frame, radius } => turned(frame, *radius, v),
            Self::Cone { frame, radius, semi_angle } => {
                turned(frame, radius + v * semi_angle.sin(), v * semi_angle.cos())
            }
            Self::Sphere { frame, radius } => turned(frame, radius * v.cos(), radius * v.sin()),
            Self::Torus { frame, major, minor } => {
                turned(frame, major + minor * v.cos(), minor * v.sin())
            }
            Self::Other => None,
        }
    }

    /// Whether a face of this domain closes on itself along u.
    pub fn is_closed_in_u(&self, domain: &Domain) -> bool {
        let turns = !matches!(self, Self::Plane(_) | Self::Other);
        turns && domain.high.x - domain.low.x > TAU - 1e-6
    }

    /// The same surface with its frame moved as near as possible to the part's centre, and the
    /// resulting offset of its parameters.
    ///
    /// A plane's origin becomes the point of the plane nearest to 0, a cylinder's the point of the
    /// axis nearest to 0. Other surfaces are unchanged. The surface's points do not move: `point`
    /// of the new one at `uv + shift` is that of the old one at `uv`.
    pub fn canonical(self) -> (Self, DVec2) {
        match self {
            Self::Plane(frame) => {
                let origin = frame.z * frame.z.dot(frame.origin);
                let moved = Frame { origin, ..frame };
                (Self::Plane(moved), moved.flat(frame.origin))
            }
            Self::Cylinder { frame, radius } => {
                let along = frame.z.dot(frame.origin);
                let frame = Frame { origin: frame.origin - frame.z * along, ..frame };
                (Self::Cylinder { frame, radius }, DVec2::new(0.0, along))
            }
            other => (other, DVec2::ZERO),
        }
    }

    /// The surface of the moved and scaled part, and the factors of its parameters.
    pub(super) fn fitted(&self, fit: &Fit) -> (Self, DVec2) {
        let scale = fit.scale;
        let (lengths, height) = (DVec2::splat(scale), DVec2::new(1.0, scale));
        match *self {
            Self::Plane(frame) => (Self::Plane(frame.fitted(fit)), lengths),
            Self::Cylinder { frame, radius } => {
                (Self::Cylinder { frame: frame.fitted(fit), radius: radius * scale }, height)
            }
            Self::Cone { frame, radius, semi_angle } => {
                let (frame, radius) = (frame.fitted(fit), radius * scale);
                (Self::Cone { frame, radius, semi_angle }, height)
            }
            Self::Sphere { frame, radius } => {
                (Self::Sphere { frame: frame.fitted(fit), radius: radius * scale }, DVec2::ONE)
            }
            Self::Torus { frame, major, minor } => {
                let (major, minor) = (major * scale, minor * scale);
                (Self::Torus { frame: frame.fitted(fit), major, minor }, DVec2::ONE)
            }
            Self::Other => (Self::Other, DVec2::ONE),
        }
    }
}
