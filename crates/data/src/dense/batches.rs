//! Batches of densely labelled images, all of one size.

use std::ops::Range;
use std::sync::Arc;

use bauta_datasets::DataError;
use ndarray::{Array3, Array4};
use rayon::prelude::*;

use super::{DenseSample, DenseSource, IGNORED, LabelMap, Object};
use crate::augment::region::Region;
use crate::augment::resize::Resizer;
use crate::loader::{Itinerary, LoaderConfig, Unreadable};
use crate::prefetch::{Cancel, Inputs, Prefetcher, Prepared};

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

/// A source and the threads that build batches from it.
///
/// The contents of a batch are a pure function of the seed and the global step, in the same order
/// as with [`Loader`](crate::Loader). Images are resized regardless of their aspect ratio: pixels
/// with bicubic interpolation, labels with the nearest one.
pub struct DenseLoader {
    itinerary: Arc<Itinerary>,
    assembler: Arc<Assembler>,
    prefetcher: Prefetcher,
}

impl DenseLoader {
    /// Prepares to load, and starts the threads.
    ///
    /// # Errors
    /// [`DataError::Setting`] when a size is 0, or the source has fewer images than one batch
    /// of a shuffled epoch.
    pub fn new(source: Arc<dyn DenseSource>, config: LoaderConfig) -> Result<Self, DataError> {
        config.check(source.len(), "images")?;
        let LoaderConfig { height, width, on_error, threads, queue, .. } = config;
        for (key, side) in [("height", height), ("width", width)] {
            if side == 0 {
                return Err(DataError::setting(key, 0, "must be at least 1 pixel"));
            }
        }
        let itinerary = Arc::new(Itinerary::new(&config, source.len()));
        let unreadable = Unreadable::new(on_error);
        let assembler = Arc::new(Assembler { source, height, width, unreadable });
        Ok(Self { itinerary, assembler, prefetcher: Prefetcher::new(threads, queue)? })
    }

    /// Number of batches in an epoch.
    ///
    /// A shuffled epoch drops the images that do not fill a batch; a
    /// sequential one keeps them as a shorter batch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.itinerary.steps_per_epoch()
    }

    /// Builds the batches of the given global steps, in order, across epochs.
    ///
    /// A step none of whose images can be read is handled as in
    /// [`Loader::batches`](crate::Loader::batches).
    ///
    /// `prepare` turns each batch into what the consumer wants; it runs on the loader's
    /// threads, for several batches at once.
    pub fn batches<T, F>(&self, steps: Range<u64>, prepare: F) -> Inputs<T>
    where
        T: Send + 'static,
        F: Fn(DenseBatch) -> T + Send + Sync + 'static,
    {
        let (itinerary, assembler) = (Arc::clone(&self.itinerary), Arc::clone(&self.assembler));
        self.prefetcher.inputs(steps, move |step, cancel| {
            let mut skipped = None;
            // A cancelled step has no images either, and need not be tried again.
            for visited in itinerary.substitutes(step).take_while(|_| !cancel.is_set()) {
                let (_, indices) = itinerary.visit(visited);
                let Prepared { input, skipped: missing } = assembler.assemble(indices, cancel)?;
                // Images missing from another step's batch are counted there.
                let skipped = *skipped.get_or_insert(missing);
                if let Some(batch) = input {
                    return Ok(Prepared { input: Some(prepare(batch)), skipped });
                }
            }
            itinerary.gone_without(step, skipped.unwrap_or(0))
        })
    }
}

/// Everything that is needed to build a batch, shared by the threads.
struct Assembler {
    source: Arc<dyn DenseSource>,
    height: usize,
    width: usize,
    unreadable: Unreadable,
}

impl Assembler {
    fn assemble(
        &self,
        indices: Vec<u64>,
        cancel: &Cancel,
    ) -> Result<Prepared<DenseBatch>, DataError> {
        let read: Vec<Result<Option<DenseSample>, DataError>> = indices
            .par_iter()
            .map(|&index| (!cancel.is_set()).then(|| self.read(index)).transpose())
            .collect();
        let (mut samples, mut failures) = (Vec::new(), Vec::new());
        for found in read {
            let (sample, failure) = match found {
                Ok(sample) => (sample, None),
                Err(error) => (None, Some(error)),
            };
            samples.push(sample);
            failures.push(failure);
        }
        self.unreadable.judge(failures, &indices, |index| self.source.describe(index))?;
        let wanted = indices.len();
        let (indices, samples): (Vec<u64>, Vec<DenseSample>) =
            indices.into_iter().zip(samples).filter_map(|(i, sample)| Some((i, sample?))).unzip();
        let skipped = (wanted - samples.len()) as u64;
        let any = !samples.is_empty();
        Ok(Prepared { input: any.then(|| self.stacked(indices, samples)), skipped })
    }

    fn read(&self, index: u64) -> Result<DenseSample, DataError> {
        Ok(resized(self.source.sample(index as usize)?, self.height, self.width))
    }

