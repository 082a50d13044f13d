//! Images of one size in one buffer.

use bauta_datasets::DataError;

use crate::image::Image;
use crate::source::{Source, Statistics};

/// Labelled images of equal size, held in memory as \[N, height, width, channels\].
#[derive(Clone, Debug)]
pub struct InMemory {
    title: String,
    shape: [usize; 3],
    pixels: Vec<u8>,
    labels: Vec<u8>,
    classes: Vec<String>,
    statistics: Statistics,
}

impl InMemory {
    /// Wraps N images of `shape` (height, width, channels) and their N labels.
    ///
    /// The description of every image starts with `title`, as in `cifar10 train`.
    ///
    /// # Errors
    /// When the buffer does not hold N images, a label has no class, a side or the number of
    /// channels is 0, or the statistics have a different number of channels.
    pub fn new(
        title: impl Into<String>,
        shape: [usize; 3],
        pixels: Vec<u8>,
        labels: Vec<u8>,
        classes: Vec<String>,
        statistics: Statistics,
    ) -> Result<Self, DataError> {
        let title = title.into();
        let refuse = |problem: String| DataError::malformed(title.as_ref(), problem);
        let [height, width, channels] = shape;
        if height == 0 || width == 0 || channels == 0 {
            return Err(refuse(format!("the images' shape {shape:?} must not contain 0")));
        }
        if statistics.mean.len() != channels || statistics.std.len() != channels {
            return Err(refuse(format!(
                "the images have {channels} channels, but the statistics are {statistics:?}"
            )));
        }
        if pixels.len() != labels.len() * height * width * channels {
            let (bytes, count) = (pixels.len(), labels.len());
            return Err(refuse(format!("{bytes} bytes of pixels are not {count} × {shape:?}")));
        }
        if let Some(index) = labels.iter().position(|&label| usize::from(label) >= classes.len()) {
            let (label, count) = (labels[index], classes.len());
            return Err(refuse(format!(
                "image {index} has label {label}, but there are {count} classes"
            )));
        }
        Ok(Self { title, shape, pixels, labels, classes, statistics })
    }

    /// Samples of one image, \[height, width, channels\].
    pub(crate) fn pixels_of(&self, index: usize) -> &[u8] {
        let size: usize = self.shape.iter().product();
        &self.pixels[index * size..(index + 1) * size]
    }

    /// Labels of all images.
    pub(crate) fn labels(&self) -> &[u8] {
        &self.labels
    }
}

impl Source for InMemory {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn channels(&self) -> usize {
        self.shape[2]
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Option<u32> {
        Some(u32::from(self.labels[index]))
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        let [height, width, channels] = self.shape;
        Ok(Image::new(height, width, channels, self.pixels_of(index)))
    }

    fn describe(&self, index: usize) -> String {
        format!("{} #{index}", self.title)
    }

    fn statistics(&self) -> Statistics {
        self.statistics.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let classes = || vec!["a".to_owned(), "b".to_owned()];
        let make = |shape, bytes, labels: &[u8]| {
            let statistics = Statistics::MNIST;
            InMemory::new("test", shape, vec![0; bytes], labels.to_vec(), classes(), statistics)
        };
        let whole = make([2, 3, 1], 12, &[0, 1]).unwrap();
        assert_eq!(
            (whole.len(), whole.label(1), whole.describe(1).as_str()),
            (2, Some(1), "test #1")
        );
        for (shape, bytes, labels) in [
            ([2, 3, 1], 11, &[0, 1][..]),
            ([2, 3, 1], 12, &[0, 2]),
            ([2, 0, 1], 0, &[0, 1]),
            ([1, 2, 3], 12, &[0, 1]),
        ] {
            assert!(make(shape, bytes, labels).is_err(), "{shape:?} {bytes} {labels:?}");
        }
    }
}
