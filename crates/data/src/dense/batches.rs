//! Batches of densely labelled images, all of one size.

use std::sync::Arc;

use bauta_streams::{Purpose, StreamKey};
use ndarray::{Array3, Array4};
use rayon::prelude::*;

use super::{DenseSample, DenseSource, IGNORED, LabelMap, Object};
use crate::augment::region::Region;
use crate::augment::resize::Resizer;
use crate::error::DataError;

/// Images of one size with their labels.
#[derive(Clone, Debug)]
pub struct DenseBatch {
    /// Indices of the images in their source.
    pub indices: Vec<u64>,
    /// Pixels, \[B, C, H, W\].
    pub pixels: Array4<u8>,
    /// The class of every pixel, \[B, H, W\]; all [`IGNORED`] where the source has none.
    pub labels: Array3<u8>,
    /// The objects of each image, their boxes and areas in the batch's pixels; their
    /// masks are left out.
    pub objects: Vec<Vec<Object>>,
}

/// How a source is cut into batches.
#[derive(Clone)]
pub struct DenseBatches {
    source: Arc<dyn DenseSource>,
    batch_size: usize,
    height: usize,
    width: usize,
}

impl DenseBatches {
    /// Makes batches of images that are resized, without keeping their proportions,
    /// to `height × width`: bicubic pixels, nearest labels.
    ///
    /// # Errors
    /// When the source is empty or a size is 0.
    pub fn new(
        source: Arc<dyn DenseSource>,
        batch_size: usize,
        height: usize,
        width: usize,
    ) -> Result<Self, DataError> {
        if source.is_empty() || batch_size == 0 || height == 0 || width == 0 {
            let value = format!("{batch_size} × {height} × {width} of {} images", source.len());
            let rule = "batches need an image, a size and a source that is not empty".to_owned();
            return Err(DataError::Setting { key: "train.batch_size", value, rule });
        }
        Ok(Self { source, batch_size, height, width })
    }

    /// The source.
    pub fn source(&self) -> &Arc<dyn DenseSource> {
        &self.source
    }

    /// Number of batches that hold every image once, the last one perhaps a shorter one.
    pub fn len(&self) -> usize {
        self.source.len().div_ceil(self.batch_size)
    }

    /// Whether there are none; never so.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Batch `at` of the source's own order.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub fn in_order(&self, at: usize) -> Result<DenseBatch, DataError> {
        let start = at * self.batch_size;
        let end = (start + self.batch_size).min(self.source.len());
        self.read((start as u64..end as u64).collect())
    }

    /// The batch of a training step: a permutation drawn anew for each pass over the
    /// source, whose passes follow on each other without a gap.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub fn shuffled(&self, seed: u64, step: u64) -> Result<DenseBatch, DataError> {
        let (samples, size) = (self.source.len() as u64, self.batch_size as u64);
        let mut known: Option<(u64, Vec<u64>)> = None;
        let indices = (step * size..(step + 1) * size).map(|place| {
            let epoch = place / samples;
            if known.as_ref().is_none_or(|(of, _)| *of != epoch) {
                let mut order: Vec<u64> = (0..samples).collect();
                let purpose = Purpose::SHUFFLE;
                StreamKey { seed, purpose, epoch, sample: 0 }.stream().shuffle(&mut order);
                known = Some((epoch, order));
            }
            known.as_ref().map_or(0, |(_, order)| order[(place % samples) as usize])
        });
        self.read(indices.collect())
    }

    fn read(&self, indices: Vec<u64>) -> Result<DenseBatch, DataError> {
        let (height, width) = (self.height, self.width);
        let read: Vec<DenseSample> = indices
            .par_iter()
            .map(|&index| Ok(resized(self.source.sample(index as usize)?, height, width)))
            .collect::<Result<_, DataError>>()?;
        let mut pixels = Array4::zeros((read.len(), 3, height, width));
        let mut labels = Array3::from_elem((read.len(), height, width), IGNORED);
        let mut objects = Vec::with_capacity(read.len());
        for (at, sample) in read.into_iter().enumerate() {
            let channels = sample.image.channels();
            for ((channel, y, x), pixel) in
                pixels.index_axis_mut(ndarray::Axis(0), at).indexed_iter_mut()
            {
                // A grey image's only channel stands for all three.
                *pixel = sample.image.pixels()[(y * width + x) * channels + channel % channels];
            }
            if let Some(map) = sample.labels {
                let mut image = labels.index_axis_mut(ndarray::Axis(0), at);
                image.iter_mut().zip(map.labels).for_each(|(to, label)| *to = label);
            }
            objects.push(sample.objects);
        }
        Ok(DenseBatch { indices, pixels, labels, objects })
    }
}

