//! Some images of a source: a labelled part, or a held-out one.

use std::sync::Arc;

use bauta_datasets::{DataError, SampleType};
use bauta_streams::{Purpose, StreamKey};

use crate::image::Image;
use crate::source::{Source, Statistics};

/// A view of the images at some indices of a source.
pub struct Subset {
    source: Arc<dyn Source>,
    indices: Vec<usize>,
}

impl Subset {
    /// Keeps the images at these indices, in this order.
    ///
    /// # Panics
    /// When an index is beyond the source.
    pub fn new(source: Arc<dyn Source>, indices: Vec<usize>) -> Self {
        let len = source.len();
        assert!(indices.iter().all(|&index| index < len), "an index beyond {len} images");
        Self { source, indices }
    }

    /// Divides a labelled source into `fraction` of the images, equally many of each class as far
    /// as they suffice, and the rest.
    ///
    /// Both lists ascend. The choice is fixed by the seed, and that of a smaller fraction is a
    /// subset of that of a larger one.
    ///
    /// # Errors
    /// [`DataError::Setting`] when the fraction is outside (0, 1), and when a class has
    /// no image.
    pub fn balanced(
        source: &Arc<dyn Source>,
        fraction: f64,
        seed: u64,
    ) -> Result<[Self; 2], DataError> {
        let each = fraction * source.len() as f64 / source.classes().len() as f64;
        let each = (each.round() as usize).max(1);
        Self::divided(source, fraction, seed, |images| each.min(images))
    }

    /// Divides a labelled source into `fraction` of each class's images, and the rest, which has at
    /// least one of each. With classes of equal sizes it is [`Self::balanced`].
    ///
    /// # Errors
    /// As [`Self::balanced`].
    pub fn stratified(
        source: &Arc<dyn Source>,
        fraction: f64,
        seed: u64,
    ) -> Result<[Self; 2], DataError> {
        let share = |images: usize| (fraction * images as f64).round() as usize;
        Self::divided(source, fraction, seed, |images| share(images).min(images - 1))
    }

    /// Chooses from each class as many images as `count` says for their number.
    fn divided(
        source: &Arc<dyn Source>,
        fraction: f64,
        seed: u64,
        count: impl Fn(usize) -> usize,
    ) -> Result<[Self; 2], DataError> {
        let refuse =
            |value: String, rule: String| Err(DataError::Setting { key: "labels", value, rule });
        if !(fraction > 0.0 && fraction < 1.0) {
            return refuse(fraction.to_string(), "must be in (0, 1)".into());
        }
        let mut classes = vec![Vec::new(); source.classes().len()];
        for index in 0..source.len() {
            match source.label(index) {
                Some(label) => classes[label as usize].push(index),
                None => return refuse(fraction.to_string(), "the images have no labels".into()),
            }
        }
        let (mut chosen, mut rest) = (Vec::new(), Vec::new());
        for (class, mut indices) in classes.into_iter().enumerate() {
            if indices.is_empty() {
                let name = &source.classes()[class];
                return refuse(fraction.to_string(), format!("class {name} has no image"));
            }
            let purpose = Purpose::named("labels");
            let key = StreamKey { seed, purpose, epoch: 0, sample: class as u64 };
            key.stream().shuffle(&mut indices);
            rest.extend(indices.split_off(count(indices.len())));
            chosen.extend(indices);
        }
        Ok([chosen, rest].map(|mut indices| {
            indices.sort_unstable();
            Self::new(Arc::clone(source), indices)
        }))
    }

    /// Keeps at most `limit` images, spread as evenly over the classes as possible, in the source's
    /// order.
    ///
    /// These are the images of [`Self::in_turn`].
    pub fn spread(source: Arc<dyn Source>, limit: usize) -> Self {
        let mut subset = Self::in_turn(source, limit);
        subset.indices.sort_unstable();
        subset
    }

    /// Keeps at most `limit` images in turn: the first of each class, then the second, and so on;
    /// without labels, the first images.
    pub fn in_turn(source: Arc<dyn Source>, limit: usize) -> Self {
        let mut seen = vec![0_usize; source.classes().len()];
        let rank = |index: usize| match source.label(index) {
            Some(label) => {
                seen[label as usize] += 1;
                seen[label as usize]
            }
            None => 0,
        };
        let mut ranked: Vec<(usize, usize)> =
            (0..source.len()).map(rank).enumerate().map(|(index, rank)| (rank, index)).collect();
        ranked.sort_unstable();
        ranked.truncate(limit);
        let indices = ranked.into_iter().map(|(_, index)| index).collect();
        Self::new(source, indices)
    }

    /// The indices in the source, in order.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }
}

