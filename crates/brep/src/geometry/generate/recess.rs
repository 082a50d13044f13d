//! Recesses in planar faces: holes, pockets and slots, with their rims and bottoms.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI, TAU};

use glam::DVec2;

use super::Feature;
use super::builder::{Builder, Directed, Place, ring};
use super::contour::{Contour, circle};
use crate::geometry::{Frame, Surface};

/// Half the angle of a drill's tip.
const DRILL: f64 = 59.0 * PI / 180.0;

/// The end of a recess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bottom {
    /// Goes through to another planar face.
    Through(usize),
    /// A plane.
    Flat,
    /// A drill's tip, for round holes.
    Cone,
    /// A hemisphere, for round holes.
    Ball,
}

impl Bottom {
    /// Its extent below the walls of a hole of this radius.
    pub fn reach(self, radius: f64) -> f64 {
        match self {
            Self::Through(_) | Self::Flat => 0.0,
            Self::Cone => radius / DRILL.tan(),
            Self::Ball => radius,
        }
    }
}

/// The shape of a round hole's rim.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rim {
    Sharp,
    /// Cut off at 45°, by this depth.
    Chamfer(f64),
    /// Rounded with this radius.
    Fillet(f64),
}

impl Rim {
    /// Its extent beyond the hole's radius, and in depth.
    pub fn size(self) -> f64 {
        match self {
            Self::Sharp => 0.0,
            Self::Chamfer(size) | Self::Fillet(size) => size,
        }
    }
}

/// Cuts an outline into a planar face, to a depth.
pub(super) fn cut(
    builder: &mut Builder,
    host: usize,
    place: &Place,
    contour: &Contour,
    depth: f64,
    bottom: Bottom,
) {
    let walls = builder.extrude(contour, place, [0.0, depth], true);
    builder.pierce(host, ring(&walls.sides[0], false));
    let label = contour[0].label;
    let floor = ring(&walls.sides[1], true);
    match bottom {
        Bottom::Through(other) => builder.pierce(other, floor),
        _ => drop(builder.plane(-place.z(), vec![floor], label)),
    }
}

/// Drills a round hole into a planar face; `depth` is that of its walls, including the rim.
pub(super) fn drill(
    builder: &mut Builder,
    host: usize,
    place: &Place,
    radius: f64,
    depth: f64,
    (rim, bottom): (Rim, Bottom),
    label: Feature,
) {
    let walls = builder.extrude(&circle(radius, label), place, [rim.size(), depth], true);
    let (entry, end) = (walls.sides[0][0], walls.sides[1][0]);
    let entry = match rim {
        Rim::Sharp => entry,
        _ => widen(builder, place, radius, rim, entry),
    };
    builder.pierce(host, vec![(entry, false)]);
    match bottom {
        Bottom::Through(other) => builder.pierce(other, vec![(end, true)]),
        Bottom::Flat => drop(builder.plane(-place.z(), vec![vec![(end, true)]], label)),
        Bottom::Cone | Bottom::Ball => close(builder, place, radius, depth, bottom, end, label),
    }
}

/// The frame of surfaces of revolution around the hole, with the axis out of the material.
fn outwards(place: &Place, depth: f64) -> Frame {
    Frame { origin: place.point(DVec2::ZERO, depth), z: -place.z(), x: place.x }
}

/// Adds the rim between the hole's circle and a wider one in the host, and returns the wider
/// circle.
fn widen(builder: &mut Builder, place: &Place, radius: f64, rim: Rim, inner: usize) -> usize {
    let (size, wide) = (rim.size(), radius + rim.size());
    let start = builder.vertex(place.point(DVec2::new(wide, 0.0), 0.0));
    let end = builder.ends(inner)[0];
    let frame = Frame { origin: place.origin, z: place.z(), x: place.x };
    let outer = builder.arc(frame, wide, [0.0, TAU], [start, start]);
    let (seam, surface, v, label, flipped) = match rim {
        Rim::Fillet(_) => {
            let origin = place.point(DVec2::new(wide, 0.0), size);
            let round = Frame { origin, z: place.y, x: -place.z() };
            let seam = builder.arc(round, size, [0.0, FRAC_PI_2], [start, end]);
            let surface = Surface::Torus { frame: outwards(place, size), major: wide, minor: size };
            (seam, surface, [FRAC_PI_2, PI], Feature::Fillet, false)
        }
        _ => {
            let seam = builder.line(start, end);
            let frame = outwards(place, size);
            let surface = Surface::Cone { frame, radius, semi_angle: FRAC_PI_4 };
            (seam, surface, [0.0, size / FRAC_PI_4.cos()], Feature::Chamfer, true)
        }
    };
    let edges: Vec<Directed> = vec![(seam, false), (inner, false), (seam, true), (outer, true)];
    builder.turning(surface, flipped, [[0.0, TAU], v], edges, label);
    outer
}

/// Adds a drill's tip or a hemisphere below the hole's last circle.
fn close(
    builder: &mut Builder,
    place: &Place,
    radius: f64,
    depth: f64,
    bottom: Bottom,
    circle: usize,
    label: Feature,
) {
    let frame = outwards(place, depth);
    let tip = builder.vertex(place.point(DVec2::ZERO, depth + bottom.reach(radius)));
    let start = builder.ends(circle)[0];
    let (seam, surface, v) = match bottom {
        Bottom::Ball => {
            let round = Frame { origin: frame.origin, z: -place.y, x: place.x };
            let seam = builder.arc(round, radius, [0.0, FRAC_PI_2], [start, tip]);
            (seam, Surface::Sphere { frame, radius }, [-FRAC_PI_2, 0.0])
        }
        _ => {
            let surface = Surface::Cone { frame, radius, semi_angle: DRILL };
            (builder.line(start, tip), surface, [-radius / DRILL.sin(), 0.0])
        }
    };
    let edges = vec![(circle, true), (seam, false), (seam, true)];
    builder.turning(surface, true, [[0.0, TAU], v], edges, label);
}
