//! Some videos of a source.

use std::sync::Arc;

use bauta_datasets::DataError;

use super::{ClipSource, LabelSet, Timeline};
use crate::image::Image;
use crate::prefetch::Cancel;
use crate::source::Statistics;

/// A view of the videos at some indices of a source.
pub struct ClipSubset {
    source: Arc<dyn ClipSource>,
    indices: Vec<usize>,
}

impl ClipSubset {
    /// Keeps the videos at these indices, in this order.
    ///
    /// # Panics
    /// When an index is beyond the source.
    pub fn new(source: Arc<dyn ClipSource>, indices: Vec<usize>) -> Self {
        let len = source.len();
        assert!(indices.iter().all(|&index| index < len), "an index beyond {len} videos");
        Self { source, indices }
    }

    /// Keeps at most `limit` videos, evenly spread over the source.
    pub fn spread(source: Arc<dyn ClipSource>, limit: usize) -> Self {
        let (all, kept) = (source.len(), source.len().min(limit));
        let indices = (0..kept).map(|at| (at as u128 * all as u128 / kept as u128) as usize);
        let indices = indices.collect();
        Self::new(source, indices)
    }

    /// The indices in the source, in order.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

impl ClipSource for ClipSubset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn channels(&self) -> usize {
        self.source.channels()
    }

    fn label_sets(&self) -> &[LabelSet] {
        self.source.label_sets()
    }

    fn label(&self, index: usize, set: usize) -> u32 {
        self.source.label(self.indices[index], set)
    }

    fn timeline(&self, index: usize) -> Result<Timeline, DataError> {
        self.source.timeline(self.indices[index])
    }

    fn frames(
        &self,
        index: usize,
        wanted: &[u64],
        cancel: &Cancel,
    ) -> Result<Vec<Image<'_>>, DataError> {
        self.source.frames(self.indices[index], wanted, cancel)
    }

    fn describe(&self, index: usize) -> String {
        self.source.describe(self.indices[index])
    }

    fn statistics(&self) -> Statistics {
        self.source.statistics()
    }
}
