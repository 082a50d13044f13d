//! Exact geometry of solids, for tests: nearest points, areas, solids in other units, turned ones.

use bauta_brep::geometry::{Curve, Domain, Face, Frame, Graph, Solid, Surface};
use glam::{DVec2, DVec3};

/// The (u, v) of a surface's point nearest to a point, and the distance between them.
pub fn project(surface: &Surface, domain: &Domain, point: DVec3) -> (DVec2, f64) {
    let frame = surface.frame().unwrap();
    let off = point - frame.origin;
    let (x, y, height) = (off.dot(frame.x), off.dot(frame.y()), off.dot(frame.z));
    let turn =
        |angle: f64, low: f64| low + (angle - low + 1e-9).rem_euclid(std::f64::consts::TAU) - 1e-9;
    let u = turn(y.atan2(x), domain.low.x);
    let around = x.hypot(y);
    let uv = match *surface {
        Surface::Plane(_) => DVec2::new(x, y),
        Surface::Cylinder { .. } => DVec2::new(u, height),
        Surface::Cone { radius, semi_angle, .. } => {
            DVec2::new(u, (around - radius) * semi_angle.sin() + height * semi_angle.cos())
        }
        Surface::Sphere { .. } => DVec2::new(u, height.atan2(around)),
        Surface::Torus { major, .. } => DVec2::new(u, height.atan2(around - major)),
        Surface::Other => unreachable!(),
    };
    (uv, surface.point(uv).unwrap().distance(point))
}

/// The loops of a face of a graph.
pub fn graph_loops(graph: &Graph, face: &Face) -> Vec<usize> {
    let number = graph.faces.iter().position(|other| std::ptr::eq(other, face)).unwrap();
    (0..graph.loops.len()).filter(|&i| graph.loop_face[i] as usize == number).collect()
}

/// The area of a planar face, from the points of its edges.
pub fn area(graph: &Graph, face: &Face, loops: &[usize]) -> f64 {
    let frame = face.surface.frame().unwrap();
    let mut twice = 0.0;
    for it in graph.edge_loop.iter().filter(|it| loops.contains(&(it.to as usize))) {
        let edge = &graph.edges[it.from as usize];
        let straight = matches!(edge.curve, Curve::Line { .. });
        let mut points = edge.points(if straight { 2 } else { 2000 }).unwrap();
        if it.flag {
            points.reverse();
        }
        let flat: Vec<DVec2> = points.into_iter().map(|point| frame.flat(point)).collect();
        twice += flat.windows(2).map(|pair| pair[0].perp_dot(pair[1])).sum::<f64>();
    }
    // Loops run around the normal out of the material.
    0.5 * if face.flipped { -twice } else { twice }
}

/// The solid in other units and at another position.
pub fn moved(solid: &Solid, scale: f64, shift: DVec3) -> Solid {
    let mut moved = solid.clone();
    let point = |it: &mut DVec3| *it = *it * scale + shift;
    moved.graph.vertices.iter_mut().for_each(point);
    moved.graph.bounds.iter_mut().for_each(point);
    for face in &mut moved.graph.faces {
        let factor = match &mut face.surface {
            Surface::Plane(frame) => {
                point(&mut frame.origin);
                DVec2::splat(scale)
            }
            Surface::Cylinder { frame, radius } | Surface::Cone { frame, radius, .. } => {
                point(&mut frame.origin);
                *radius *= scale;
                DVec2::new(1.0, scale)
            }
            Surface::Sphere { frame, radius } => {
                point(&mut frame.origin);
                *radius *= scale;
                DVec2::ONE
            }
            Surface::Torus { frame, major, minor } => {
                point(&mut frame.origin);
                *major *= scale;
                *minor *= scale;
                DVec2::ONE
            }
            Surface::Other => unreachable!(),
        };
        face.domain.low *= factor;
        face.domain.high *= factor;
    }
    for edge in &mut moved.graph.edges {
        match &mut edge.curve {
            Curve::Line { origin, .. } => {
                point(origin);
                edge.range = edge.range.map(|t| t * scale);
            }
            Curve::Circle { frame, radius } => {
                point(&mut frame.origin);
                *radius *= scale;
            }
            _ => unreachable!(),
        }
    }
    moved
}

/// A vector turned by 90 degrees around the z axis.
pub fn quarter_turn(it: DVec3) -> DVec3 {
    DVec3::new(-it.y, it.x, it.z)
}

/// The solid turned by 90 degrees around the z axis.
pub fn turned(solid: &Solid) -> Solid {
    let mut turned = solid.clone();
    let turn = |it: &mut DVec3| *it = quarter_turn(*it);
    let turn_frame = |frame: &mut Frame| {
        [&mut frame.origin, &mut frame.z, &mut frame.x].into_iter().for_each(turn);
    };
    turned.graph.vertices.iter_mut().for_each(turn);
    let [one, other] = turned.graph.bounds.map(quarter_turn);
    turned.graph.bounds = [one.min(other), one.max(other)];
    for face in &mut turned.graph.faces {
        match &mut face.surface {
            Surface::Plane(frame)
            | Surface::Cylinder { frame, .. }
            | Surface::Cone { frame, .. }
            | Surface::Sphere { frame, .. }
            | Surface::Torus { frame, .. } => turn_frame(frame),
            Surface::Other => unreachable!(),
        }
    }
    for edge in &mut turned.graph.edges {
        match &mut edge.curve {
            Curve::Line { origin, direction } => [origin, direction].into_iter().for_each(turn),
            Curve::Circle { frame, .. } => turn_frame(frame),
            _ => unreachable!(),
        }
    }
    turned
}
