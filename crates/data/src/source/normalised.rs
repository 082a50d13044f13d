//! A source's images, with other statistics for normalisation.

use std::sync::Arc;

use bauta_datasets::{DataError, SampleType};

use crate::image::Image;
use crate::source::{Source, Statistics};

/// A view of a source with other statistics, such as [measured](Statistics::measure) ones.
pub struct Normalised {
    source: Arc<dyn Source>,
    statistics: Statistics,
}

impl Normalised {
    /// Uses `statistics` for the images of `source`.
    ///
    /// # Panics
    /// When their number of channels differs.
    pub fn new(source: Arc<dyn Source>, statistics: Statistics) -> Self {
        let channels = [statistics.mean.len(), statistics.std.len()];
        assert_eq!(channels, [source.channels(); 2], "statistics of other channels");
        Self { source, statistics }
    }
}

impl Source for Normalised {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn channels(&self) -> usize {
        self.source.channels()
    }

    fn classes(&self) -> &[String] {
        self.source.classes()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.source.label(index)
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        self.source.image(index)
    }

    fn sample_type(&self) -> SampleType {
        self.source.sample_type()
    }

    fn values(&self, index: usize) -> Result<Image<'_, f32>, DataError> {
        self.source.values(index)
    }

    fn describe(&self, index: usize) -> String {
        self.source.describe(index)
    }

    fn statistics(&self) -> Statistics {
        self.statistics.clone()
    }
}
