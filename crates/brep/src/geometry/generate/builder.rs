//! Assembles a boundary: vertices, directed edges, faces with loops, and their exact trims.

use std::f64::consts::{FRAC_PI_2, TAU};

use glam::{DMat3, DVec2, DVec3};

use super::Feature;
use super::contour::Contour;
use crate::geometry::{
    Curve, Domain, Edge, Face, Frame, Graph, LoopKind, Segment, Solid, Surface, Trim, Use,
};

/// An edge in a loop, and whether the loop traverses it backwards.
pub(super) type Directed = (usize, bool);

/// The frame of an extrusion: x × y = z, the direction of extrusion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub origin: DVec3,
    pub x: DVec3,
    pub y: DVec3,
}

impl Place {
    pub fn z(&self) -> DVec3 {
        self.x.cross(self.y)
    }

    pub fn point(&self, flat: DVec2, depth: f64) -> DVec3 {
        self.origin + flat.x * self.x + flat.y * self.y + depth * self.z()
    }
}

/// A part under construction.
pub(super) struct Builder {
    /// The rotation applied to everything that is added.
    turn: DMat3,
    vertices: Vec<DVec3>,
    edges: Vec<(Edge, [usize; 2])>,
    faces: Vec<Built>,
}

/// A face; planes get their trims at the end, when all their loops are known.
struct Built {
    shape: Shape,
    label: Feature,
    loops: Vec<Vec<Directed>>,
}

enum Shape {
    /// The rotated normal, pointing out of the material.
    Plane(DVec3),
    Turning(Face, Trim),
}

/// The open walls of an extrusion.
pub(super) struct Walls {
    /// The edges along the outline at both depths, in the outline's direction.
    pub sides: [Vec<usize>; 2],
    /// The face of each node.
    pub faces: Vec<usize>,
}

/// Edges of an outline as a loop, in the outline's direction or against it.
pub(super) fn ring(side: &[usize], against: bool) -> Vec<Directed> {
    let mut ring: Vec<Directed> = side.iter().map(|&edge| (edge, against)).collect();
    if against {
        ring.reverse();
    }
    ring
}

impl Builder {
    pub fn new(turn: DMat3) -> Self {
        Self { turn, vertices: Vec::new(), edges: Vec::new(), faces: Vec::new() }
    }

    pub fn vertex(&mut self, point: DVec3) -> usize {
        self.vertices.push(self.turn * point);
        self.vertices.len() - 1
    }

    pub fn line(&mut self, from: usize, to: usize) -> usize {
        let (origin, off) = (self.vertices[from], self.vertices[to] - self.vertices[from]);
        let curve = Curve::Line { origin, direction: off.normalize() };
        let edge = Edge { curve, range: [0.0, off.length()], flipped: false };
        self.edges.push((edge, [from, to]));
        self.edges.len() - 1
    }

    /// The start and end vertices of an edge.
    pub fn ends(&self, edge: usize) -> [usize; 2] {
        self.edges[edge].1
    }

    /// An arc of a circle whose frame is given before the rotation.
    pub fn arc(&mut self, frame: Frame, radius: f64, range: [f64; 2], ends: [usize; 2]) -> usize {
        let curve = Curve::Circle { frame: self.turned(frame), radius };
        self.edges.push((Edge { curve, range, flipped: false }, ends));
        self.edges.len() - 1
    }

    /// A planar face whose normal out of the material is given before the rotation; the first loop
    /// is the outer one.
    pub fn plane(&mut self, out: DVec3, loops: Vec<Vec<Directed>>, label: Feature) -> usize {
        self.faces.push(Built { shape: Shape::Plane(self.turn * out), label, loops });
        self.faces.len() - 1
    }

    /// Cuts an inner loop into a planar face.
    pub fn pierce(&mut self, face: usize, edges: Vec<Directed>) {
        self.faces[face].loops.push(edges);
    }

