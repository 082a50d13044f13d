//! Memory use of features in a file while they are computed and measured.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test's preparations may panic")]

mod digits;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, thread};

use bauta_data::LoaderConfig;
use bauta_eval::{
    EncodeError, EncodedData, EvalError, Evaluator, FeatureStore, KnnEvaluator, LinearProbe,
    Metrics, Protocols,
};
use digits::digits;
use tch::{Device, Kind, Tensor};

/// Number of images, and of features per image: 160 MB.
const SAMPLES: u32 = 40_000;
const WIDTH: i64 = 1_000;

/// Bytes of memory that are not backed by a file.
fn anonymous() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    1024 * line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}

/// Maximum memory since it was last read.
static PEAK: AtomicU64 = AtomicU64::new(0);

/// Reads the maximum memory before and while an evaluator measures.
struct Peak(&'static str, Box<dyn Evaluator>);

impl Evaluator for Peak {
    fn name(&self) -> &str {
        self.0
    }

    fn settings(&self) -> String {
        String::new()
    }

    fn evaluate_until(
        &self,
        features: &EncodedData,
        seed: u64,
        stop: &AtomicBool,
    ) -> Result<Metrics, EvalError> {
        let made = PEAK.swap(0, Ordering::Relaxed);
        self.1.evaluate_until(features, seed, stop)?;
        let measured = PEAK.swap(0, Ordering::Relaxed);
        let name = |when: &str| format!("{}_{when}", self.0);
        Ok(Metrics::from_iter([(name("before"), made as f64), (name("peak"), measured as f64)]))
    }
}

#[test]
fn neither_encoding_nor_measuring_holds_the_features() {
    let bytes = f64::from(SAMPLES) * WIDTH as f64 * 4.0;
    let (train, test, stop) = (digits(SAMPLES), digits(200), AtomicBool::new(false));
    let places = Tensor::arange(64 * WIDTH, (Kind::Float, Device::Cpu));
    let weights = (places * 0.7).sin().view([64, WIDTH]);
    let encode = |pixels: &Tensor| -> Result<Tensor, EncodeError> {
        Ok((pixels.to_kind(Kind::Float).flatten(1, -1) / 99.0).matmul(&weights))
    };
    let over = AtomicBool::new(false);
    let folder = tempfile::tempdir().unwrap();
    let run = |in_memory: u64| -> Metrics {
        let probe = LinearProbe { epochs: 1, ..LinearProbe::default() };
        let knn = KnnEvaluator::new(5, 0.07).unwrap();
        let evaluators: Vec<Box<dyn Evaluator>> =
            vec![Box::new(Peak("linear", Box::new(probe))), Box::new(Peak("knn", Box::new(knn)))];
        let loader = LoaderConfig { threads: 1, ..LoaderConfig::new(500, 8, 8) };
        let protocols = Protocols::new(evaluators, [&train, &test], loader, Device::Cpu, &stop);
        let store = FeatureStore::new(in_memory, folder.path());
        protocols.unwrap().storing(store).measure("mine", &encode).unwrap().into_iter().collect()
    };
    let (before, file, memory) = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                PEAK.fetch_max(anonymous(), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(1));
            }
        });
        let before = anonymous();
        let found = (before, run(1_000_000), run(u64::MAX));
        over.store(true, Ordering::Relaxed);
        found
    });
    let grown = |found: &Metrics, name: &str| (found.get(name).unwrap() - before as f64) / bytes;
    // Features computed in memory are there twice for a moment.
    assert!(grown(&memory, "linear_before") > 1.0, "{memory:?}");
    assert!(grown(&file, "linear_before") < 0.4, "{file:?} from {before}");
    assert!(grown(&file, "linear_peak") < 0.4, "{file:?} from {before}");
    // A block of the features takes 67 MB.
    assert!(grown(&file, "knn_peak") < 0.9, "{file:?} from {before}");
}
