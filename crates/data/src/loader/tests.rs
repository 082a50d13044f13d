//! Batches are a pure function of seed and step, and corrupt images are skipped or stop them.

use bauta_datasets::OnError;
use crossbeam_channel::bounded;
use proptest::prelude::*;

use super::*;
use crate::image::Image;
use crate::partners::PartnerSampler;
use crate::source::{InMemory, Statistics};

/// Images of 6 × 5 pixels of which no two are equal.
fn source(samples: usize) -> Arc<dyn Source> {
    let pixels = (0..samples * 6 * 5 * 3).map(|i| ((i * 97) >> 3) as u8).collect();
    let labels = (0..samples).map(|i| (i % 7) as u8).collect();
    let classes = (0..7).map(|class| class.to_string()).collect();
    let shape = [6, 5, 3];
    Arc::new(InMemory::new("test", shape, pixels, labels, classes, Statistics::CIFAR10).unwrap())
}

/// Unlabelled images, those with the given indices corrupt; reports each read to a listener.
struct Faulty {
    samples: usize,
    corrupt: Vec<usize>,
    read: Option<Box<dyn Fn(usize) + Send + Sync>>,
}

impl Faulty {
    fn new(samples: usize, corrupt: &[usize]) -> Self {
        Self { samples, corrupt: corrupt.to_vec(), read: None }
    }
}

impl Source for Faulty {
    fn len(&self) -> usize {
        self.samples
    }
    fn channels(&self) -> usize {
        1
    }
    fn classes(&self) -> &[String] {
        &[]
    }
    fn label(&self, _: usize) -> Option<u32> {
        None
    }
    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        if let Some(read) = &self.read {
            read(index);
        }
        if self.corrupt.contains(&index) {
            let (image, problem) = (self.describe(index), "damaged".to_owned());
            return Err(DataError::Image { image, problem });
        }
        Ok(Image::new(2, 2, 1, vec![index as u8; 4]))
    }
    fn describe(&self, index: usize) -> String {
        format!("picture-{index}")
    }
    fn statistics(&self) -> Statistics {
        Statistics::MNIST
    }
}

fn collect(loader: &Loader, steps: Range<u64>) -> Vec<Batch> {
    loader.batches(steps, |batch| batch).map(Result::unwrap).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn threads_queue_and_start_do_not_matter(
        samples in 3_usize..40, batch_size in 1_usize..4, seed: u64,
        threads in 1_usize..5, queue in 1_usize..6, start in 0_u64..20, shuffled: bool,
    ) {
        let order = if shuffled { Order::Shuffled } else { Order::Sequential };
        let config = LoaderConfig { seed, order, ..LoaderConfig::new(batch_size, 4, 7) };
        let load = |threads, queue, steps| {
            let config = LoaderConfig { threads, queue, ..config.clone() };
            collect(&Loader::new(source(samples), Augment::default(), config).unwrap(), steps)
        };
        let whole = load(1, 1, 0..24);
        prop_assert_eq!(&whole[start as usize..], &load(threads, queue, start..24)[..]);
    }
}

#[test]
fn batches_name_their_step_epoch_images_and_labels() {
    let loader = Loader::new(source(11), Augment::default(), LoaderConfig::new(4, 8, 8)).unwrap();
    assert_eq!(loader.steps_per_epoch(), 2);
    let batches = collect(&loader, 3..7);
    assert_eq!(
        batches.iter().map(|b| (b.step, b.epoch)).collect::<Vec<_>>(),
        [(3, 1), (4, 2), (5, 2), (6, 3)]
    );
    for batch in &batches {
        assert_eq!(batch.pixels.dim(), (4, 3, 8, 8));
        let labels: Vec<i64> = batch.indices.iter().map(|&index| index as i64 % 7).collect();
        assert_eq!(batch.labels.as_ref(), Some(&labels));
    }
    assert_ne!(batches[1].indices, batches[3].indices, "epochs differ in order");
}

