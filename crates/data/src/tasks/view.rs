//! A source as seen by one task.

use std::borrow::Cow;
use std::sync::Arc;

use bauta_datasets::{DataError, SampleType};

use crate::image::Image;
use crate::source::{Source, Statistics};

/// The change that a task makes to each image.
#[derive(Clone)]
pub(super) enum Change {
    Nothing,
    /// Pixel i becomes the pixel at `order[i]`, for images of one size.
    Permuted {
        order: Arc<[usize]>,
        height: usize,
        width: usize,
    },
    /// Rotated about the centre by this many radians, anticlockwise, with black outside.
    Rotated(f64),
    /// Grey, repeated in this many channels.
    Repeated(usize),
}

/// Some images of a source, changed, with their own labels.
pub(super) struct TaskView {
    source: Arc<dyn Source>,
    indices: Option<Vec<usize>>,
    /// The task's own label for each of the source's; `None` if all are kept.
    local: Option<Vec<u32>>,
    classes: Vec<String>,
    change: Change,
}

impl TaskView {
    /// All images, each changed.
    pub(super) fn changed(source: Arc<dyn Source>, change: Change) -> Self {
        let classes = source.classes().to_vec();
        Self { source, indices: None, local: None, classes, change }
    }

    /// The images of some classes, whose labels become 0, 1, … in this order.
    pub(super) fn of_classes(source: Arc<dyn Source>, chosen: &[u32]) -> Self {
        let place = |label: u32| chosen.iter().position(|&class| class == label);
        let indices: Vec<usize> = (0..source.len())
            .filter(|&index| source.label(index).is_some_and(|label| place(label).is_some()))
            .collect();
        let local = 0..source.classes().len() as u32;
        let local = local.map(|label| place(label).unwrap_or(0) as u32).collect();
        let classes = chosen.iter().map(|&class| source.classes()[class as usize].clone());
        let classes = classes.collect();
        Self {
            source,
            indices: Some(indices),
            local: Some(local),
            classes,
            change: Change::Nothing,
        }
    }

    fn place(&self, index: usize) -> usize {
        self.indices.as_ref().map_or(index, |indices| indices[index])
    }
}

impl Source for TaskView {
    fn len(&self) -> usize {
        self.indices.as_ref().map_or_else(|| self.source.len(), Vec::len)
    }

    fn channels(&self) -> usize {
        match self.change {
            Change::Repeated(channels) => channels,
            _ => self.source.channels(),
        }
    }

    // Tasks can only be derived from bytes; the caller checks this.
    fn sample_type(&self) -> SampleType {
        self.source.sample_type()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> Option<u32> {
        let label = self.source.label(self.place(index))?;
        Some(self.local.as_ref().map_or(label, |local| local[label as usize]))
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        let image = self.source.image(self.place(index))?;
        let (height, width, channels) = (image.height(), image.width(), image.channels());
        let pixels = image.pixels();
        match &self.change {
            Change::Nothing => Ok(image),
            Change::Permuted { order, height: wanted_height, width: wanted_width } => {
                if [height, width] != [*wanted_height, *wanted_width] {
                    let problem = format!(
                        "it has {height} × {width} pixels, but the permutation needs \
                         {wanted_height} × {wanted_width}"
                    );
                    return Err(DataError::Image { image: self.describe(index), problem });
                }
                let all = order.iter().flat_map(|&from| &pixels[from * channels..][..channels]);
                Ok(Image::new(height, width, channels, all.copied().collect::<Vec<u8>>()))
            }
            Change::Rotated(angle) => {
                Ok(Image::new(height, width, channels, rotate(&image, *angle)))
            }
            Change::Repeated(channels) => {
                let all = pixels.iter().flat_map(|&grey| std::iter::repeat_n(grey, *channels));
                Ok(Image::new(height, width, *channels, all.collect::<Vec<u8>>()))
            }
        }
    }

    fn describe(&self, index: usize) -> String {
        self.source.describe(self.place(index))
    }

    fn statistics(&self) -> Statistics {
        let own = self.source.statistics();
        match self.change {
            Change::Repeated(channels) => {
                let repeat = |values: &[f32]| Cow::Owned(vec![values[0]; channels]);
                Statistics { mean: repeat(&own.mean), std: repeat(&own.std), ..own }
            }
            _ => own,
        }
    }
}

/// Rotates with bilinear interpolation between the four nearest pixels.
fn rotate(image: &Image<'_>, angle: f64) -> Vec<u8> {
    let (height, width, channels) = (image.height(), image.width(), image.channels());
    if angle == 0.0 {
        return image.pixels().to_vec();
    }
    let (sin, cos) = angle.sin_cos();
    let (middle_y, middle_x) = ((height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0);
    let at = |y: f64, x: f64, channel: usize| -> f64 {
        let inside = y >= 0.0 && x >= 0.0 && y < height as f64 && x < width as f64;
        let place = || (y as usize * width + x as usize) * channels + channel;
        if inside { f64::from(image.pixels()[place()]) } else { 0.0 }
    };
    let mut rotated = Vec::with_capacity(image.pixels().len());
    for row in 0..height {
        for column in 0..width {
            let (y, x) = (row as f64 - middle_y, column as f64 - middle_x);
            let (y, x) = (middle_y + cos * y + sin * x, middle_x - sin * y + cos * x);
            let (top, left) = (y.floor(), x.floor());
            let (down, right) = (y - top, x - left);
            for channel in 0..channels {
                let upper =
                    at(top, left, channel) * (1.0 - right) + at(top, left + 1.0, channel) * right;
                let below = at(top + 1.0, left, channel) * (1.0 - right)
                    + at(top + 1.0, left + 1.0, channel) * right;
                rotated.push((upper * (1.0 - down) + below * down).round() as u8);
            }
        }
    }
    rotated
}