impl Source for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn channels(&self) -> usize {
        self.source.channels()
    }

    fn classes(&self) -> &[String] {
        self.source.classes()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.source.label(self.indices[index])
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        self.source.image(self.indices[index])
    }

    fn sample_type(&self) -> SampleType {
        self.source.sample_type()
    }

    fn values(&self, index: usize) -> Result<Image<'_, f32>, DataError> {
        self.source.values(self.indices[index])
    }

    fn describe(&self, index: usize) -> String {
        self.source.describe(self.indices[index])
    }

    fn statistics(&self) -> Statistics {
        self.source.statistics()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::InMemory;

    /// `count` grey pixels, pixel i of class i mod `classes`.
    fn source(count: usize, classes: u8, named: u8) -> Arc<dyn Source> {
        let names = (0..named).map(|class| class.to_string()).collect();
        let labels = (0..count).map(|i| (i % usize::from(classes)) as u8).collect();
        let pixels = (0..count).map(|i| i as u8).collect();
        let source = InMemory::new("t", [1, 1, 1], pixels, labels, names, Statistics::MNIST);
        Arc::new(source.unwrap())
    }

    #[test]
    fn every_class_has_its_share_and_lists_are_nested() {
        let source = source(200, 4, 4);
        let chosen = |fraction, seed| {
            let [chosen, rest] = Subset::balanced(&source, fraction, seed).unwrap();
            let mut all = [chosen.indices(), rest.indices()].concat();
            all.sort_unstable();
            assert_eq!(all, (0..200).collect::<Vec<_>>());
            for class in 0..4 {
                let of_class =
                    (0..chosen.len()).filter(|&i| chosen.label(i) == Some(class)).count();
                assert_eq!(of_class, (fraction * 50.0).round() as usize);
            }
            chosen.indices().to_vec()
        };
        let (tenth, half) = (chosen(0.1, 0), chosen(0.5, 0));
        assert!(tenth.iter().all(|index| half.contains(index)));
        assert_eq!(tenth, chosen(0.1, 0));
        assert_ne!(tenth, chosen(0.1, 1));
        // The images are those of the source.
        let [subset, _] = Subset::balanced(&source, 0.1, 0).unwrap();
        assert_eq!(subset.image(3).unwrap().pixels(), [tenth[3] as u8]);
    }

    /// In the order of their classes, as in a folder: 30, 2 and 8 images.
    fn sorted_by_class() -> Arc<dyn Source> {
        let labels = [vec![0; 30], vec![1; 2], vec![2; 8]].concat();
        let names = (0..3).map(|class| class.to_string()).collect();
        let images = InMemory::new("t", [1, 1, 1], vec![0; 40], labels, names, Statistics::MNIST);
        Arc::new(images.unwrap())
    }

    #[test]
    fn a_limit_is_spread_over_the_classes() {
        let images = sorted_by_class();
        for (limit, counts) in
            [(3, [1, 1, 1]), (4, [2, 1, 1]), (9, [4, 2, 3]), (20, [10, 2, 8]), (99, [30, 2, 8])]
        {
            let subset = Subset::spread(Arc::clone(&images), limit);
            let of = |class| (0..subset.len()).filter(|&i| subset.label(i) == Some(class)).count();
            assert_eq!([of(0), of(1), of(2)], counts, "{limit}");
            assert!(subset.indices().is_sorted());
        }
    }

    #[test]
    fn classes_take_turns_as_long_as_they_last() {
        let images = sorted_by_class();
        let of = |limit| Subset::in_turn(Arc::clone(&images), limit).indices().to_vec();
        assert_eq!(of(8), [0, 30, 32, 1, 31, 33, 2, 34]);
        let mut all = of(99);
        assert_eq!(all[..8], of(8));
        all.sort_unstable();
        assert_eq!(all, (0..40).collect::<Vec<_>>());
    }

    #[test]
    fn a_tenth_of_each_class_is_held_out_and_none_is_lost() {
        let images = sorted_by_class();
        let [chosen, rest] = Subset::stratified(&images, 0.1, 0).unwrap();
        let labels = |of: &Subset| (0..of.len()).filter_map(|i| of.label(i)).collect::<Vec<_>>();
        assert_eq!(labels(&chosen), [0, 0, 0, 2]);
        assert_eq!(labels(&rest), [vec![0; 27], vec![1; 2], vec![2; 7]].concat());
        let [chosen, rest] = Subset::stratified(&images, 0.9, 0).unwrap();
        assert_eq!((labels(&chosen).len(), labels(&rest)), (27 + 1 + 7, vec![0, 0, 0, 1, 2]));
        let equal = source(200, 4, 4);
        let of = |[one, other]: [Subset; 2]| [one.indices().to_vec(), other.indices().to_vec()];
        assert_eq!(
            of(Subset::stratified(&equal, 0.1, 3).unwrap()),
            of(Subset::balanced(&equal, 0.1, 3).unwrap())
        );
    }

    #[test]
    fn what_cannot_be_divided_is_refused() {
        let message =
            |source: &Arc<dyn Source>, fraction| match Subset::balanced(source, fraction, 0) {
                Ok(_) => String::new(),
                Err(error) => error.to_string(),
            };
        assert!(message(&source(20, 2, 3), 0.1).contains("class 2 has no image"));
        for fraction in [0.0, 1.0, f64::NAN] {
            assert!(message(&source(20, 2, 2), fraction).contains("(0, 1)"));
        }
    }
}
