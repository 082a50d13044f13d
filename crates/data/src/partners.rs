//! Choice of the image that another is mixed with (i-MAE §3, and its semantics-controlled
//! sampling).
//!
//! A partner is a function of seed, epoch and the image's index alone, so it is the same
//! for any batch split, and after any resume.

use bauta_datasets::DataError;
use bauta_streams::{Purpose, RandomStream, StreamKey};

use crate::source::Source;

const PARTNER: Purpose = Purpose::named("partner");

/// Draws a partner for every image of a source.
#[derive(Clone, Debug)]
pub struct PartnerSampler {
    seed: u64,
    samples: u64,
    by_class: Option<ByClass>,
}

/// The probability that a partner is of the image's own class, and the images of each class.
#[derive(Clone, Debug)]
struct ByClass {
    rate: f64,
    /// Class of each image.
    labels: Vec<u32>,
    /// All images, class by class, ascending within each.
    members: Vec<u64>,
    /// Start of each class in `members`, and the end of the last.
    starts: Vec<usize>,
}

impl PartnerSampler {
    /// Draws partners from the images of `source`: uniformly from all others or, with `same_class`,
    /// from the image's own class with that probability and otherwise from the other classes.
    ///
    /// An image that is alone in its class gets a partner of another; if there is only one class,
    /// every partner is of it.
    ///
    /// # Errors
    /// [`DataError::Setting`] when the source has fewer than two images, when `same_class`
    /// is outside [0, 1], or when it is given and the source has no labels.
    pub fn new(source: &dyn Source, same_class: Option<f64>, seed: u64) -> Result<Self, DataError> {
        let samples = source.len();
        if samples < 2 {
            let value = format!("{samples} images");
            return Err(DataError::setting("source", value, "partners need at least two images"));
        }
        let by_class = same_class.map(|rate| ByClass::new(source, rate)).transpose()?;
        Ok(Self { seed, samples: samples as u64, by_class })
    }

    /// Number of images that partners are drawn from.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    /// The partner of image `index` in an epoch; never the image itself.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn partner(&self, epoch: u64, index: u64) -> u64 {
        assert!(index < self.samples, "image {index} of {}", self.samples);
        let key = StreamKey { seed: self.seed, purpose: PARTNER, epoch, sample: index };
        let mut stream = key.stream();
        match &self.by_class {
            None => skipping(stream.below(self.samples - 1), index, 1),
            Some(by_class) => by_class.partner(&mut stream, index),
        }
    }

    /// The partners of some images in an epoch, in their order.
    ///
    /// # Panics
    /// As [`Self::partner`].
    pub fn partners(&self, epoch: u64, indices: &[u64]) -> Vec<u64> {
        indices.iter().map(|&index| self.partner(epoch, index)).collect()
    }
}

impl ByClass {
    fn new(source: &dyn Source, rate: f64) -> Result<Self, DataError> {
        let refuse = |rule: &str| Err(DataError::setting("same_class", rate, rule));
        if !(0.0..=1.0).contains(&rate) {
            return refuse("must be in [0, 1]");
        }
        let labels = (0..source.len()).map(|index| source.label(index)).collect();
        let Some::<Vec<u32>>(labels) = labels else {
            return refuse("needs labels, but these images have none; draw from all images");
        };
        let classes = labels.iter().max().map_or(0, |&last| last as usize + 1);
        let mut members: Vec<u64> = (0..labels.len() as u64).collect();
        // Stable, so images ascend within each class.
        members.sort_by_key(|&index| labels[index as usize]);
        let starts = (0..=classes as u32)
            .map(|class| members.partition_point(|&index| labels[index as usize] < class))
            .collect();
        Ok(Self { rate, labels, members, starts })
    }

    fn partner(&self, stream: &mut RandomStream, index: u64) -> u64 {
        let class = self.labels[index as usize] as usize;
        let (start, end) = (self.starts[class], self.starts[class + 1]);
        let (own, others) = ((end - start) as u64 - 1, (self.members.len() - end + start) as u64);
        // Drawn in any case, so that later draws do not depend on the sizes of the classes.
        let wants_own = stream.uniform_in(0.0, 1.0) < self.rate;
        let place = if others == 0 || (wants_own && own > 0) {
            let siblings = &self.members[start..end];
            let own_place = siblings.partition_point(|&sibling| sibling < index) as u64;
            start as u64 + skipping(stream.below(own), own_place, 1)
        } else {
            skipping(stream.below(others), start as u64, own + 1)
        };
        self.members[place as usize]
    }
}

