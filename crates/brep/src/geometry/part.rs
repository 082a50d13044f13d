//! A prepared part: features, incidence, labels and targets, as used for training.

use std::path::Path;

use bauta_files::write_whole;
use bauta_streams::RandomStream;
use glam::DVec2;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::features::{domain_of, domain_row};
use super::{
    EDGE_WIDTH, FACE_WIDTH, Graph, LoopKind, Surface, Target, Use, edge_features, face_features,
    surface_of,
};
use crate::BrepError;

/// Number of a target's values: a, b, x, y, z, d.
pub const TARGET_WIDTH: usize = 6;

/// Maximum size of a part's file; 20,000 faces with 500 targets each are smaller.
const MOST_BYTES: u64 = 1 << 28;

/// More bytes than the description of the arrays takes in a file.
const HEADER_BYTES: u64 = 1 << 12;

/// A part in [-1, 1]³ with all data for training; F faces, E edges, V vertices.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// [`face_features`] of each face.
    pub faces: Vec<[f32; FACE_WIDTH]>,
    /// [`edge_features`] of each edge.
    pub edges: Vec<[f32; EDGE_WIDTH]>,
    /// The vertices.
    pub vertices: Vec<[f32; 3]>,
    /// The kind of each loop, by [`LoopKind`] number.
    pub loops: Vec<u8>,
    /// Vertices of edges; the flag is set at an edge's start.
    pub vertex_edge: Vec<Use>,
    /// Edges of loops; the flag is set if the edge runs against the loop.
    pub edge_loop: Vec<Use>,
    /// The face of each loop.
    pub loop_face: Vec<u32>,
    /// Pairs of faces that meet at an edge.
    pub face_face: Vec<[u32; 2]>,
    /// The parameter box of each face: smallest u, v, largest u, v.
    pub domains: Vec<[f32; 4]>,
    /// The targets of all faces in order, the same number for each.
    pub targets: Vec<[f32; TARGET_WIDTH]>,
    /// The class of each face; empty without labels.
    pub labels: Vec<u32>,
}

impl Part {
    /// Encodes a fitted part; `targets` are those of all faces with the corresponding points, the
    /// same number for each face.
    pub fn new(
        fitted: &Graph,
        targets: Vec<[f32; TARGET_WIDTH]>,
        labels: Vec<u32>,
    ) -> Result<Self, BrepError> {
        let vertices = fitted.vertices.iter();
        let part = Self {
            faces: fitted.faces.iter().map(face_features).collect(),
            edges: fitted.edges.iter().map(edge_features).collect(),
            vertices: vertices.map(|vertex| vertex.as_vec3().to_array()).collect(),
            loops: fitted.loops.iter().map(|&kind| kind as u8).collect(),
            vertex_edge: fitted.vertex_edge.clone(),
            edge_loop: fitted.edge_loop.clone(),
            loop_face: fitted.loop_face.clone(),
            face_face: fitted.face_face(),
            domains: fitted.faces.iter().map(|face| domain_row(&face.domain)).collect(),
            targets,
            labels,
        };
        part.check()?;
        Ok(part)
    }

    /// Number of targets per face.
    pub fn targets_per_face(&self) -> usize {
        self.targets.len() / self.faces.len().max(1)
    }

    /// The targets of a face.
    pub fn targets_of(&self, face: usize) -> &[[f32; TARGET_WIDTH]] {
        let count = self.targets_per_face();
        &self.targets[face * count..(face + 1) * count]
    }

    /// Draws `count` targets per face, without repetition if there are enough.
    pub fn draw_targets(
        &self,
        count: usize,
        stream: &mut RandomStream,
    ) -> Vec<[f32; TARGET_WIDTH]> {
        let mut rows = Vec::with_capacity(count * self.faces.len());
        for face in 0..self.faces.len() {
            let own = self.targets_of(face);
            let mut order: Vec<usize> = (0..own.len()).collect();
            for place in 0..count {
                let first = if place < own.len() { place } else { 0 };
                let chosen = first + stream.below((own.len() - first) as u64) as usize;
                order.swap(first, chosen);
                rows.push(own[order[first]]);
            }
        }
        rows
    }

