//! Features in a file, or from several processes, have the bits and scores of one process that
//! keeps them in memory.

#![expect(clippy::unwrap_used, reason = "a test's preparations may panic")]

mod digits;

use std::cell::RefCell;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use bauta_data::LoaderConfig;
use bauta_eval::{
    EncodeError, EncodedData, EvalError, Evaluator, FeatureStore, FewShotRidge, KnnEvaluator,
    LinearProbe, Measurement, Metrics, Protocols, SemiSupervised,
};
use bauta_train::{Ranks, Variables};
use digits::digits;
use tch::{Device, Kind, Tensor};

/// Keeps the features that it gets.
#[derive(Default)]
struct Shown(RefCell<Vec<Vec<f32>>>);

impl Evaluator for &Shown {
    fn name(&self) -> &str {
        "shown"
    }

    fn settings(&self) -> String {
        String::new()
    }

    fn evaluate_until(
        &self,
        features: &EncodedData,
        _seed: u64,
        _stop: &AtomicBool,
    ) -> Result<Metrics, EvalError> {
        let (train, test) = (features.train(), features.test());
        for tensor in [train.features(), test.features(), train.labels(), test.labels()] {
            let values = tensor.to_kind(Kind::Float).contiguous().view([-1]);
            self.0.borrow_mut().push(Vec::try_from(values).unwrap());
        }
        Ok(Metrics::new())
    }
}

/// 64 features of an image that distinguish the digits, but not well.
fn encode(pixels: &Tensor) -> Result<Tensor, EncodeError> {
    let places = Tensor::arange(64 * 64, (Kind::Float, Device::Cpu));
    let weights = (places * 0.7).sin().view([64, 64]);
    Ok((pixels.to_kind(Kind::Float).flatten(1, -1) / 99.0).matmul(&weights).sin())
}

/// The measurements on the digits, and the features they were made on.
fn measured(
    store: FeatureStore,
    encode: &dyn Fn(&Tensor) -> Result<Tensor, EncodeError>,
) -> Result<(Vec<Measurement>, Vec<Vec<f32>>), EvalError> {
    let (train, test, stop) = (digits(230), digits(70), AtomicBool::new(false));
    let shown: &Shown = Box::leak(Box::default());
    let probe = LinearProbe { epochs: 3, batch_size: 50, ..LinearProbe::default() };
    let evaluators: Vec<Box<dyn Evaluator>> = vec![
        Box::new(KnnEvaluator::new(5, 0.07).unwrap()),
        Box::new(probe.clone()),
        Box::new(FewShotRidge::new(3, 2).unwrap()),
        Box::new(SemiSupervised { percent: 20.0, probe }),
        Box::new(shown),
    ];
    let loader = LoaderConfig { seed: 3, threads: 1, ..LoaderConfig::new(30, 8, 8) };
    let protocols = Protocols::new(evaluators, [&train, &test], loader, Device::Cpu, &stop)?;
    let found = protocols.storing(store).measure("mine", encode)?;
    Ok((found, shown.0.take()))
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn features_in_a_file_are_those_in_memory_and_so_are_the_scores() {
    let folder = tempfile::tempdir().unwrap();
    let in_memory = measured(FeatureStore::default(), &encode).unwrap();
    assert!(in_memory.0.iter().any(|m| m.value > 0.2 && m.value < 1.0), "{:?}", in_memory.0);
    // In memory: no features, a part of the training split, only the test split.
    for bytes in [0, 20_000, 30_000] {
        let store = FeatureStore::new(bytes, folder.path());
        let seen = RefCell::new(0);
        let watched = |pixels: &Tensor| {
            *seen.borrow_mut() += files(folder.path());
            encode(pixels)
        };
        assert_eq!(measured(store, &watched).unwrap(), in_memory, "{bytes} bytes");
        assert!(seen.take() > 0, "there was a file");
        assert_eq!(files(folder.path()), 0);
    }
    let failing = |pixels: &Tensor| match pixels.size()[0] {
        30 => encode(pixels),
        _ => Err("a shorter batch".into()),
    };
    let store = FeatureStore::new(0, folder.path());
    assert!(matches!(measured(store, &failing), Err(EvalError::At { .. })));
    assert_eq!(files(folder.path()), 0, "nothing is left of what failed");
}

fn ranks_of(rank: usize, count: usize, port: u16) -> Ranks {
    let variables = Variables {
        rank,
        count,
        host: "127.0.0.1".to_owned(),
        port,
        serves: rank == 0,
        attempt: "test".to_owned(),
        timeout: Duration::from_secs(60),
        threads: 0,
    };
    Ranks::meet(&variables, "the same").unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn features_of_several_ranks_are_those_of_one_and_so_are_the_scores() {
    let alone = measured(FeatureStore::default(), &encode).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // Twelve ranks are more than there are batches of either split.
    for (count, bytes) in [(2, u64::MAX), (2, 0), (3, 9_000), (12, u64::MAX)] {
        let (port, folder) = (free_port(), folder.path());
        let rank = |rank: usize| {
            let ranks = ranks_of(rank, count, port);
            let made = RefCell::new(0);
            let counted = |pixels: &Tensor| {
                *made.borrow_mut() += pixels.size()[0];
                encode(pixels)
            };
            let store = FeatureStore::new(bytes, folder).among(&ranks);
            let found = measured(store, &counted).unwrap();
            // Rank 0 serves the store, which other ranks can still need.
            ranks.any(false).unwrap();
            (found, made.take())
        };
        let found: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..count).map(|number| scope.spawn(move || rank(number))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(found[0].0, alone, "{count} ranks");
        assert!(found[1..].iter().all(|(found, _)| *found == (vec![], vec![])));
        let made: Vec<i64> = found.iter().map(|(_, made)| *made).collect();
        assert_eq!(made.iter().sum::<i64>(), 300, "each image is encoded once");
        assert!(made.iter().all(|&made| made <= 300 / count as i64 + 60), "{made:?}");
        assert_eq!(files(folder), 0);
    }
}

#[test]
fn a_rank_that_fails_is_named() {
    let port = free_port();
    let error = thread::scope(|scope| {
        scope.spawn(move || {
            let store = FeatureStore::default().among(&ranks_of(1, 2, port));
            let failing = |_: &Tensor| Err("it cannot".into());
            assert!(measured(store, &failing).unwrap_err().to_string().contains("it cannot"));
        });
        let store = FeatureStore::default().among(&ranks_of(0, 2, port));
        measured(store, &encode).unwrap_err()
    });
    let error = error.to_string();
    assert!(error.contains("rank 1 is gone") && error.starts_with("mine: "), "{error}");
}