#[test]
fn loaders_in_turn_give_what_each_gives_alone() {
    let loader = |samples, seed| {
        let config = LoaderConfig { seed, threads: 2, ..LoaderConfig::new(4, 6, 5) };
        Loader::new(source(samples), Augment::default(), config).unwrap()
    };
    let loaders = [loader(9, 0), loader(17, 1), loader(12, 2)];
    let together: Vec<(usize, Batch)> =
        Loader::interleaved(&loaders, 2..11, |number, batch| (number, batch))
            .map(Result::unwrap)
            .collect();
    for (step, (number, batch)) in (2..).zip(together) {
        assert_eq!(number, step % 3);
        let alone = step as u64 / 3;
        assert_eq!(batch, collect(&loaders[number], alone..alone + 1).remove(0), "step {step}");
    }
}

#[test]
fn an_evaluation_takes_every_image_once_and_as_it_is() {
    let source = source(11);
    let config = LoaderConfig::new(4, 6, 5);
    let loader = Loader::for_evaluation(Arc::clone(&source), config).unwrap();
    let batches = collect(&loader, 0..loader.steps_per_epoch());
    assert_eq!(batches.iter().map(|b| b.indices.len()).collect::<Vec<_>>(), [4, 4, 3]);
    for (batch, row, index) in
        batches.iter().flat_map(|b| b.indices.iter().enumerate().map(move |(r, &i)| (b, r, i)))
    {
        let image = source.image(index as usize).unwrap();
        for ((channel, y, x), &sample) in
            batch.pixels.bytes().unwrap().index_axis(ndarray::Axis(0), row).indexed_iter()
        {
            assert_eq!(sample, image.pixels()[(y * 5 + x) * 3 + channel]);
        }
    }
}

#[test]
fn corrupt_images_are_left_out_and_counted() {
    let source = Arc::new(Faulty::new(9, &[0, 4]));
    let config = LoaderConfig::new(3, 2, 2);
    let loader = Loader::for_evaluation(source, config).unwrap();
    let mut batches = loader.batches(0..6, |batch| batch);
    let taken: Vec<Vec<u64>> = batches.by_ref().map(|batch| batch.unwrap().indices).collect();
    assert_eq!(
        taken,
        [vec![1, 2], vec![3, 5], vec![6, 7, 8], vec![1, 2], vec![3, 5], vec![6, 7, 8]]
    );
    assert_eq!(batches.skipped(), 4);

    let again = collect(&loader, 1..2).remove(0);
    assert_eq!(again.labels, None);
    let firsts: Vec<u8> =
        again.pixels.bytes().unwrap().outer_iter().map(|image| image[[0, 0, 0]]).collect();
    assert_eq!(firsts, [3, 5], "pixels move up with their indices");
}

#[test]
fn corrupt_images_stop_the_batches_where_told_so() {
    let config = LoaderConfig { on_error: OnError::Stop, ..LoaderConfig::new(3, 2, 2) };
    let loader = Loader::for_evaluation(Arc::new(Faulty::new(9, &[5, 4])), config).unwrap();
    let mut batches = loader.batches(0..3, |batch| batch.step);
    assert_eq!(batches.next().unwrap().unwrap(), 0);
    let error = batches.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("picture-4"), "the first of the batch: {error}");
    assert!(batches.next().is_none());
}

#[test]
fn an_image_whose_partner_is_corrupt_is_its_own() {
    let clean = Faulty::new(9, &[]);
    let sampler = PartnerSampler::new(&clean, None, 0).unwrap();
    let [first, corrupt, last] = [0, 1, 2].map(|index| sampler.partner(0, index));
    assert!(corrupt > 2 && ![first, last].contains(&corrupt), "another seed is needed");
    let sampler = Arc::new(sampler);
    let load = |on_error| {
        let config = LoaderConfig { on_error, ..LoaderConfig::new(3, 2, 2) };
        let source = Arc::new(Faulty::new(9, &[corrupt as usize]));
        let loader = Loader::for_evaluation(source, config).unwrap();
        let loader = loader.reading(vec![Read::Partner(Arc::clone(&sampler))]);
        loader.batches(0..1, |batch| batch).next().unwrap()
    };
    let batch = load(OnError::Skip).unwrap();
    assert_eq!(batch.indices, [0, 1, 2]);
    assert_eq!(batch.reads[0].indices, [first, 1, last]);
    let firsts = batch.reads[0]
        .pixels
        .bytes()
        .unwrap()
        .outer_iter()
        .map(|image| u64::from(image[[0, 0, 0]]));
    assert_eq!(firsts.collect::<Vec<u64>>(), [first, 1, last]);
    let error = load(OnError::Stop).unwrap_err().to_string();
    assert!(error.contains(&format!("picture-{corrupt}")), "{error}");
}

