//! Closed outlines of a body or a recess, for extrusion.

use std::f64::consts::{FRAC_PI_2, PI, TAU};

use glam::DVec2;

use super::Feature;

/// A part of an outline, from one node to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// Its start.
    pub at: DVec2,
    /// The class of the wall.
    pub label: Feature,
    /// The circle of an arc, counter-clockwise; `None` for a straight wall.
    pub arc: Option<Arc>,
}

/// A counter-clockwise arc.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arc {
    pub center: DVec2,
    pub radius: f64,
    /// The start angle.
    pub start: f64,
    /// The angle that it spans.
    pub sweep: f64,
}

/// A closed outline, counter-clockwise.
pub(super) type Contour = Vec<Node>;

pub(super) fn straight(at: DVec2, label: Feature) -> Node {
    Node { at, label, arc: None }
}

/// An arc that starts at an angle of a circle.
pub(super) fn arc(center: DVec2, radius: f64, start: f64, sweep: f64, label: Feature) -> Node {
    let at = center + radius * DVec2::from_angle(start);
    Node { at, label, arc: Some(Arc { center, radius, start, sweep }) }
}

/// A circle around the origin.
pub(super) fn circle(radius: f64, label: Feature) -> Contour {
    vec![arc(DVec2::ZERO, radius, 0.0, TAU, label)]
}

/// A rectangle around the origin, with rounded corners if `round` is above 0.
pub(super) fn rectangle(half: DVec2, round: f64, label: Feature) -> Contour {
    let corners = [DVec2::new(1.0, -1.0), DVec2::ONE, DVec2::new(-1.0, 1.0), -DVec2::ONE];
    let mut contour = Vec::new();
    for (quarter, corner) in corners.into_iter().enumerate() {
        let corner = half * corner;
        if round > 0.0 {
            // Each corner turns by a quarter, the first from the direction -y.
            let start = quarter as f64 * FRAC_PI_2 - FRAC_PI_2;
            let center = corner - round * corner.signum();
            contour.push(arc(center, round, start, FRAC_PI_2, label));
            contour.push(straight(center + round * DVec2::from_angle(start + FRAC_PI_2), label));
        } else {
            contour.push(straight(corner, label));
        }
    }
    contour
}

/// A rectangle around the origin, along x, with half circles at its ends.
pub(super) fn obround(half_length: f64, radius: f64, label: Feature) -> Contour {
    let center = DVec2::new(half_length - radius, 0.0);
    let (right, left) =
        (arc(center, radius, -FRAC_PI_2, PI, label), arc(-center, radius, FRAC_PI_2, PI, label));
    let above = straight(center + DVec2::new(0.0, radius), label);
    let below = straight(-center - DVec2::new(0.0, radius), label);
    vec![right, above, left, below]
}