    /// The name of a face's surface.
    pub fn surface_name(&self, face: usize) -> &'static str {
        surface_of(&self.faces[face]).column().map_or("other", |column| Surface::NAMES[column])
    }

    /// The point of a face at (a, b), on its surface if that is of a simple kind, else at the
    /// nearest target; and the signed distance there, the mean of the targets' distances weighted
    /// by the inverse fourth power of how far they are.
    pub fn look_up(&self, face: usize, unit: DVec2) -> ([f32; 3], f32) {
        let (mut nearest, mut least) = ([0.0; 3], f64::INFINITY);
        let (mut sum, mut weights) = (0.0, 0.0);
        for &[a, b, x, y, z, distance] in self.targets_of(face) {
            let far = DVec2::new(f64::from(a), f64::from(b)).distance_squared(unit);
            let weight = (far + 1e-9).powi(-2);
            sum += weight * f64::from(distance);
            weights += weight;
            if far < least {
                (nearest, least) = ([x, y, z], far);
            }
        }
        let surface = surface_of(&self.faces[face]);
        let point = surface.point(domain_of(&self.domains[face]).at(unit));
        let point = point.map_or(nearest, |point| point.as_vec3().to_array());
        (point, (sum / weights) as f32)
    }

    /// Checks that all data are consistent, so that later code that uses them cannot fail.
    ///
    /// # Errors
    /// [`BrepError::Invalid`] with the inconsistency.
    pub fn check(&self) -> Result<(), BrepError> {
        let invalid = |reason: &str| Err(BrepError::Invalid { reason: reason.to_owned() });
        let [faces, edges, vertices, loops] =
            [self.faces.len(), self.edges.len(), self.vertices.len(), self.loops.len()];
        if faces == 0 {
            return invalid("it has no face");
        }
        let within = |list: &[Use], from: usize, to: usize| {
            list.iter().all(|it| (it.from as usize) < from && (it.to as usize) < to)
        };
        let named = |list: &[u32]| list.iter().all(|&face| (face as usize) < faces);
        if !within(&self.vertex_edge, vertices, edges)
            || !within(&self.edge_loop, edges, loops)
            || !named(&self.loop_face)
            || !named(self.face_face.as_flattened())
            || self.loop_face.len() != loops
        {
            return invalid("an incidence refers to an element that does not exist");
        }
        if self.loops.iter().any(|&kind| usize::from(kind) >= LoopKind::COUNT) {
            return invalid("a loop has an unknown kind");
        }
        if self.targets.is_empty()
            || !self.targets.len().is_multiple_of(faces)
            || self.domains.len() != faces
        {
            return invalid("its faces have different numbers of targets");
        }
        if !self.labels.is_empty() && self.labels.len() != faces {
            let reason = format!("it has {} labels for {faces} faces", self.labels.len());
            return Err(BrepError::Invalid { reason });
        }
        let numbers = [
            self.faces.as_flattened(),
            self.edges.as_flattened(),
            self.vertices.as_flattened(),
            self.domains.as_flattened(),
            self.targets.as_flattened(),
        ];
        if !numbers.into_iter().flatten().all(|number| number.is_finite()) {
            return invalid("a number is not finite");
        }
        Ok(())
    }

    /// Bytes of all arrays in a file.
    fn bytes(&self) -> u64 {
        let floats = FACE_WIDTH * self.faces.len()
            + EDGE_WIDTH * self.edges.len()
            + 3 * self.vertices.len()
            + 4 * self.domains.len()
            + TARGET_WIDTH * self.targets.len();
        let uses = 3 * (self.vertex_edge.len() + self.edge_loop.len());
        let integers = uses + self.loop_face.len() + 2 * self.face_face.len() + self.labels.len();
        (4 * (floats + integers) + self.loops.len()) as u64
    }

    /// Writes the part, atomically.
    ///
    /// # Errors
    /// [`BrepError::Invalid`] when the file would be too large to be read, [`BrepError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), BrepError> {
        if self.bytes() + HEADER_BYTES > MOST_BYTES {
            let (megabytes, most) = (self.bytes() >> 20, MOST_BYTES >> 20);
            let targets = self.targets_per_face();
            let reason = format!(
                "its file would have {megabytes} MiB, and at most {most} MiB are read; keep fewer \
                 targets per face than {targets}"
            );
            return Err(BrepError::Invalid { reason });
        }
        let floats = |numbers: &[f32]| -> Vec<u8> {
            numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
        };
        let integers = |numbers: Vec<u32>| -> Vec<u8> {
            numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
        };
        let uses = |list: &[Use]| {
            integers(list.iter().flat_map(|it| [it.from, it.to, u32::from(it.flag)]).collect())
        };
        use Dtype::{F32, U8, U32};
        let entries: [(&str, Dtype, usize, Vec<u8>); 11] = [
            ("faces", F32, FACE_WIDTH, floats(self.faces.as_flattened())),
            ("edges", F32, EDGE_WIDTH, floats(self.edges.as_flattened())),
            ("vertices", F32, 3, floats(self.vertices.as_flattened())),
            ("loops", U8, 1, self.loops.clone()),
            ("vertex_edge", U32, 3, uses(&self.vertex_edge)),
            ("edge_loop", U32, 3, uses(&self.edge_loop)),
            ("loop_face", U32, 1, integers(self.loop_face.clone())),
            ("face_face", U32, 2, integers(self.face_face.as_flattened().to_vec())),
            ("domains", F32, 4, floats(self.domains.as_flattened())),
            ("targets", F32, TARGET_WIDTH, floats(self.targets.as_flattened())),
            ("labels", U32, 1, integers(self.labels.clone())),
        ];
        let views = entries.iter().map(|(name, kind, width, bytes)| {
            let size = if *kind == U8 { 1 } else { 4 };
            let shape = vec![bytes.len() / size / width, *width];
            (*name, TensorView::new(*kind, shape, bytes).expect("the bytes fill the shape"))
        });
        let bytes = safetensors::serialize(views, None).expect("names and shapes are sound");
        write_whole(path, &bytes)
            .map_err(|source| BrepError::Write { path: path.to_owned(), source })
    }

    /// Reads and checks a part.
    ///
    /// # Errors
    /// [`BrepError::Read`], and [`BrepError::File`] when the file does not contain a part.
    pub fn read(path: &Path) -> Result<Self, BrepError> {
        let read = |source| BrepError::Read { path: path.to_owned(), source };
        let foreign = |reason: String| BrepError::File { path: path.to_owned(), reason };
        if std::fs::metadata(path).map_err(read)?.len() > MOST_BYTES {
            return Err(foreign(format!("it is larger than {MOST_BYTES} bytes")));
        }
        let bytes = std::fs::read(path).map_err(read)?;
        let tensors =
            SafeTensors::deserialize(&bytes).map_err(|error| foreign(error.to_string()))?;
        let part = Reader(&tensors).part().map_err(foreign)?;
        part.check().map_err(|error| foreign(error.to_string()))?;
        Ok(part)
    }
}

