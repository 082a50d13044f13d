//! One frame of each video, as images.

use bauta_datasets::DataError;

use super::ClipSource;
use crate::image::Image;
use crate::prefetch::Cancel;
use crate::source::{Source, Statistics};

/// The middle frame of each video.
pub(super) struct Stills<'a>(pub(super) &'a dyn ClipSource);

impl Source for Stills<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn channels(&self) -> usize {
        self.0.channels()
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn label(&self, _: usize) -> Option<u32> {
        None
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        let middle = self.0.timeline(index)?.frames / 2;
        let frames = self.0.frames(index, &[middle], &Cancel::default())?;
        frames.into_iter().next().ok_or_else(|| DataError::Video {
            video: self.0.describe(index),
            problem: "no frame was read".to_owned(),
        })
    }

    fn describe(&self, index: usize) -> String {
        self.0.describe(index)
    }

    fn statistics(&self) -> Statistics {
        self.0.statistics()
    }
}
