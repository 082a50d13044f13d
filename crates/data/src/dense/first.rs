//! The first images of a densely labelled source.

use std::sync::Arc;

use bauta_datasets::DataError;

use super::{DenseSample, DenseSource};
use crate::source::Statistics;

/// A view of a source's first images.
pub struct FirstScenes {
    source: Arc<dyn DenseSource>,
    len: usize,
}

impl FirstScenes {
    /// Keeps the first `limit` images, or all if there are fewer.
    pub fn new(source: Arc<dyn DenseSource>, limit: usize) -> Self {
        let len = limit.min(source.len());
        Self { source, len }
    }
}

impl DenseSource for FirstScenes {
    fn len(&self) -> usize {
        self.len
    }

    fn pixel_classes(&self) -> &[String] {
        self.source.pixel_classes()
    }

    fn object_classes(&self) -> &[String] {
        self.source.object_classes()
    }

    fn sample(&self, index: usize) -> Result<DenseSample, DataError> {
        assert!(index < self.len, "image {index} of {}", self.len);
        self.source.sample(index)
    }

    fn look(&self, index: usize) -> Result<bool, DataError> {
        assert!(index < self.len, "image {index} of {}", self.len);
        self.source.look(index)
    }

    fn describe(&self, index: usize) -> String {
        self.source.describe(index)
    }

    fn statistics(&self) -> Statistics {
        self.source.statistics()
    }
}
