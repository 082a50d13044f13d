//! Protocols on functions from pixels to features, and pairs of images.

#![expect(clippy::unwrap_used, reason = "a test's preparations may panic")]

mod digits;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bauta_backbones::TokenIndices;
use bauta_data::{InMemory, Limited, LoaderConfig, Source, Statistics};
use bauta_eval::{
    EncodeError, EncodedData, EncodedSplit, EvalError, Evaluator, FewShotRidge, KnnEvaluator,
    LinearProbe, Metrics, MixturePairs, OnlineEvaluation, OnlineMetrics, Protocols, SHARES,
    SemiSupervised, Watch, check_suitable, missing_classes, separability_anchors,
};
use bauta_masking::{Grid, MaskStrategy, RandomMask};
use bauta_streams::{Purpose, StreamKey};
use bauta_targets::patchify;
use bauta_train::Event;
use digits::digits;
use tch::{Device, Kind, Tensor};

fn evaluators() -> Vec<Box<dyn Evaluator>> {
    vec![Box::new(KnnEvaluator::new(5, 0.07).unwrap()), Box::new(FewShotRidge::new(3, 2).unwrap())]
}

fn loader() -> LoaderConfig {
    LoaderConfig { seed: 3, threads: 1, ..LoaderConfig::new(30, 8, 8) }
}

fn means(pixels: &Tensor) -> Result<Tensor, EncodeError> {
    let rows = pixels.to_kind(Kind::Float).mean_dim([1, 3].as_slice(), false, None);
    let columns = pixels.to_kind(Kind::Float).mean_dim([1, 2].as_slice(), false, None);
    Ok(Tensor::cat(&[rows, columns], 1))
}

#[test]
fn numbers_come_with_all_that_they_depend_on() {
    let (train, test, stop) = (digits(200), digits(50), AtomicBool::new(false));
    let protocols =
        Protocols::new(evaluators(), [&train, &test], loader(), Device::Cpu, &stop).unwrap();
    let found = protocols.measure("means", &means).unwrap();
    let names: Vec<&str> = found.iter().map(|measured| measured.metric.as_str()).collect();
    assert_eq!(names, ["knn_top1", "few_shot_3_top1", "few_shot_3_top1_std"]);
    assert_eq!(found[0].value, 1.0, "rows and columns tell every bar");
    let facts = found.iter().map(|m| (m.training_images, m.test_images, m.split, m.seed));
    assert_eq!(
        facts.collect::<Vec<_>>(),
        [(200, 50, "test", 3), (30, 50, "test", 3), (30, 50, "test", 3)]
    );
    assert!(found[0].settings.contains("k 5"), "{}", found[0].settings);
    let raw: Metrics = protocols.measure_raw_pixels().unwrap().into_iter().collect();
    assert_eq!(raw.get("knn_top1"), Some(1.0));
    assert_eq!(raw.iter().count(), 3);
}

#[test]
fn without_a_protocol_nothing_is_encoded() {
    let (train, test, stop) = (digits(20), digits(5), AtomicBool::new(false));
    let none = Protocols::new(Vec::new(), [&train, &test], loader(), Device::Cpu, &stop).unwrap();
    assert_eq!(none.measure("mine", &|_| Err("was asked".into())).unwrap(), []);
    assert_eq!(none.measure_raw_pixels().unwrap(), []);
}

#[test]
fn features_are_measured_while_they_change() {
    let (train, test, stop) = (digits(200), digits(50), AtomicBool::new(false));
    let knn = || Some(KnnEvaluator::new(5, 0.07).unwrap());
    let online = |knn| OnlineEvaluation::new([&train, &test], knn, loader(), Device::Cpu, &stop);
    let found = online(knn()).measure(&means).unwrap();
    assert_eq!((found.knn_top1, found.features), (Some(1.0), 16));
    assert!(found.rank > 8.0 && found.rank < 16.0 && !found.collapsed(), "{found:?}");
    assert_eq!(online(None).measure(&means).unwrap(), OnlineMetrics { knn_top1: None, ..found });
    assert!(found.to_string().starts_with("knn_top1 1.000, feature rank "), "{found}");

    // Images differ in one direction only.
    let line = |pixels: &Tensor| Ok(means(pixels)?.narrow(1, 0, 1).repeat([1, 20]) + 3.0);
    let collapsed = online(knn()).measure(&line).unwrap();
    assert!(collapsed.collapsed() && collapsed.rank < 1.01, "{collapsed:?}");

    stop.store(true, Ordering::Relaxed);
    assert!(matches!(online(knn()).measure(&means), Err(EvalError::Stopped)));
}

#[test]
fn protocols_end_within_their_work_once_they_are_told() {
    let points = |n: i64| {
        let labels = Tensor::arange(n, (Kind::Int64, Device::Cpu)).remainder(2);
        EncodedSplit::new(labels.to_kind(Kind::Float).unsqueeze(1).repeat([1, 3]), labels).unwrap()
    };
    let data = EncodedData::new(points(60), points(20), 2).unwrap();
    // This would take far too long.
    let probe = LinearProbe { epochs: u32::MAX, batch_size: 10, ..LinearProbe::default() };
    let semi = SemiSupervised { percent: 50.0, probe: probe.clone() };
    let knn = KnnEvaluator::new(5, 0.07).unwrap();
    let shots = FewShotRidge::new(2, u32::MAX).unwrap();
    for evaluator in [&probe as &dyn Evaluator, &semi, &knn, &shots] {
        let stop = AtomicBool::new(evaluator.name() == "knn");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                stop.store(true, Ordering::Relaxed);
            });
            let begun = Instant::now();
            let end = evaluator.evaluate_until(&data, 0, &stop);
            assert!(matches!(end, Err(EvalError::Stopped)), "{}: {end:?}", evaluator.name());
            assert!(begun.elapsed() < Duration::from_secs(1), "{}", evaluator.name());
        });
    }
}