#[test]
fn an_evaluation_goes_on_without_a_batch_of_nothing() {
    for (corrupt, batch_size) in [(&[3, 4, 5][..], 3), (&[0], 1), (&[5], 1), (&[0, 1, 2, 5], 2)] {
        let config = LoaderConfig::new(batch_size, 2, 2);
        let loader = Loader::for_evaluation(Arc::new(Faulty::new(6, corrupt)), config).unwrap();
        let mut batches = loader.batches(0..loader.steps_per_epoch(), |batch| batch);
        let taken: Vec<Batch> = batches.by_ref().map(Result::unwrap).collect();
        let indices: Vec<u64> = taken.iter().flat_map(|batch| batch.indices.clone()).collect();
        let wanted: Vec<u64> =
            (0..6).filter(|&index| !corrupt.contains(&(index as usize))).collect();
        assert_eq!((indices, batches.skipped()), (wanted, corrupt.len() as u64));
        let names_own_step = |b: &Batch| b.indices.iter().all(|&i| i / batch_size as u64 == b.step);
        assert!(taken.iter().all(names_own_step));
    }
}

#[test]
fn corrupt_images_stop_an_evaluation_where_told_so_even_when_alone() {
    let config = LoaderConfig { on_error: OnError::Stop, ..LoaderConfig::new(1, 2, 2) };
    let loader = Loader::for_evaluation(Arc::new(Faulty::new(3, &[1])), config).unwrap();
    let taken: Vec<_> = loader.batches(0..3, |batch| batch.step).collect();
    assert_eq!(taken.len(), 2);
    assert!(taken[1].as_ref().unwrap_err().to_string().contains("picture-1"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn training_has_a_batch_at_every_step_whatever_is_corrupt(
        samples in 4_usize..20, batch_size in 1_usize..3, seed: u64, threads in 1_usize..4,
        start in 0_u64..12, marks: u32,
    ) {
        let corrupt: Vec<usize> = (1..samples).filter(|i| marks >> i & 1 == 1).collect();
        let load = |threads, steps| {
            let config = LoaderConfig { seed, threads, ..LoaderConfig::new(batch_size, 2, 2) };
            let source = Arc::new(Faulty::new(samples, &corrupt));
            let loader = Loader::new(source, Augment::default(), config).unwrap();
            let each = loader.steps_per_epoch();
            (loader.batches(steps, |batch| batch).collect::<Result<Vec<Batch>, _>>(), each)
        };
        let (whole, each) = load(1, 0..12);
        // An epoch can lack readable images only if an image is dropped at its end.
        if let Ok(whole) = whole {
            prop_assert_eq!(whole.iter().map(|b| b.step).collect::<Vec<_>>(), (0..12).collect::<Vec<_>>());
            for batch in &whole {
                prop_assert_eq!(batch.epoch, batch.step / each);
                prop_assert!(batch.indices.iter().all(|&index| !corrupt.contains(&(index as usize))));
            }
            // A pure function of seed and step: the same after any resume.
            prop_assert_eq!(&whole[start as usize..], &load(threads, start..12).0.unwrap()[..]);
        }
    }
}

#[test]
fn what_a_step_lacks_is_taken_from_the_next_and_counted_once() {
    let config = LoaderConfig { threads: 1, ..LoaderConfig::new(1, 2, 2) };
    let order = |corrupt: &[usize]| -> (Vec<u64>, u64) {
        let source = Arc::new(Faulty::new(5, corrupt));
        let loader = Loader::new(source, Augment::default(), config.clone()).unwrap();
        let mut batches = loader.batches(0..10, |batch| batch.indices[0]);
        (batches.by_ref().map(Result::unwrap).collect(), batches.skipped())
    };
    let (clean, none) = order(&[]);
    assert_eq!(none, 0);
    let corrupt = [clean[1] as usize, clean[2] as usize];
    let (taken, skipped) = order(&corrupt);
    assert_eq!(skipped, 4, "two images in two epochs");
    assert_eq!(taken[..5], [clean[0], clean[3], clean[3], clean[3], clean[4]]);
    for (place, index) in taken[5..].iter().enumerate() {
        let follow = (0..5).map(|further| clean[5 + (place + further) % 5]);
        let next = follow.clone().find(|&index| !corrupt.contains(&(index as usize)));
        assert_eq!(Some(*index), next);
    }
}

#[test]
fn an_epoch_of_nothing_is_an_error() {
    let source = Arc::new(Faulty::new(6, &[0, 1, 2, 3, 4, 5]));
    let loader = Loader::new(source, Augment::default(), LoaderConfig::new(2, 2, 2)).unwrap();
    let error = loader.batches(4..9, |batch| batch.step).next().unwrap().unwrap_err();
    assert!(matches!(error, DataError::NoImages { epoch: 1 }), "{error}");
}

#[test]
fn nothing_is_read_twice_to_find_that_there_is_nothing() {
    let corrupt: Vec<usize> = (0..6).collect();
    for order in [Order::Shuffled, Order::Sequential] {
        let (reads, has_read) = bounded(100);
        let mut source = Faulty::new(6, &corrupt);
        source.read = Some(Box::new(move |index| reads.send(index).unwrap()));
        let config = LoaderConfig { order, ..LoaderConfig::new(2, 2, 2) };
        let loader = Loader::new(Arc::new(source), Augment::default(), config).unwrap();
        assert_eq!(loader.first().unwrap(), None);
        assert_eq!(has_read.len(), 6);
    }
}

#[test]
fn dropping_the_batches_stops_the_work() {
    let (reads, has_read) = bounded(4000);
    let (go_on, may_go_on) = bounded::<()>(1);
    let mut source = Faulty::new(4000, &[]);
    source.read = Some(Box::new(move |index| {
        reads.send(index).unwrap();
        if index == 0 {
            may_go_on.recv().unwrap();
        }
    }));
    let source = Arc::new(source);
    let config = LoaderConfig { threads: 1, ..LoaderConfig::new(1000, 2, 2) };
    let shared = Arc::clone(&source) as Arc<dyn Source>;
    let loader = Loader::for_evaluation(shared, config).unwrap();
    let batches = loader.batches(0..4, |batch| batch);
    assert_eq!(has_read.recv().unwrap(), 0);
    // Dropped while the first of 4,000 images is read.
    drop(batches);
    go_on.send(()).unwrap();
    // The only thread gets to this once it has finished, or given up, the earlier work.
    let mut after = loader.prefetcher.inputs(0..1, |_, _| Ok(Prepared::whole(())));
    after.next().unwrap().unwrap();
    assert_eq!(has_read.len(), 0, "images that nobody wanted were read");
    drop((loader, after));
    assert_eq!(Arc::strong_count(&source), 1, "what was given up still holds the source");
}

#[test]
fn settings_out_of_range_are_named() {
    let refuse = |config, key: &str| {
        let error = Loader::new(source(5), Augment::default(), config).err().unwrap().to_string();
        assert!(error.contains(key), "{error}");
    };
    refuse(LoaderConfig::new(6, 4, 4), "batch_size = 6: the source has only 5 images");
    refuse(LoaderConfig::new(0, 4, 4), "batch_size");
    refuse(LoaderConfig::new(2, 0, 4), "height = 0");
    refuse(LoaderConfig::new(2, 4, 0), "width = 0");
    refuse(LoaderConfig { queue: 0, ..LoaderConfig::new(2, 4, 4) }, "queue");
    let empty: Arc<dyn Source> = Arc::new(Faulty::new(0, &[]));
    assert!(Loader::for_evaluation(empty, LoaderConfig::new(2, 4, 4)).is_err());
}

#[test]
fn an_evaluation_is_whole_for_any_number_of_processes() {
    let config = LoaderConfig { share: Share { rank: 1, of: 3 }, ..LoaderConfig::new(4, 5, 6) };
    let loader = Loader::for_evaluation(source(5), config.clone()).unwrap();
    let found: Vec<_> = loader.batches(0..2, |batch| batch.indices.len()).flatten().collect();
    assert_eq!(found, [4, 1]);
    assert!(Loader::new(source(5), Augment::evaluation(), config).is_err());
}
