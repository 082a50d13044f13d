//! The input of a training step: some parts, and targets drawn for each of their faces.

use tch::{Device, Tensor};

use super::{GraphBatch, field_targets};
use crate::geometry::{Part, TARGET_WIDTH};

/// Parts and targets of their faces; F faces with P targets each.
#[derive(Debug)]
pub struct SampledBatch {
    /// The parts.
    pub graph: GraphBatch,
    /// Points of the unit squares [F, P, 2].
    pub points: Tensor,
    /// The values to decode there [F, P, 4].
    pub target: Tensor,
}

impl SampledBatch {
    /// Combines parts and the targets of their faces, the same number for each face.
    pub fn of(parts: &[&Part], rows: &[[f32; TARGET_WIDTH]]) -> Self {
        let faces = parts.iter().map(|part| part.faces.len()).sum();
        let (points, target) = field_targets(rows, faces);
        Self { graph: GraphBatch::of(parts), points, target }
    }

    /// The same on a device.
    pub fn to_device(&self, device: Device) -> Self {
        Self {
            graph: self.graph.to_device(device),
            points: self.points.to_device(device),
            target: self.target.to_device(device),
        }
    }

    /// Its tensors by name.
    pub fn tensors(&self) -> Vec<(&'static str, Tensor)> {
        let GraphBatch { faces, edges, vertices, .. } = &self.graph;
        let named = [
            ("faces", faces),
            ("edges", edges),
            ("vertices", vertices),
            ("points", &self.points),
            ("target", &self.target),
        ];
        named.into_iter().map(|(name, tensor)| (name, tensor.shallow_clone())).collect()
    }
}