    /// A face of a surface of revolution, given before the rotation, over a box of its parameters.
    pub fn turning(
        &mut self,
        surface: Surface,
        flipped: bool,
        [u, v]: [[f64; 2]; 2],
        edges: Vec<Directed>,
        label: Feature,
    ) -> usize {
        let surface = match surface {
            Surface::Cylinder { frame, radius } => {
                Surface::Cylinder { frame: self.turned(frame), radius }
            }
            Surface::Cone { frame, radius, semi_angle } => {
                Surface::Cone { frame: self.turned(frame), radius, semi_angle }
            }
            Surface::Sphere { frame, radius } => {
                Surface::Sphere { frame: self.turned(frame), radius }
            }
            Surface::Torus { frame, major, minor } => {
                Surface::Torus { frame: self.turned(frame), major, minor }
            }
            Surface::Plane(_) | Surface::Other => unreachable!("it does not turn"),
        };
        let domain = Domain { low: DVec2::new(u[0], v[0]), high: DVec2::new(u[1], v[1]) };
        let trim = if surface.is_closed_in_u(&domain) {
            Trim::Band
        } else {
            let corner = |i: usize, j: usize| DVec2::new(u[i], v[j]);
            let corners = [corner(0, 0), corner(1, 0), corner(1, 1), corner(0, 1)];
            let line = |i: usize| Segment::Line { from: corners[i], to: corners[(i + 1) % 4] };
            Trim::of_loops(&[(0..4).map(line).collect()]).0
        };
        let shape = Shape::Turning(Face { surface, flipped, domain }, trim);
        self.faces.push(Built { shape, label, loops: vec![edges] });
        self.faces.len() - 1
    }

    /// The walls of an outline between two depths. For a recess, the material is outside of the
    /// outline.
    pub fn extrude(
        &mut self,
        contour: &Contour,
        place: &Place,
        depths: [f64; 2],
        recess: bool,
    ) -> Walls {
        let rings = depths.map(|depth| -> Vec<usize> {
            contour.iter().map(|node| self.vertex(place.point(node.at, depth))).collect()
        });
        let count = contour.len();
        let uprights: Vec<usize> =
            (0..count).map(|i| self.line(rings[0][i], rings[1][i])).collect();
        let axis = place.z();
        let mut sides = [Vec::with_capacity(count), Vec::with_capacity(count)];
        for (side, (depth, ring)) in depths.into_iter().zip(&rings).enumerate() {
            for (i, node) in contour.iter().enumerate() {
                let ends = [ring[i], ring[(i + 1) % count]];
                sides[side].push(match node.arc {
                    None => self.line(ends[0], ends[1]),
                    Some(arc) => {
                        let origin = place.point(arc.center, depth);
                        let frame = Frame { origin, z: axis, x: place.x };
                        self.arc(frame, arc.radius, [arc.start, arc.start + arc.sweep], ends)
                    }
                });
            }
        }
        let mut faces = Vec::with_capacity(count);
        for (i, node) in contour.iter().enumerate() {
            let next = (i + 1) % count;
            let mut edges = vec![
                (sides[0][i], false),
                (uprights[next], false),
                (sides[1][i], true),
                (uprights[i], true),
            ];
            if recess {
                edges.reverse();
                edges.iter_mut().for_each(|(_, against)| *against = !*against);
            }
            faces.push(match node.arc {
                Some(arc) => {
                    let origin = place.point(arc.center, depths[0]);
                    let frame = Frame { origin, z: axis, x: place.x };
                    let surface = Surface::Cylinder { frame, radius: arc.radius };
                    let u = [arc.start, arc.start + arc.sweep];
                    let v = [0.0, depths[1] - depths[0]];
                    self.turning(surface, recess, [u, v], edges, node.label)
                }
                None => {
                    let along = (contour[next].at - node.at).normalize();
                    let right = along.x * place.x + along.y * place.y;
                    let out = right.cross(axis) * if recess { -1.0 } else { 1.0 };
                    self.plane(out, vec![edges], node.label)
                }
            });
        }
        Walls { sides, faces }
    }

