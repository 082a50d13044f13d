//! A part as a graph: faces, loops, edges and vertices, and their incidence.

use glam::{DVec2, DVec3};

use super::{Domain, Edge, Surface};
use crate::BrepError;

/// A face: a part of a surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Face {
    /// The surface.
    pub surface: Surface,
    /// Whether the face's normal, pointing out of the material, opposes the surface's.
    pub flipped: bool,
    /// The box of the surface's parameters that bounds the face.
    pub domain: Domain,
}

/// Kinds of loops, in the order of the one-hot columns; some CAD kernels, though not Open CASCADE,
/// distinguish more than outer and inner ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LoopKind {
    /// A single vertex.
    Vertex,
    /// A wire.
    Wire,
    /// The outer boundary.
    Outer,
    /// The boundary of a hole.
    Inner,
    /// A loop that winds around a periodic surface.
    Winding,
    /// An inner loop at a singular point.
    InnerSingular,
    /// Probably an outer boundary.
    LikelyOuter,
    /// Probably an inner boundary.
    LikelyInner,
    /// A loop whose kind cannot be determined.
    Unclear,
    /// A loop that the kernel considers invalid.
    Error,
}

impl LoopKind {
    /// The number of kinds.
    pub const COUNT: usize = 10;
}

/// A row of an incidence list: one element that bounds another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The bounding element.
    pub from: u32,
    /// The bounded element.
    pub to: u32,
    /// For a vertex of an edge: it is the start. For an edge in a loop: it runs against the loop.
    pub flag: bool,
}

/// A part's boundary, in the coordinates of its file or generator.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// The faces.
    pub faces: Vec<Face>,
    /// The edges.
    pub edges: Vec<Edge>,
    /// The vertices.
    pub vertices: Vec<DVec3>,
    /// The loops.
    pub loops: Vec<LoopKind>,
    /// Vertices of edges; a closed edge has the same one twice.
    pub vertex_edge: Vec<Use>,
    /// Edges of loops, in the order of each loop; a seam is twice in one.
    pub edge_loop: Vec<Use>,
    /// The face of each loop.
    pub loop_face: Vec<u32>,
    /// The smallest and the largest coordinates.
    pub bounds: [DVec3; 2],
}

/// The map of a part into [-1, 1]³: a shift, then a scaling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Added to each point.
    pub shift: DVec3,
    /// Factor of the shifted points.
    pub scale: f64,
}

impl Fit {
    /// Maps a point.
    pub fn point(&self, point: DVec3) -> DVec3 {
        (point + self.shift) * self.scale
    }
}

impl Graph {
    /// Checks that every index refers to an existing element, and that all coordinates are finite.
    ///
    /// # Errors
    /// [`BrepError::Invalid`].
    pub fn check(&self) -> Result<(), BrepError> {
        let invalid = |reason: String| Err(BrepError::Invalid { reason });
        if self.faces.is_empty() {
            return invalid("it has no face".to_owned());
        }
        let lists = [
            ("vertex", &self.vertex_edge, self.vertices.len(), self.edges.len()),
            ("edge", &self.edge_loop, self.edges.len(), self.loops.len()),
        ];
        for (what, list, from, to) in lists {
            if list.iter().any(|it| it.from as usize >= from || it.to as usize >= to) {
                return invalid(format!("a {what} refers to an element that does not exist"));
            }
        }
        let lost = |face: &u32| *face as usize >= self.faces.len();
        if self.loop_face.len() != self.loops.len() || self.loop_face.iter().any(lost) {
            return invalid("a loop belongs to no face".to_owned());
        }
        if !self.vertices.iter().chain(&self.bounds).all(|point| point.is_finite()) {
            return invalid("a coordinate is not finite".to_owned());
        }
        Ok(())
    }

    /// The map of the part into [-1, 1]³.
    ///
    /// # Errors
    /// [`BrepError::Invalid`] when it has no extent.
    pub fn fit(&self) -> Result<Fit, BrepError> {
        let [low, high] = self.bounds;
        let extent = (high - low).max_element();
        if !(extent > 0.0 && extent.is_finite()) {
            let reason = format!("its extent is {extent}; it must be above 0 and finite");
            return Err(BrepError::Invalid { reason });
        }
        Ok(Fit { shift: -0.5 * (low + high), scale: 2.0 / extent })
    }

    /// The part in [-1, 1]³, with surfaces and curves in canonical form.
    ///
    /// # Errors
    /// As [`Self::fit`].
    pub fn fitted(&self) -> Result<Self, BrepError> {
        let fit = self.fit()?;
        let face = |face: &Face| {
            let (surface, factor) = face.surface.fitted(&fit);
            let (surface, shift) = surface.canonical();
            let at = |uv: DVec2| uv * factor + shift;
            let domain = Domain { low: at(face.domain.low), high: at(face.domain.high) };
            Face { surface, domain, ..*face }
        };
        Ok(Self {
            faces: self.faces.iter().map(face).collect(),
            edges: self.edges.iter().map(|edge| edge.fitted(&fit).canonical()).collect(),
            vertices: self.vertices.iter().map(|&vertex| fit.point(vertex)).collect(),
            bounds: self.bounds.map(|corner| fit.point(corner)),
            ..self.clone()
        })
    }

    /// Edges of faces: one row for each occurrence of an edge in a loop of the face.
    pub fn edge_face(&self) -> Vec<Use> {
        let face = |it: &Use| Use { to: self.loop_face[it.to as usize], ..*it };
        self.edge_loop.iter().map(face).collect()
    }

    /// Pairs of faces that meet at an edge, one pair per edge; a seam pairs a face with itself. If
    /// more than two faces share an edge, each is paired with the next.
    pub fn face_face(&self) -> Vec<[u32; 2]> {
        let mut faces_of: Vec<Vec<u32>> = vec![Vec::new(); self.edges.len()];
        for it in self.edge_face() {
            faces_of[it.from as usize].push(it.to);
        }
        let pairs = |faces: &Vec<u32>| -> Vec<[u32; 2]> {
            faces.windows(2).map(|pair| [pair[0], pair[1]]).collect()
        };
        faces_of.iter().flat_map(pairs).collect()
    }
}
