//! Real parts: STEP and BREP files, read by Open CASCADE.
//!
//! [`read`] runs the kernel in the calling process, which a broken file can crash or keep busy
//! forever. [`prepare_folder`] reads the files in separate processes with limits on time and
//! memory, so that a file that breaks its process does not affect others.

mod ffi;
mod folder;
mod labels;
mod watch;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use bauta_streams::{Purpose, StreamKey};
use glam::{DVec2, DVec3};

pub use self::ffi::{limit, version};
pub use self::folder::{PrepareOptions, Prepared, prepare_folder};
pub use self::labels::{Labels, MOST_CLASSES};
pub use self::watch::Outcome;
use crate::BrepError;
use crate::geometry::{
    Curve, Domain, Edge, Face, Frame, Graph, LoopKind, Part, Sampling, Surface, Target, Use,
    nearest_opposite, target_rows,
};

/// Maximum number of a part's faces.
pub const MOST_FACES: usize = 20_000;

/// A shape from a file, owned by the kernel.
pub struct StepShape {
    shape: ffi::Shape,
    graph: Graph,
    /// The names of the faces in a STEP file; empty strings for faces without one.
    pub names: Vec<String>,
    /// Number of solids.
    pub solids: usize,
}

/// Reads a STEP file, or a BREP file if the name ends in `.brep`.
///
/// # Errors
/// [`BrepError::Read`] for a STEP file that cannot be opened, [`BrepError::Invalid`] when the
/// kernel cannot read it, or it has no faces, too many of them or no finite bounds.
pub fn read(path: &Path) -> Result<StepShape, BrepError> {
    let brep = path.extension().is_some_and(|found| found.eq_ignore_ascii_case("brep"));
    if !brep && !begins_as_step(path)? {
        return Err(BrepError::Invalid { reason: "it is not a STEP file".to_owned() });
    }
    let shape = ffi::Shape::read(path, brep)?;
    let counts = shape.counts();
    if counts.faces > MOST_FACES {
        let reason = format!("it has {} faces; at most {MOST_FACES} are read", counts.faces);
        return Err(BrepError::Invalid { reason });
    }
    let graph = graph(&shape);
    graph.check()?;
    let names = (0..counts.faces).map(|face| shape.name(face)).collect();
    Ok(StepShape { graph, names, solids: counts.solids, shape })
}

/// Whether a file starts like a STEP file; some other files keep the kernel busy forever.
fn begins_as_step(path: &Path) -> Result<bool, BrepError> {
    const MARK: &[u8] = b"ISO-10303-21";
    let mut bytes = Vec::new();
    let file = File::open(path).and_then(|file| file.take(4096).read_to_end(&mut bytes));
    file.map_err(|source| BrepError::Read { path: path.to_owned(), source })?;
    Ok(bytes.windows(MARK.len()).any(|some| some == MARK))
}

impl StepShape {
    /// The shape's boundary.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Encodes the shape and draws its targets; distances are to the nearest candidate on the other
    /// side of the trim, as in the paper.
    ///
    /// # Errors
    /// [`BrepError::Invalid`] when the shape has no extent, or a number is not finite.
    pub fn prepare(&self, sampling: &Sampling, labels: Vec<u32>) -> Result<Part, BrepError> {
        sampling.check()?;
        let (fit, fitted) = (self.graph.fit()?, self.graph.fitted()?);
        let mut rows = Vec::with_capacity(self.graph.faces.len() * sampling.kept);
        for face in 0..self.graph.faces.len() {
            let purpose = Purpose::named("brep targets");
            let key = StreamKey { seed: 0, purpose, epoch: 0, sample: face as u64 };
            let mut stream = key.stream();
            let units = sampling.candidates(&mut stream);
            let (points, inside) = self.shape.sample(face, &units)?;
            let distances = nearest_opposite(&units, &inside);
            let place =
                |i: usize| Target { unit: DVec2::new(i as f64, 0.0), distance: distances[i] };
            let kept = sampling.keep((0..units.len()).map(place).collect(), &mut stream);
            // Up to here, targets carry the number of their candidate.
            for Target { unit, distance } in kept {
                let number = unit.x as usize;
                let target = [Target { unit: units[number], distance }];
                let row = target_rows(&target, |_| Some(fit.point(points[number])));
                rows.extend(row.into_iter().flatten());
            }
        }
        Part::new(&fitted, rows, labels)
    }
}

/// The kernel's arrays as a graph.
fn graph(shape: &ffi::Shape) -> Graph {
    let uses = |rows: Vec<[i32; 3]>| -> Vec<Use> {
        let row =
            |[from, to, flag]: [i32; 3]| Use { from: from as u32, to: to as u32, flag: flag != 0 };
        rows.into_iter().map(row).collect()
    };
    let (outer, loop_face) = shape.loops();
    let kind = |outer: i32| if outer != 0 { LoopKind::Outer } else { LoopKind::Inner };
    Graph {
        faces: shape.faces().iter().map(face).collect(),
        edges: shape.edges().iter().map(edge).collect(),
        vertices: shape.vertices().into_iter().map(DVec3::from_array).collect(),
        loops: outer.into_iter().map(kind).collect(),
        vertex_edge: uses(shape.vertex_edge()),
        edge_loop: uses(shape.edge_loop()),
        loop_face: loop_face.into_iter().map(|face| face as u32).collect(),
        bounds: shape.bounds(),
    }
}

fn vector(row: &[f64]) -> DVec3 {
    DVec3::new(row[0], row[1], row[2])
}

/// From kind, flipped, origin, z, x, three sizes, domain.
fn face(row: &[f64; ffi::FACE]) -> Face {
    let frame = Frame { origin: vector(&row[2..]), z: vector(&row[5..]), x: vector(&row[8..]) };
    let [radius, minor, semi_angle] = [row[11], row[12], row[13]];
    let surface = match row[0] as u32 {
        0 => Surface::Plane(frame),
        1 => Surface::Cylinder { frame, radius },
        2 => Surface::Cone { frame, radius, semi_angle },
        3 => Surface::Sphere { frame, radius },
        4 => Surface::Torus { frame, major: radius, minor },
        _ => Surface::Other,
    };
    let domain = Domain { low: DVec2::new(row[14], row[15]), high: DVec2::new(row[16], row[17]) };
    Face { surface, flipped: row[1] != 0.0, domain }
}

/// From kind, flipped, origin, z, x, two sizes, range.
fn edge(row: &[f64; ffi::EDGE]) -> Edge {
    let frame = Frame { origin: vector(&row[2..]), z: vector(&row[5..]), x: vector(&row[8..]) };
    let curve = match row[0] as u32 {
        0 => Curve::Line { origin: frame.origin, direction: frame.z },
        1 => Curve::Circle { frame, radius: row[11] },
        2 => Curve::Ellipse { frame, major: row[11], minor: row[12] },
        _ => Curve::Other,
    };
    Edge { curve, range: [row[13], row[14]], flipped: row[1] != 0.0 }
}