/// The arrays of a part in a file.
struct Reader<'a>(&'a SafeTensors<'a>);

impl Reader<'_> {
    fn part(&self) -> Result<Part, String> {
        Ok(Part {
            faces: self.floats("faces")?,
            edges: self.floats("edges")?,
            vertices: self.floats("vertices")?,
            loops: self.bytes("loops", Dtype::U8, 1)?.to_vec(),
            vertex_edge: self.uses("vertex_edge")?,
            edge_loop: self.uses("edge_loop")?,
            loop_face: self.integers::<1>("loop_face")?.into_flattened(),
            face_face: self.integers("face_face")?,
            domains: self.floats("domains")?,
            targets: self.floats("targets")?,
            labels: self.integers::<1>("labels")?.into_flattened(),
        })
    }

    fn bytes(&self, name: &str, kind: Dtype, width: usize) -> Result<&[u8], String> {
        let tensor = self.0.tensor(name).map_err(|_| format!("it has no tensor {name}"))?;
        let (found, shape) = (tensor.dtype(), tensor.shape());
        if found != kind || shape.len() != 2 || shape[1] != width {
            return Err(format!("{name} is {found:?} {shape:?}; it must be {kind:?} [N, {width}]"));
        }
        Ok(tensor.data())
    }

    fn rows<T: Copy + Default, const N: usize>(
        &self,
        name: &str,
        kind: Dtype,
        number: impl Fn([u8; 4]) -> T,
    ) -> Result<Vec<[T; N]>, String> {
        let bytes = self.bytes(name, kind, N)?;
        let row = |bytes: &[u8]| {
            let mut row = [T::default(); N];
            for (place, bytes) in row.iter_mut().zip(bytes.chunks_exact(4)) {
                *place = number([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
            row
        };
        Ok(bytes.chunks_exact(4 * N).map(row).collect())
    }

    fn floats<const N: usize>(&self, name: &str) -> Result<Vec<[f32; N]>, String> {
        self.rows(name, Dtype::F32, f32::from_le_bytes)
    }

    fn integers<const N: usize>(&self, name: &str) -> Result<Vec<[u32; N]>, String> {
        self.rows(name, Dtype::U32, u32::from_le_bytes)
    }

    fn uses(&self, name: &str) -> Result<Vec<Use>, String> {
        let rows = self.integers::<3>(name)?.into_iter();
        Ok(rows.map(|[from, to, flag]| Use { from, to, flag: flag != 0 }).collect())
    }
}

/// Rows of targets: a point of the unit square, its position in space and its signed distance.
pub fn target_rows(
    targets: &[Target],
    point: impl Fn(DVec2) -> Option<glam::DVec3>,
) -> Option<Vec<[f32; TARGET_WIDTH]>> {
    let row = |target: &Target| {
        let [a, b] = target.unit.to_array();
        let [x, y, z] = point(target.unit)?.to_array();
        Some([a, b, x, y, z, target.distance].map(|number| number as f32))
    };
    targets.iter().map(row).collect()
}