/// The `drawn`-th number, if `count` of them from `first` on are left out.
fn skipping(drawn: u64, first: u64, count: u64) -> u64 {
    if drawn < first { drawn } else { drawn + count }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ndarray::Axis;
    use proptest::prelude::*;

    use super::*;
    use crate::{Augment, InMemory, Loader, LoaderConfig, Read, ReadImages, Statistics};

    fn source(labels: Vec<u8>) -> InMemory {
        let classes = (0..10).map(|class| class.to_string()).collect();
        let pixels = (0..labels.len()).map(|i| i as u8).collect();
        InMemory::new("t", [1, 1, 1], pixels, labels, classes, Statistics::MNIST).unwrap()
    }

    /// Images without labels.
    struct Unlabelled(InMemory);

    impl Source for Unlabelled {
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
        fn image(&self, index: usize) -> Result<crate::Image<'_>, DataError> {
            self.0.image(index)
        }
        fn describe(&self, index: usize) -> String {
            self.0.describe(index)
        }
        fn statistics(&self) -> Statistics {
            self.0.statistics()
        }
    }

    /// Ten classes of unequal size.
    fn uneven(samples: usize) -> Vec<u8> {
        (0..samples).map(|i| ((i * i) % 97 % 10) as u8).collect()
    }

    #[test]
    fn the_rate_is_within_three_deviations_of_what_was_asked() {
        let labels = uneven(1000);
        for rate in [0.0, 0.1, 0.5, 0.9, 1.0] {
            let sampler = PartnerSampler::new(&source(labels.clone()), Some(rate), 3).unwrap();
            let draws = (0..10).flat_map(|epoch| (0..1000).map(move |index| (epoch, index)));
            let same = draws.filter(|&(epoch, index)| {
                labels[sampler.partner(epoch, index) as usize] == labels[index as usize]
            });
            let found = same.count() as f64 / 1e4;
            let deviation = (rate * (1.0 - rate) / 1e4).sqrt();
            assert!((found - rate).abs() <= 3.0 * deviation, "{rate}: {found}");
        }
    }

    #[test]
    fn every_other_image_is_drawn_equally_often() {
        for same_class in [None, Some(0.25)] {
            let sampler = PartnerSampler::new(&source(vec![0, 1, 0, 1, 0]), same_class, 0).unwrap();
            let mut counts = [0_i32; 5];
            for epoch in 0..8000 {
                counts[sampler.partner(epoch, 2) as usize] += 1;
            }
            let wanted = match same_class {
                None => [2000, 2000, 0, 2000, 2000],
                Some(_) => [1000, 3000, 0, 3000, 1000],
            };
            for (found, wanted) in counts.iter().zip(wanted) {
                // A count of 3,000 in 8,000 draws has the standard deviation 43.
                assert!((found - wanted).abs() < 150, "{counts:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_partner_is_another_image_and_of_the_class_where_there_is_one(
            labels in prop::collection::vec(0_u8..4, 2..40),
            seed: u64, epoch in 0_u64..1000, rate in prop::option::of(0.0..=1.0_f64),
        ) {
            let sampler = PartnerSampler::new(&source(labels.clone()), rate, seed).unwrap();
            let indices: Vec<u64> = (0..labels.len() as u64).collect();
            let partners = sampler.partners(epoch, &indices);
            for (&index, &partner) in indices.iter().zip(&partners) {
                prop_assert!(partner != index && partner < labels.len() as u64);
                // The same in any batch, and drawn again.
                prop_assert_eq!(sampler.partner(epoch, index), partner);
            }
            for (rate, wants_same) in [(0.0, false), (1.0, true)] {
                let sampler = PartnerSampler::new(&source(labels.clone()), Some(rate), seed);
                let sampler = sampler.unwrap();
                for &index in &indices {
                    let class = labels[index as usize];
                    let own = labels.iter().filter(|&&label| label == class).count();
                    let same = labels[sampler.partner(epoch, index) as usize] == class;
                    let possible = if wants_same { own > 1 } else { own < labels.len() };
                    prop_assert_eq!(same, possible == wants_same);
                }
            }
        }
    }

    #[test]
    fn partners_differ_between_epochs_and_seeds() {
        let draw = |seed, epoch| {
            let sampler = PartnerSampler::new(&source(uneven(200)), None, seed).unwrap();
            sampler.partners(epoch, &(0..200).collect::<Vec<u64>>())
        };
        assert_ne!(draw(0, 0), draw(0, 1));
        assert_ne!(draw(0, 0), draw(1, 0));
        assert_eq!(draw(1, 1), draw(1, 1));
    }

    #[test]
    fn what_cannot_be_drawn_is_refused_by_its_name() {
        let refuse = |source: &dyn Source, rate| {
            PartnerSampler::new(source, rate, 0).unwrap_err().to_string()
        };
        let unlabelled = Unlabelled(source(vec![0; 4]));
        assert_eq!(
            refuse(&unlabelled, Some(0.5)),
            "same_class = 0.5: needs labels, but these images have none; draw from all images"
        );
        assert!(PartnerSampler::new(&unlabelled, None, 0).is_ok());
        assert!(refuse(&source(vec![0; 4]), Some(1.5)).contains("[0, 1]"));
        assert!(refuse(&source(vec![0]), None).contains("two images"));
    }

    #[test]
    fn partners_are_read_as_they_are_named_and_augmented_on_their_own() {
        let shape = [4, 4, 1];
        let pixels = (0..60 * 16).map(|i| (i * 37 % 251) as u8).collect();
        let classes = vec!["any".to_owned()];
        let images =
            InMemory::new("t", shape, pixels, vec![0; 60], classes, Statistics::MNIST).unwrap();
        let images: Arc<dyn Source> = Arc::new(images);
        let config = LoaderConfig { threads: 2, ..LoaderConfig::new(8, 4, 4) };
        // Plain crops: a partner is the very image that was drawn.
        let sampler = Arc::new(PartnerSampler::new(&*images, None, 0).unwrap());
        let partner = || vec![Read::Partner(Arc::clone(&sampler))];
        let plain = Loader::for_evaluation(Arc::clone(&images), config.clone()).unwrap();
        for batch in plain.reading(partner()).batches(0..16, |batch| batch).map(Result::unwrap) {
            let [read] = &batch.reads[..] else { panic!("one read") };
            assert_eq!(read.indices, sampler.partners(batch.epoch, &batch.indices));
            for (row, &partner) in read.pixels.bytes().unwrap().outer_iter().zip(&read.indices) {
                let wanted = images.image(partner as usize).unwrap();
                assert_eq!(row.iter().copied().collect::<Vec<u8>>(), wanted.pixels());
            }
        }
        // Random crops: each read of an image has its own stream, and is the same whatever batch
        // the image is in.
        let purpose = Purpose::named("second view");
        let reads = || vec![Read::Again(purpose), partner().remove(0), Read::Again(purpose)];
        let random = |config| {
            let images = Arc::clone(&images);
            Loader::new(images, Augment::default(), config).unwrap().reading(reads())
        };
        let batch = random(config.clone()).batches(0..1, |batch| batch).next().unwrap().unwrap();
        let [again, other, same] = &batch.reads[..] else { panic!("three reads") };
        assert_eq!((again, &again.indices), (same, &batch.indices));
        assert_ne!(again.pixels, batch.pixels);
        let alone = random(LoaderConfig { batch_size: 1, ..config });
        let alone = alone.batches(0..1, |batch| batch).next().unwrap().unwrap();
        assert_eq!(alone.indices[0], batch.indices[0]);
        for (of_one, of_many) in alone.reads.iter().zip([again, other]) {
            let first =
                |read: &ReadImages| read.pixels.bytes().unwrap().index_axis(Axis(0), 0).to_owned();
            assert_eq!(first(of_one), first(of_many));
        }
    }

    #[test]
    #[should_panic(expected = "the loader's own source")]
    fn partners_of_other_images_are_a_mistake() {
        let sampler = PartnerSampler::new(&source(vec![0; 9]), None, 0).unwrap();
        let images: Arc<dyn Source> = Arc::new(source(vec![0; 8]));
        let loader = Loader::for_evaluation(images, LoaderConfig::new(2, 1, 1)).unwrap();
        loader.reading(vec![Read::Partner(Arc::new(sampler))]);
    }
}
