//! Batches are a pure function of seed and step, and corrupt images do as told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::image::Image;
use crate::source::{InMemory, Statistics};

/// Images of 6 × 5 pixels of which no two are equal.
fn source(samples: usize) -> Arc<dyn Source> {
    let pixels = (0..samples * 6 * 5 * 3).map(|i| ((i * 97) >> 3) as u8).collect();
    let labels = (0..samples).map(|i| (i % 7) as u8).collect();
    let classes = (0..7).map(|class| class.to_string()).collect();
    let shape = [6, 5, 3];
    Arc::new(InMemory::new("test", shape, pixels, labels, classes, Statistics::CIFAR10).unwrap())
}

/// Unlabelled images, those with the given indices corrupt; counts what is read.
struct Faulty {
    samples: usize,
    corrupt: Vec<usize>,
    delay: Duration,
    read: AtomicUsize,
}

impl Faulty {
    fn new(samples: usize, corrupt: &[usize]) -> Self {
        let read = AtomicUsize::new(0);
        Self { samples, corrupt: corrupt.to_vec(), delay: Duration::ZERO, read }
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
        self.read.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(self.delay);
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
            batch.pixels.index_axis(ndarray::Axis(0), row).indexed_iter()
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
    let firsts: Vec<u8> = again.pixels.outer_iter().map(|image| image[[0, 0, 0]]).collect();
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
    let load = |on_error| {
        let config = LoaderConfig { on_error, ..LoaderConfig::new(3, 2, 2) };
        let loader = Loader::for_evaluation(Arc::new(Faulty::new(9, &[7])), config).unwrap();
        let reader = loader.reader();
        loader.batches(0..1, move |batch| reader.partners(&batch, &[8, 7, 5])).next()
    };
    let read = load(OnError::Skip).unwrap().unwrap().unwrap();
    assert_eq!(read.indices, [8, 1, 5]);
    let firsts: Vec<u8> = read.pixels.outer_iter().map(|image| image[[0, 0, 0]]).collect();
    assert_eq!(firsts, [8, 1, 5]);
    let error = load(OnError::Stop).unwrap().unwrap().unwrap_err().to_string();
    assert!(error.contains("picture-7"), "{error}");
}

#[test]
fn a_batch_of_nothing_is_an_error() {
    let loader =
        Loader::for_evaluation(Arc::new(Faulty::new(6, &[3, 4, 5])), LoaderConfig::new(3, 2, 2));
    let mut batches = loader.unwrap().batches(0..2, |batch| batch.step);
    assert_eq!(batches.next().unwrap().unwrap(), 0);
    let error = batches.next().unwrap().unwrap_err();
    assert!(matches!(error, DataError::EmptyBatch { step: 1 }), "{error}");
}

/// Waits for what other threads are about to bring about.
fn eventually(holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "it never came about");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn dropping_the_batches_stops_the_work() {
    let mut source = Faulty::new(4000, &[]);
    source.delay = Duration::from_millis(2);
    let source = Arc::new(source);
    let config = LoaderConfig { threads: 2, ..LoaderConfig::new(1000, 2, 2) };
    let shared = Arc::clone(&source) as Arc<dyn Source>;
    let loader = Loader::new(shared, Augment::default(), config).unwrap();
    let batches = loader.batches(0..100, |batch| batch);
    eventually(|| source.read.load(Ordering::Relaxed) > 0);
    drop(batches);
    drop(loader);
    eventually(|| Arc::strong_count(&source) == 1);
    let read = source.read.load(Ordering::Relaxed);
    assert!(read < 1000, "{read} images were read of the 4000 under way");
}

#[test]
fn no_more_than_the_queue_is_made_ahead() {
    let source = Arc::new(Faulty::new(100, &[]));
    let config = LoaderConfig { queue: 3, ..LoaderConfig::new(5, 2, 2) };
    let loader = Loader::for_evaluation(Arc::clone(&source) as Arc<dyn Source>, config).unwrap();
    let mut batches = loader.batches(0..20, |batch| batch);
    batches.next().unwrap().unwrap();
    let read = || source.read.load(Ordering::Relaxed);
    eventually(|| read() >= 4 * 5);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(read(), 4 * 5, "one taken and three ahead");
}

#[test]
fn a_panic_in_prepare_reaches_the_consumer() {
    let loader = Loader::for_evaluation(source(4), LoaderConfig::new(2, 4, 4)).unwrap();
    let mut batches = loader.batches(0..2, |batch| assert_eq!(batch.step, 7, "on purpose"));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| batches.next()));
    let message = panic.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("on purpose"), "{message}");
}

#[test]
fn settings_out_of_range_name_their_key() {
    let refuse = |config, key: &str| {
        let error = Loader::new(source(5), Augment::default(), config).err().unwrap().to_string();
        assert!(error.contains(key), "{error}");
    };
    refuse(LoaderConfig::new(6, 4, 4), "train.batch_size = 6: the source has only 5 images");
    refuse(LoaderConfig::new(0, 4, 4), "train.batch_size");
    refuse(LoaderConfig::new(2, 0, 4), "data.image_size");
    refuse(LoaderConfig { queue: 0, ..LoaderConfig::new(2, 4, 4) }, "queue");
    let empty: Arc<dyn Source> = Arc::new(Faulty::new(0, &[]));
    assert!(Loader::for_evaluation(empty, LoaderConfig::new(2, 4, 4)).is_err());
}
