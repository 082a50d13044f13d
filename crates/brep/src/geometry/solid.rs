//! A solid with exactly known geometry: its graph, its trims and the class of each face.

use bauta_streams::RandomStream;

use super::part::{Part, target_rows};
use super::{Graph, Sampling, Target, Trim};
use crate::BrepError;

/// A solid with exactly known geometry.
#[derive(Clone, Debug)]
pub struct Solid {
    /// Its boundary.
    pub graph: Graph,
    /// The trim of each face.
    pub trims: Vec<Trim>,
    /// The class of each face.
    pub labels: Vec<u32>,
}

impl Solid {
    /// Encodes it and draws its targets, with exact distances.
    ///
    /// # Errors
    /// [`BrepError::Setting`] for an invalid sampling, [`BrepError::Invalid`] when the solid has no
    /// extent, or a face has no simple surface.
    pub fn prepare(
        &self,
        sampling: &Sampling,
        stream: &mut RandomStream,
    ) -> Result<Part, BrepError> {
        sampling.check()?;
        let fitted = self.graph.fitted()?;
        let mut rows = Vec::with_capacity(fitted.faces.len() * sampling.kept);
        for (face, trim) in fitted.faces.iter().zip(&self.trims) {
            let target = |unit| Target { unit, distance: trim.distance(unit) };
            let targets = sampling.candidates(stream).into_iter().map(target).collect();
            let kept = sampling.keep(targets, stream);
            let found = target_rows(&kept, |unit| face.surface.point(face.domain.at(unit)));
            rows.extend(found.ok_or_else(|| BrepError::Invalid {
                reason: "a face's surface has an unsupported kind".to_owned(),
            })?);
        }
        Part::new(&fitted, rows, self.labels.clone())
    }
}