#[test]
fn what_fails_says_whose_features_they_were() {
    let (train, test, stop) = (digits(200), digits(50), AtomicBool::new(false));
    let protocols =
        Protocols::new(evaluators(), [&train, &test], loader(), Device::Cpu, &stop).unwrap();
    let failed = protocols.measure("mine", &|_| Err("no such encoder".into()));
    assert_eq!(failed.unwrap_err().to_string(), "mine: no such encoder");
    let infinite = |pixels: &Tensor| Ok(means(pixels)?.log() - f64::INFINITY);
    let failed = protocols.measure("mine", &infinite).unwrap_err().to_string();
    assert!(failed.starts_with("mine: features: "), "{failed}");
}

/// Stops at a part whose name contains a word, and keeps the names of all parts.
struct StopAt(AtomicBool, &'static str, Mutex<Vec<String>>);

impl Watch for StopAt {
    fn stop(&self) -> &AtomicBool {
        &self.0
    }

    fn begin(&self, what: &str) {
        self.2.lock().unwrap().push(what.to_owned());
        if what.contains(self.1) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }

    fn training(&self, _: &Event<'_>, _: u64) {
        unreachable!("nothing is trained");
    }
}

#[test]
fn a_watch_is_told_the_parts_and_can_end_it() {
    let (train, test) = (digits(200), digits(50));
    let watch = |word| StopAt(AtomicBool::new(false), word, Mutex::default());
    let measure = |watch: &StopAt| {
        let splits = [&train, &test];
        let protocols = Protocols::new(evaluators(), splits, loader(), Device::Cpu, watch).unwrap();
        protocols.measure("means", &means).map(|found| found.len())
    };
    let patient = watch("never");
    assert_eq!(measure(&patient).unwrap(), 3);
    let parts = [
        "features of 200 images: means",
        "features of 50 images: means",
        "knn: means",
        "few-shot: means",
    ];
    assert_eq!(*patient.2.lock().unwrap(), parts);
    for (word, told) in [("features of 50", 2), ("knn", 3)] {
        let hasty = watch(word);
        assert!(measure(&hasty).unwrap_err().to_string().contains("stopped"));
        assert_eq!(hasty.2.lock().unwrap().len(), told, "{word}");
    }
}

#[test]
fn images_that_are_too_few_are_known_before_anything_is_encoded() {
    let few: Arc<dyn Source> = Arc::new(Limited::new(digits(200), 19));
    let refused = check_suitable(&evaluators(), &*few).unwrap_err().to_string();
    let wanted = "protocol few-shot, class bar 0: class 0 has 2 training samples, 3 are needed";
    assert!(refused.starts_with(wanted), "{refused}");
    let fewer: Arc<dyn Source> = Arc::new(Limited::new(digits(200), 4));
    let refused = check_suitable(&evaluators(), &*fewer).unwrap_err().to_string();
    assert!(refused.starts_with("protocol knn: k is 5, but there are only 4"), "{refused}");
    assert_eq!(missing_classes(&*fewer).len(), 6);
    assert_eq!(missing_classes(&*few), Vec::<&str>::new());
    assert!(check_suitable(&evaluators(), &*digits(200)).is_ok());
}

/// Images of independent pixels.
fn noise(name: &str, count: usize) -> Arc<dyn Source> {
    let purpose = Purpose::named(name);
    let mut stream = StreamKey { seed: 0, purpose, epoch: 0, sample: 0 }.stream();
    let pixels = (0..count * 64).map(|_| stream.below(256) as u8).collect();
    let labels = (0..count).map(|image| (image % 2) as u8).collect();
    let classes = vec!["even".to_owned(), "odd".to_owned()];
    Arc::new(InMemory::new(name, [8, 8, 1], pixels, labels, classes, Statistics::MNIST).unwrap())
}

#[test]
fn pixels_of_independent_images_sit_on_the_anchor() {
    let (train, test) = (noise("held in", 700), noise("held out", 600));
    let grid = Grid::of_image(8, 8, 4).unwrap();
    let strategy: Arc<dyn MaskStrategy> = Arc::new(RandomMask::new(grid, 0.5).unwrap());
    let pairs = MixturePairs::read([&train, &test], &loader(), &strategy).unwrap();
    assert_eq!((pairs.held_in.len(), pairs.held_out.len()), (2, 2));
    let [first, second] = &pairs.held_in[0].sources;
    let same = first.eq_tensor(second).flatten(1, -1).all_dim(1, false).any();
    assert_eq!(same.int64_value(&[]), 0, "nobody is their own partner");

    let stop = AtomicBool::new(false);
    let visible = |pixels: &Tensor, indices: &TokenIndices| -> Result<Tensor, EncodeError> {
        Ok(indices.gather_visible(&patchify(&(pixels / 255.0), grid)?))
    };
    let found = pairs.separability("pixels", Device::Cpu, &visible, &stop).unwrap();
    let anchors = separability_anchors();
    for share in SHARES {
        for source in ["subordinate", "dominant"] {
            let name = format!("separability_{source}_r2_at_{share}");
            let (found, anchor) = (found.get(&name).unwrap(), anchors.get(&name).unwrap());
            assert!((found - anchor).abs() < 0.06, "{name}: {found}, anchor {anchor}");
        }
    }
    let failing =
        |_: &Tensor, _: &TokenIndices| -> Result<Tensor, EncodeError> { Err("no encoder".into()) };
    let failed = pairs.separability("mine", Device::Cpu, &failing, &stop).unwrap_err();
    assert_eq!(failed.to_string(), "linear separability: mine: no encoder");
}
