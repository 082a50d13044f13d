//! Several parts as one graph: rows are concatenated, and incidences are shifted.

use tch::{Device, Kind, Tensor};

use crate::geometry::{EDGE_WIDTH, FACE_WIDTH, LoopKind, Part, Use};

/// An incidence list with n entries: which rows bound which.
#[derive(Debug)]
pub struct Incidence {
    /// The bounding rows, i64 `[n]`.
    pub from: Tensor,
    /// The bounded rows, i64 `[n]`.
    pub to: Tensor,
    /// The flag of each entry, f32 [n, 1].
    pub flag: Tensor,
}

/// Parts as tensors; F faces, E edges, V vertices, L loops in total.
#[derive(Debug)]
pub struct GraphBatch {
    /// Features of the faces [F, 21].
    pub faces: Tensor,
    /// Features of the edges [E, 18].
    pub edges: Tensor,
    /// The vertices [V, 3].
    pub vertices: Tensor,
    /// One-hot kinds of the loops [L, 10].
    pub loops: Tensor,
    /// Vertices of edges; the flag is set at a start.
    pub vertex_edge: Incidence,
    /// Edges of faces, one entry per use; the flag is set if the edge runs backwards.
    pub edge_face: Incidence,
    /// Edges of loops, with the same flag.
    pub edge_loop: Incidence,
    /// Loops of faces; the flag is 0.
    pub loop_face: Incidence,
    /// Faces that meet at an edge, each pair in both directions; the flag is 0.
    pub face_face: Incidence,
    /// The part of each face, i64 `[F]`.
    pub part: Tensor,
    /// The class of each face, i64 `[F]`; 0 without labels.
    pub labels: Tensor,
    /// Number of parts.
    pub parts: i64,
}

/// Rows of an incidence on the host.
#[derive(Default)]
struct Entries {
    from: Vec<i64>,
    to: Vec<i64>,
    flag: Vec<f32>,
}

impl Entries {
    fn push(&mut self, from: i64, to: i64, flag: bool) {
        self.from.push(from);
        self.to.push(to);
        self.flag.push(f32::from(u8::from(flag)));
    }

    fn extend(&mut self, uses: &[Use], from: i64, to: i64) {
        let rows = uses.iter();
        rows.for_each(|it| self.push(from + i64::from(it.from), to + i64::from(it.to), it.flag));
    }

    fn incidence(&self) -> Incidence {
        Incidence {
            from: Tensor::from_slice(&self.from),
            to: Tensor::from_slice(&self.to),
            flag: Tensor::from_slice(&self.flag).view([-1, 1]),
        }
    }
}

impl GraphBatch {
    /// Combines parts into a batch, on the CPU.
    ///
    /// # Panics
    /// When there are no parts.
    pub fn of(parts: &[&Part]) -> Self {
        assert!(!parts.is_empty(), "a batch has at least one part");
        let [mut faces, mut edges, mut vertices, mut loops] = [0_i64; 4];
        let [mut vertex_edge, mut edge_face, mut edge_loop, mut loop_face, mut face_face] =
            [(); 5].map(|()| Entries::default());
        let (mut of_part, mut labels, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
        for (number, part) in parts.iter().enumerate() {
            vertex_edge.extend(&part.vertex_edge, vertices, edges);
            edge_loop.extend(&part.edge_loop, edges, loops);
            for it in &part.edge_loop {
                let face = i64::from(part.loop_face[it.to as usize]);
                edge_face.push(edges + i64::from(it.from), faces + face, it.flag);
            }
            for (own, &face) in part.loop_face.iter().enumerate() {
                loop_face.push(loops + own as i64, faces + i64::from(face), false);
            }
            for pair in &part.face_face {
                let [one, other] = pair.map(|face| faces + i64::from(face));
                face_face.push(one, other, false);
                face_face.push(other, one, false);
            }
            of_part.extend(part.faces.iter().map(|_| number as i64));
            let label = |face: usize| part.labels.get(face).map_or(0, |&label| i64::from(label));
            labels.extend((0..part.faces.len()).map(label));
            kinds.extend(part.loops.iter().map(|&kind| i64::from(kind)));
            faces += part.faces.len() as i64;
            edges += part.edges.len() as i64;
            vertices += part.vertices.len() as i64;
            loops += part.loops.len() as i64;
        }
        let rows = |of: fn(&Part) -> &[f32], width: usize| {
            let numbers: Vec<f32> = parts.iter().flat_map(|part| of(part)).copied().collect();
            Tensor::from_slice(&numbers).view([-1, width as i64])
        };
        let kinds = Tensor::from_slice(&kinds);
        Self {
            faces: rows(|part| part.faces.as_flattened(), FACE_WIDTH),
            edges: rows(|part| part.edges.as_flattened(), EDGE_WIDTH),
            vertices: rows(|part| part.vertices.as_flattened(), 3),
            loops: match loops {
                0 => Tensor::zeros([0, LoopKind::COUNT as i64], (Kind::Float, Device::Cpu)),
                _ => kinds.one_hot(LoopKind::COUNT as i64).to_kind(Kind::Float),
            },
            vertex_edge: vertex_edge.incidence(),
            edge_face: edge_face.incidence(),
            edge_loop: edge_loop.incidence(),
            loop_face: loop_face.incidence(),
            face_face: face_face.incidence(),
            part: Tensor::from_slice(&of_part),
            labels: Tensor::from_slice(&labels),
            parts: parts.len() as i64,
        }
    }

    /// The same on a device.
    pub fn to_device(&self, device: Device) -> Self {
        let moved = |it: &Incidence| Incidence {
            from: it.from.to_device(device),
            to: it.to.to_device(device),
            flag: it.flag.to_device(device),
        };
        Self {
            faces: self.faces.to_device(device),
            edges: self.edges.to_device(device),
            vertices: self.vertices.to_device(device),
            loops: self.loops.to_device(device),
            vertex_edge: moved(&self.vertex_edge),
            edge_face: moved(&self.edge_face),
            edge_loop: moved(&self.edge_loop),
            loop_face: moved(&self.loop_face),
            face_face: moved(&self.face_face),
            part: self.part.to_device(device),
            labels: self.labels.to_device(device),
            parts: self.parts,
        }
    }
}
