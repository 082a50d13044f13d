//! Features: the encoder's input from a part's exact geometry (paper, section 3.1).

use glam::{DVec2, DVec3};

use super::{Curve, Domain, Edge, Face, Frame, Surface};

/// Number of a face's features: one-hot surface 5, origin 3, normal 3, axis 3, reference direction
/// 3, radius, minor radius, semi-angle, flipped.
pub const FACE_WIDTH: usize = 21;

/// Number of an edge's features: one-hot curve 3, origin 3, direction 3, axis 3, reference
/// direction 3, radius, minor radius, flipped.
pub const EDGE_WIDTH: usize = 18;

/// The features of a face of a fitted part. For any other surface, only the flag is set.
pub fn face_features(face: &Face) -> [f32; FACE_WIDTH] {
    let mut row = [0.0; FACE_WIDTH];
    if let (Some(column), Some(frame)) = (face.surface.column(), face.surface.frame()) {
        row[column] = 1.0;
        put(&mut row[5..8], frame.origin);
        let plane = matches!(face.surface, Surface::Plane(_));
        put(if plane { &mut row[8..11] } else { &mut row[11..14] }, frame.z);
        put(&mut row[14..17], frame.x);
    }
    let (radius, minor, angle) = match face.surface {
        Surface::Cylinder { radius, .. } | Surface::Sphere { radius, .. } => (radius, 0.0, 0.0),
        Surface::Cone { radius, semi_angle, .. } => (radius, 0.0, semi_angle),
        Surface::Torus { major, minor, .. } => (major, minor, 0.0),
        Surface::Plane(_) | Surface::Other => (0.0, 0.0, 0.0),
    };
    row[17..20].copy_from_slice(&[radius as f32, minor as f32, angle as f32]);
    row[20] = f32::from(u8::from(face.flipped));
    row
}

/// The features of an edge of a fitted part. For any other curve, only the flag is set.
pub fn edge_features(edge: &Edge) -> [f32; EDGE_WIDTH] {
    let mut row = [0.0; EDGE_WIDTH];
    if let Some(column) = edge.curve.column() {
        row[column] = 1.0;
    }
    let mut place = |frame: &Frame, radii: [f64; 2]| {
        put(&mut row[3..6], frame.origin);
        put(&mut row[9..12], frame.z);
        put(&mut row[12..15], frame.x);
        row[15..17].copy_from_slice(&radii.map(|radius| radius as f32));
    };
    match &edge.curve {
        Curve::Line { origin, direction } => {
            put(&mut row[3..6], *origin);
            put(&mut row[6..9], *direction);
        }
        Curve::Circle { frame, radius } => place(frame, [*radius, 0.0]),
        Curve::Ellipse { frame, major, minor } => place(frame, [*major, *minor]),
        Curve::Other => {}
    }
    row[17] = f32::from(u8::from(edge.flipped));
    row
}

/// The surface described by a face's features.
pub fn surface_of(row: &[f32; FACE_WIDTH]) -> Surface {
    let vector = |at: usize| DVec3::from_array([0, 1, 2].map(|i| f64::from(row[at + i])));
    let kind = row[..5].iter().position(|&one| one == 1.0);
    let axis = if kind == Some(0) { vector(8) } else { vector(11) };
    let frame = Frame { origin: vector(5), z: axis, x: vector(14) };
    let [radius, minor, semi_angle] = [17, 18, 19].map(|i| f64::from(row[i]));
    match kind {
        Some(0) => Surface::Plane(frame),
        Some(1) => Surface::Cylinder { frame, radius },
        Some(2) => Surface::Cone { frame, radius, semi_angle },
        Some(3) => Surface::Sphere { frame, radius },
        Some(4) => Surface::Torus { frame, major: radius, minor },
        _ => Surface::Other,
    }
}

/// A domain as four numbers: smallest u, v, largest u, v.
pub(super) fn domain_row(domain: &Domain) -> [f32; 4] {
    let Domain { low, high } = domain;
    [low.x, low.y, high.x, high.y].map(|number| number as f32)
}

/// The domain from four numbers.
pub(super) fn domain_of(row: &[f32; 4]) -> Domain {
    let [low_u, low_v, high_u, high_v] = row.map(f64::from);
    Domain { low: DVec2::new(low_u, low_v), high: DVec2::new(high_u, high_v) }
}

fn put(columns: &mut [f32], vector: DVec3) {
    columns.copy_from_slice(&vector.to_array().map(|number| number as f32));
}