    /// The finished part; `bounds` are given before the rotation.
    pub fn finish(self, bounds: [DVec3; 2]) -> Solid {
        let corners = bounds.map(|corner| self.turn * corner);
        let mut graph = Graph {
            faces: Vec::new(),
            edges: self.edges.iter().map(|(edge, _)| *edge).collect(),
            vertices: self.vertices.clone(),
            loops: Vec::new(),
            vertex_edge: Vec::new(),
            edge_loop: Vec::new(),
            loop_face: Vec::new(),
            bounds: [corners[0].min(corners[1]), corners[0].max(corners[1])],
        };
        for (edge, (_, ends)) in self.edges.iter().enumerate() {
            for (vertex, flag) in [(ends[0], true), (ends[1], false)] {
                graph.vertex_edge.push(Use { from: vertex as u32, to: edge as u32, flag });
            }
        }
        let (mut trims, mut labels) = (Vec::new(), Vec::new());
        for (number, built) in self.faces.iter().enumerate() {
            for (place, edges) in built.loops.iter().enumerate() {
                let to = graph.loops.len() as u32;
                graph.loops.push(if place == 0 { LoopKind::Outer } else { LoopKind::Inner });
                graph.loop_face.push(number as u32);
                let uses = edges.iter().map(|&(edge, flag)| Use { from: edge as u32, to, flag });
                graph.edge_loop.extend(uses);
            }
            let (face, trim) = match &built.shape {
                Shape::Plane(out) => self.trimmed(*out, &built.loops),
                Shape::Turning(face, trim) => (*face, trim.clone()),
            };
            graph.faces.push(face);
            trims.push(trim);
            labels.push(built.label as u32);
        }
        Solid { graph, trims, labels }
    }

    /// A planar face bounded by loops. The first non-zero component of its frame's normal is
    /// positive, so the face can be flipped.
    fn trimmed(&self, out: DVec3, loops: &[Vec<Directed>]) -> (Face, Trim) {
        let flipped = out.to_array().into_iter().find(|c| c.abs() > 1e-9).is_some_and(|c| c < 0.0);
        let z = if flipped { -out } else { out };
        let x = if z.x.abs() < 0.9 { DVec3::X } else { DVec3::Y };
        let x = (x - z * x.dot(z)).normalize();
        let (edge, against) = loops[0][0];
        let (_, ends) = &self.edges[edge];
        let frame = Frame { origin: self.vertices[ends[usize::from(against)]], z, x };
        let segments = |edges: &Vec<Directed>| -> Vec<Segment> {
            edges.iter().map(|&edge| self.segment(&frame, edge)).collect()
        };
        let (trim, domain) = Trim::of_loops(&loops.iter().map(segments).collect::<Vec<_>>());
        (Face { surface: Surface::Plane(frame), flipped, domain }, trim)
    }

    /// An edge of a planar face, in the face's parameters.
    fn segment(&self, plane: &Frame, (edge, against): Directed) -> Segment {
        let (edge, ends) = &self.edges[edge];
        let [from, to] = if against { [ends[1], ends[0]] } else { *ends };
        match edge.curve {
            Curve::Circle { frame, radius } => {
                let side = if frame.z.dot(plane.z) > 0.0 { 1.0 } else { -1.0 };
                let side = if against { -side } else { side };
                let sweep = side * (edge.range[1] - edge.range[0]);
                let center = plane.flat(frame.origin);
                let start = (plane.flat(self.vertices[from]) - center).to_angle();
                // Multiples of a quarter turn are made exact, so that arcs are cut at their
                // extremes.
                let quarters = start / FRAC_PI_2;
                let near = (quarters - quarters.round()).abs() < 1e-9;
                let start = if near { quarters.round() * FRAC_PI_2 } else { start };
                let whole = (sweep.abs() - TAU).abs() < 1e-9;
                let sweep = if whole { TAU.copysign(sweep) } else { sweep };
                Segment::Arc { center, radius, start, sweep }
            }
            _ => {
                let [from, to] = [from, to].map(|end| plane.flat(self.vertices[end]));
                Segment::Line { from, to }
            }
        }
    }

    fn turned(&self, frame: Frame) -> Frame {
        let Frame { origin, z, x } = frame;
        Frame { origin: self.turn * origin, z: self.turn * z, x: self.turn * x }
    }
}