/// Brings a sample to another size, without its objects' masks.
fn resized(sample: DenseSample, height: usize, width: usize) -> DenseSample {
    let DenseSample { image, labels, mut objects } = sample;
    for object in &mut objects {
        object.mask = None;
    }
    let (from_height, from_width) = (image.height(), image.width());
    if (from_height, from_width) == (height, width) {
        return DenseSample { image, labels, objects };
    }
    let [down, right] = [height as f64 / from_height as f64, width as f64 / from_width as f64];
    for object in &mut objects {
        let [left, top, wide, high] = object.bbox;
        object.bbox = [left * right, top * down, wide * right, high * down];
        object.area *= right * down;
    }
    let whole = Region::whole(from_height, from_width);
    let pixels = Resizer::default().resize(&image, whole, height, width).to_vec();
    let image = crate::Image::new(height, width, image.channels(), pixels);
    DenseSample { image, labels: labels.map(|map| nearest(&map, height, width)), objects }
}

/// The label at each new pixel's middle.
fn nearest(map: &LabelMap, height: usize, width: usize) -> LabelMap {
    let middle = |at: usize, from: usize, to: usize| (2 * at + 1) * from / (2 * to);
    let mut labels = Vec::with_capacity(height * width);
    for y in 0..height {
        let row = middle(y, map.height, height) * map.width;
        labels.extend((0..width).map(|x| map.labels[row + middle(x, map.width, width)]));
    }
    LabelMap { height, width, labels }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;
    use crate::source::Statistics;

    /// Images of 2 × 3 pixels whose grey and label is their index.
    struct Numbered(usize);

    impl DenseSource for Numbered {
        fn len(&self) -> usize {
            self.0
        }

        fn pixel_classes(&self) -> &[String] {
            &[]
        }

        fn object_classes(&self) -> &[String] {
            &[]
        }

        fn sample(&self, index: usize) -> Result<DenseSample, DataError> {
            let value = index as u8;
            let object = Object {
                class: 0,
                bbox: [1.0, 0.0, 2.0, 1.0],
                area: 2.0,
                crowd: false,
                mask: None,
            };
            Ok(DenseSample {
                image: Image::new(2, 3, 1, vec![value; 6]),
                labels: Some(LabelMap { height: 2, width: 3, labels: vec![0, 1, 2, 3, 4, value] }),
                objects: vec![object],
            })
        }

        fn describe(&self, index: usize) -> String {
            index.to_string()
        }

        fn statistics(&self) -> Statistics {
            Statistics::MNIST
        }
    }

    fn batches(samples: usize, size: [usize; 2]) -> DenseBatches {
        DenseBatches::new(Arc::new(Numbered(samples)), 4, size[0], size[1]).unwrap()
    }

    #[test]
    fn every_pass_visits_every_image_once() {
        let batches = batches(6, [2, 3]);
        let seen = |seed, steps: std::ops::Range<u64>| -> Vec<u64> {
            steps.flat_map(|step| batches.shuffled(seed, step).unwrap().indices).collect()
        };
        let three = seen(1, 0..3);
        for pass in three.chunks(6) {
            let mut sorted = pass.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4, 5]);
        }
        assert_eq!(three[4..8], seen(1, 1..2));
        assert_ne!(three, seen(2, 0..3));
        assert_eq!((batches.len(), batches.in_order(1).unwrap().indices), (2, vec![4, 5]));
    }

    #[test]
    fn labels_and_boxes_follow_the_image_to_another_size() {
        let batch = batches(9, [4, 6]).in_order(2).unwrap();
        assert_eq!((batch.pixels.dim(), batch.labels.dim()), ((1, 3, 4, 6), (1, 4, 6)));
        assert!(batch.pixels.iter().all(|&pixel| pixel == 8));
        let rows: Vec<u8> = batch.labels.iter().copied().collect();
        assert_eq!(rows[..12], [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2]);
        assert_eq!(rows[18..], [3, 3, 4, 4, 8, 8]);
        let object = &batch.objects[0][0];
        assert_eq!((object.bbox, object.area), ([2.0, 0.0, 4.0, 2.0], 8.0));
    }

    #[test]
    fn nothing_can_be_cut_from_nothing() {
        assert!(DenseBatches::new(Arc::new(Numbered(0)), 4, 2, 3).is_err());
        assert!(DenseBatches::new(Arc::new(Numbered(3)), 0, 2, 3).is_err());
    }
}
