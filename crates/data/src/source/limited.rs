//! The first images of a source.

use std::sync::Arc;

use bauta_datasets::{DataError, SampleType};

use crate::image::Image;
use crate::source::{Source, Statistics};

/// A view of a source's first images.
pub struct Limited {
    source: Arc<dyn Source>,
    len: usize,
}

impl Limited {
    /// Keeps the first `limit` images, or all if there are fewer.
    pub fn new(source: Arc<dyn Source>, limit: usize) -> Self {
        let len = limit.min(source.len());
        Self { source, len }
    }
}

impl Source for Limited {
    fn len(&self) -> usize {
        self.len
    }

    fn channels(&self) -> usize {
        self.source.channels()
    }

    fn classes(&self) -> &[String] {
        self.source.classes()
    }

    fn label(&self, index: usize) -> Option<u32> {
        assert!(index < self.len, "image {index} of {}", self.len);
        self.source.label(index)
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        assert!(index < self.len, "image {index} of {}", self.len);
        self.source.image(index)
    }

    fn sample_type(&self) -> SampleType {
        self.source.sample_type()
    }

    fn values(&self, index: usize) -> Result<Image<'_, f32>, DataError> {
        assert!(index < self.len, "image {index} of {}", self.len);
        self.source.values(index)
    }

    fn describe(&self, index: usize) -> String {
        self.source.describe(index)
    }

    fn statistics(&self) -> Statistics {
        self.source.statistics()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::InMemory;

    #[test]
    fn the_first_images_are_kept() {
        let classes = vec!["any".to_owned()];
        let pixels = (0..5).collect();
        let all = InMemory::new("t", [1, 1, 1], pixels, vec![0; 5], classes, Statistics::MNIST);
        let all: Arc<dyn Source> = Arc::new(all.unwrap());
        let view = Limited::new(Arc::clone(&all), 3);
        assert_eq!((view.len(), view.image(2).unwrap().pixels()), (3, &[2][..]));
        assert_eq!(Limited::new(all, 9).len(), 5);
    }
}