    fn stacked(&self, indices: Vec<u64>, samples: Vec<DenseSample>) -> DenseBatch {
        let (height, width) = (self.height, self.width);
        let mut pixels = Array4::zeros((samples.len(), 3, height, width));
        let mut labels = Array3::from_elem((samples.len(), height, width), IGNORED);
        let mut objects = Vec::with_capacity(samples.len());
        for (at, sample) in samples.into_iter().enumerate() {
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
        DenseBatch { indices, pixels, labels, objects }
    }
}

/// Resizes a sample, and drops its objects' masks.
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

/// The label at the centre of each new pixel.
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
    use bauta_datasets::OnError;

    use crate::loader::Order;
    use crate::source::Statistics;

    /// The index of an image that cannot be read.
    const DAMAGED: usize = 201;

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
            if index == DAMAGED {
                let (image, problem) = (self.describe(index), "damaged".to_owned());
                return Err(DataError::Image { image, problem });
            }
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

    /// Batches of four images.
    fn batches(samples: usize, size: [usize; 2], order: Order, seed: u64) -> DenseLoader {
        let [height, width] = size;
        let config = LoaderConfig { order, seed, ..LoaderConfig::new(4, height, width) };
        DenseLoader::new(Arc::new(Numbered(samples)), config).unwrap()
    }

    #[test]
    fn an_epoch_visits_no_image_twice_and_any_start_gives_the_same() {
        let load = |seed| batches(9, [2, 3], Order::Shuffled, seed);
        assert_eq!(load(1).steps_per_epoch(), 2);
        let seen = |seed, steps: Range<u64>| -> Vec<u64> {
            load(seed).batches(steps, |batch| batch.indices).flat_map(Result::unwrap).collect()
        };
        let three = seen(1, 0..6);
        for epoch in three.chunks(8) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), 8);
        }
        assert_eq!(three[12..], seen(1, 3..6));
        assert_ne!(three, seen(2, 0..6));
    }

    #[test]
    fn an_evaluation_takes_every_image_once() {
        let loader = batches(6, [2, 3], Order::Sequential, 0);
        let taken = loader.batches(0..loader.steps_per_epoch(), |batch| batch.indices);
        let taken: Vec<Vec<u64>> = taken.map(Result::unwrap).collect();
        assert_eq!(taken, [vec![0, 1, 2, 3], vec![4, 5]]);
    }

    #[test]
    fn labels_and_boxes_follow_the_image_to_another_size() {
        let loader = batches(9, [4, 6], Order::Sequential, 0);
        let batch = loader.batches(2..3, |batch| batch).next().unwrap().unwrap();
        assert_eq!((batch.pixels.dim(), batch.labels.dim()), ((1, 3, 4, 6), (1, 4, 6)));
        assert!(batch.pixels.iter().all(|&pixel| pixel == 8));
        let rows: Vec<u8> = batch.labels.iter().copied().collect();
        assert_eq!(rows[..12], [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2]);
        assert_eq!(rows[18..], [3, 3, 4, 4, 8, 8]);
        let object = &batch.objects[0][0];
        assert_eq!((object.bbox, object.area), ([2.0, 0.0, 4.0, 2.0], 8.0));
    }

    #[test]
    fn damaged_images_are_left_out_with_their_labels_or_stop_the_batches() {
        let load = |on_error| {
            let order = Order::Sequential;
            let config = LoaderConfig { order, on_error, ..LoaderConfig::new(4, 2, 3) };
            DenseLoader::new(Arc::new(Numbered(DAMAGED + 3)), config).unwrap()
        };
        let at = (DAMAGED / 4) as u64;
        let mut read = load(OnError::Skip).batches(at..at + 1, |batch| batch);
        let batch = read.next().unwrap().unwrap();
        assert_eq!((batch.indices.len(), read.skipped()), (3, 1));
        for (place, &index) in batch.indices.iter().enumerate() {
            assert_eq!(u64::from(batch.pixels[[place, 0, 0, 0]]), index);
            assert_eq!(u64::from(batch.labels[[place, 1, 2]]), index);
        }
        // Alone in its batch, it leaves a gap in an evaluation.
        let config = LoaderConfig { order: Order::Sequential, ..LoaderConfig::new(1, 2, 3) };
        let alone = DenseLoader::new(Arc::new(Numbered(DAMAGED + 3)), config).unwrap();
        let index = DAMAGED as u64;
        let mut batches = alone.batches(index - 1..index + 2, |batch| batch.indices[0]);
        let taken: Vec<u64> = batches.by_ref().map(Result::unwrap).collect();
        assert_eq!((taken, batches.skipped()), (vec![index - 1, index + 1], 1));
        let error = load(OnError::Stop).batches(at..at + 1, |_| ()).next().unwrap().unwrap_err();
        assert!(error.to_string().contains(&DAMAGED.to_string()), "{error}");
    }

    #[test]
    fn nothing_can_be_cut_from_nothing() {
        let refuse = |samples, config, message: &str| {
            let error = DenseLoader::new(Arc::new(Numbered(samples)), config).err().unwrap();
            assert_eq!(error.to_string(), message);
        };
        let config = LoaderConfig::new;
        refuse(0, config(4, 2, 3), "batch_size = 4: the source has only 0 images");
        refuse(3, config(0, 2, 3), "batch_size = 0: must be at least 1");
        refuse(9, config(4, 0, 3), "height = 0: must be at least 1 pixel");
        refuse(9, config(4, 2, 0), "width = 0: must be at least 1 pixel");
    }
}
