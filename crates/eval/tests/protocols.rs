//! The protocols on features with known answers.

#![expect(clippy::unwrap_used, reason = "a test's preparations may panic")]

use bauta_eval::{
    EncodedData, EncodedSplit, EvalError, Evaluator, KnnEvaluator, LinearProbe, Metrics,
    ProbeOptimizer,
};
use bauta_streams::{Purpose, RandomStream, StreamKey};
use tch::{Device, Kind, Tensor};

fn stream(name: &str) -> RandomStream {
    StreamKey { seed: 0, purpose: Purpose::named(name), epoch: 0, sample: 0 }.stream()
}

/// Uniform numbers in [-1, 1).
fn noise(stream: &mut RandomStream, shape: [i64; 2]) -> Tensor {
    let count = shape[0] * shape[1];
    let values: Vec<f32> = (0..count).map(|_| stream.uniform_in(-1.0, 1.0) as f32).collect();
    Tensor::from_slice(&values).view(shape)
}

/// Clusters around one centre per class; `spread` is the noise relative to the centres' size.
fn clusters(spread: f64, classes: usize, samples: [i64; 2], width: i64) -> EncodedData {
    let mut stream = stream("clusters");
    let centres = noise(&mut stream, [classes as i64, width]);
    let mut split = |samples: i64| {
        let labels: Vec<i64> = (0..samples).map(|i| i % classes as i64).collect();
        let labels = Tensor::from_slice(&labels);
        let features =
            centres.index_select(0, &labels) + noise(&mut stream, [samples, width]) * spread;
        EncodedSplit::new(features, labels).unwrap()
    };
    let [train, test] = samples.map(&mut split);
    EncodedData::new(train, test, classes).unwrap()
}

/// The same features with the training labels in random order.
fn shuffled(features: &EncodedData) -> EncodedData {
    let mut labels = Vec::<i64>::try_from(features.train().labels()).unwrap();
    stream("labels").shuffle(&mut labels);
    let train = features.train().features().shallow_clone();
    let train = EncodedSplit::new(train, Tensor::from_slice(&labels)).unwrap();
    EncodedData::new(train, copy(features.test()), features.classes() as usize).unwrap()
}

fn copy(split: &EncodedSplit) -> EncodedSplit {
    EncodedSplit::new(split.features().copy(), split.labels().copy()).unwrap()
}

fn probes() -> [LinearProbe; 2] {
    let sgd = LinearProbe { batch_size: 100, epochs: 20, ..LinearProbe::default() };
    let lars = LinearProbe { optimizer: ProbeOptimizer::Lars, base_lr: 0.1, ..sgd.clone() };
    [sgd, lars]
}

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).contiguous().view([-1])).unwrap()
}

#[test]
fn separable_clusters_are_told_apart() {
    let features = clusters(0.2, 8, [1000, 400], 16);
    let knn = KnnEvaluator::new(20, 0.07).unwrap().evaluate(&features, 0).unwrap();
    assert_eq!(knn, Metrics::from_iter([("knn_top1", 1.0)]));
    for probe in probes() {
        let linear = probe.evaluate(&features, 0).unwrap();
        assert_eq!(linear, Metrics::from_iter([("linear_top1", 1.0), ("linear_top5", 1.0)]));
    }
}

#[test]
fn shuffled_labels_teach_nothing() {
    let features = shuffled(&clusters(0.2, 8, [1000, 1000], 16));
    // Each cluster gets one answer, so chance varies widely: 8 guesses of 8 classes.
    let knn = KnnEvaluator::new(200, 10.0).unwrap().evaluate(&features, 0).unwrap();
    assert!(knn.get("knn_top1").unwrap() < 0.5, "{knn:?}");
    let wide = shuffled(&clusters(5.0, 4, [1000, 1000], 16));
    for probe in probes() {
        let linear = probe.evaluate(&wide, 0).unwrap();
        let top1 = linear.get("linear_top1").unwrap();
        assert!((0.15..0.35).contains(&top1), "{linear:?}");
        assert_eq!(linear.get("linear_top5"), None, "four classes have no fifth guess");
    }
}

#[test]
fn knn_agrees_with_brute_force() {
    let features = clusters(1.5, 5, [211, 97], 7);
    for (k, temperature) in [(1, 0.07), (7, 0.07), (7, 0.01), (211, 1.0)] {
        let predictions = KnnEvaluator::new(k, temperature).unwrap().predict(&features).unwrap();
        let predictions = Vec::<i64>::try_from(predictions).unwrap();
        assert_eq!(predictions, brute_force_knn(&features, k, temperature), "k = {k}");
    }
}

fn brute_force_knn(features: &EncodedData, k: usize, temperature: f64) -> Vec<i64> {
    let width = features.train().width() as usize;
    let train = values(features.train().features());
    let test = values(features.test().features());
    let labels = Vec::<i64>::try_from(features.train().labels()).unwrap();
    let samples = labels.len() as f64;
    let column = |d: usize| train.iter().skip(d).step_by(width);
    let mean: Vec<f64> = (0..width).map(|d| column(d).sum::<f64>() / samples).collect();
    let deviation: Vec<f64> = (0..width)
        .map(|d| (column(d).map(|x| (x - mean[d]).powi(2)).sum::<f64>() / samples).sqrt())
        .collect();
    let direction = |row: &[f64]| -> Vec<f64> {
        let row: Vec<f64> = (0..width).map(|d| (row[d] - mean[d]) / deviation[d]).collect();
        let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        row.iter().map(|x| x / length).collect()
    };
    let train: Vec<_> = train.chunks(width).map(direction).collect();
    test.chunks(width)
        .map(|query| {
            let query = direction(query);
            let similarity = |row: &[f64]| row.iter().zip(&query).map(|(a, b)| a * b).sum::<f64>();
            let mut nearest: Vec<(f64, i64)> =
                train.iter().zip(&labels).map(|(row, &label)| (similarity(row), label)).collect();
            nearest.sort_by(|a, b| b.0.total_cmp(&a.0));
            let mut votes = [0.0; 5];
            for &(similarity, label) in &nearest[..k] {
                votes[label as usize] += (similarity / temperature).exp();
            }
            (0..5).max_by(|&a, &b| votes[a as usize].total_cmp(&votes[b as usize])).unwrap()
        })
        .collect()
}

#[test]
fn standardizing_uses_the_training_split_alone() {
    let features = clusters(1.0, 3, [300, 100], 4);
    let constant = |split: &EncodedSplit| {
        let column = Tensor::full([split.samples(), 1], 0.1, (Kind::Float, Device::Cpu));
        let scaled = split.features() * 1e4 + 3e3;
        EncodedSplit::new(Tensor::cat(&[scaled, column], 1), split.labels().copy()).unwrap()
    };
    let features =
        EncodedData::new(constant(features.train()), constant(features.test()), 3).unwrap();
    let standard = features.standardized();

    let (variance, mean) = standard.train().features().var_mean_correction([0].as_slice(), 0, true);
    let (variance, mean) = (values(&variance), values(&mean));
    for column in 0..4 {
        assert!((variance[column] - 1.0).abs() < 1e-4 && mean[column].abs() < 1e-5);
    }
    let column = standard.test().features().narrow(1, 4, 1);
    assert!(values(&column).iter().all(|&x| x == 0.0), "a constant column becomes 0");
    let test_mean = standard.test().features().mean_dim([0].as_slice(), false, Kind::Float);
    assert!(values(&test_mean)[..4].iter().any(|mean| mean.abs() > 0.01), "not its own mean");
}

#[test]
fn the_probe_does_not_depend_on_threads_or_the_global_generator() {
    let features = clusters(3.0, 6, [2000, 2000], 32);
    let [probe, _] = probes();
    let run = |threads, torch_seed| {
        tch::set_num_threads(threads);
        tch::manual_seed(torch_seed);
        let metrics = probe.evaluate(&features, 3).unwrap();
        let next = Tensor::rand([1], (Kind::Float, Device::Cpu)).double_value(&[0]);
        (metrics, next)
    };
    let (metrics, next) = run(1, 1);
    tch::manual_seed(1);
    let untouched = Tensor::rand([1], (Kind::Float, Device::Cpu)).double_value(&[0]);
    assert_eq!(next, untouched, "nothing was drawn from the global generator");
    assert_eq!(run(2, 2).0, metrics);
    assert_ne!(probe.evaluate(&features, 4).unwrap(), metrics, "the seed has its effect");
}

#[test]
fn a_class_missing_from_training_counts_as_wrong() {
    let features = clusters(0.1, 4, [400, 400], 16);
    let keep = features.train().labels().not_equal(3).nonzero().view([-1]);
    let train = EncodedSplit::new(
        features.train().features().index_select(0, &keep),
        features.train().labels().index_select(0, &keep),
    );
    let features = EncodedData::new(train.unwrap(), copy(features.test()), 4).unwrap();
    let knn = KnnEvaluator::new(5, 0.07).unwrap().evaluate(&features, 0).unwrap();
    assert_eq!(knn.get("knn_top1"), Some(0.75));
    let linear = probes()[0].evaluate(&features, 0).unwrap();
    assert_eq!(linear.get("linear_top1"), Some(0.75));
}

#[test]
fn encoding_keeps_order_and_records_no_gradient() {
    let weight = Tensor::ones([12, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let batches = (0..3).map(|i| {
        let images = Tensor::full([2, 3, 2, 2], i, (Kind::Uint8, Device::Cpu));
        Ok::<_, EvalError>((images, vec![i, i + 1]))
    });
    let split = EncodedSplit::encode(batches, Device::Cpu, |images| {
        images.to_kind(Kind::Float).flatten(1, -1).matmul(&weight)
    })
    .unwrap();
    assert_eq!((split.samples(), split.width()), (6, 3));
    assert!(!split.features().requires_grad());
    assert_eq!(values(&split.features().select(1, 0)), [0.0, 0.0, 12.0, 12.0, 24.0, 24.0]);
    assert_eq!(values(split.labels()), [0.0, 1.0, 1.0, 2.0, 2.0, 3.0]);
}

#[test]
fn hostile_features_are_refused() {
    let floats = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
    let zeros = |n: i64| Tensor::zeros([n], (Kind::Int64, Device::Cpu));
    let refuse =
        |features: Tensor, labels: Tensor| EncodedSplit::new(features, labels).unwrap_err();

    for shape in [&[4][..], &[4, 2, 2], &[0, 2], &[4, 0]] {
        assert!(matches!(refuse(floats(shape), zeros(4)), EvalError::Shape { .. }));
    }
    let error = refuse(floats(&[4, 2]), zeros(3)).to_string();
    assert_eq!(error, "labels: shape [3], expected [4], one for each feature vector");
    let integers = floats(&[4, 2]).to_kind(Kind::Uint8);
    assert!(matches!(refuse(integers, zeros(4)), EvalError::Kind { .. }));
    let float_labels = zeros(4).to_kind(Kind::Float);
    assert!(matches!(refuse(floats(&[4, 2]), float_labels), EvalError::Kind { .. }));
    for bad in [f64::NAN, f64::INFINITY] {
        let features = floats(&[4, 2]);
        let _ = features.get(1).fill_(bad);
        let error = refuse(features, zeros(4)).to_string();
        assert_eq!(error, "features: 2 of 8 values are NaN or infinite");
    }

    let split =
        |width: i64, label: i64| EncodedSplit::new(floats(&[4, width]), zeros(4) + label).unwrap();
    let join = |train, test, classes| EncodedData::new(train, test, classes).unwrap_err();
    assert!(matches!(join(split(2, 0), split(3, 0), 2), EvalError::Shape { .. }));
    assert!(matches!(join(split(2, 0), split(2, 0), 1), EvalError::Setting { .. }));
    let error = join(split(2, 0), split(2, 7), 7).to_string();
    assert_eq!(error, "test labels run from 7 to 7; 7 classes need 0 to 6");
    assert!(matches!(join(split(2, -1), split(2, 0), 7), EvalError::Label { .. }));
}

#[test]
fn hostile_batches_are_refused() {
    let encode = |batches: Vec<Result<(Tensor, Vec<i64>), EvalError>>| {
        EncodedSplit::encode(batches, Device::Cpu, |images| images.flatten(1, -1)).unwrap_err()
    };
    let images = |n, side| Tensor::ones([n, 1, side, side], (Kind::Float, Device::Cpu));
    assert!(matches!(encode(vec![]), EvalError::Shape { .. }));
    assert!(matches!(encode(vec![Ok((images(2, 2), vec![0]))]), EvalError::Shape { .. }));
    let growing = vec![Ok((images(1, 2), vec![0])), Ok((images(1, 3), vec![0]))];
    let error = encode(growing).to_string();
    assert_eq!(error, "encoded batch: shape [1, 9], expected [1, 4]");
    let broken = EvalError::Neighbours { k: 1, references: 0 };
    assert!(matches!(encode(vec![Err(broken)]), EvalError::Neighbours { .. }));
}

#[test]
fn hostile_settings_are_refused() {
    assert!(KnnEvaluator::new(0, 0.07).is_err());
    for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(KnnEvaluator::new(1, temperature).is_err());
    }
    let features = clusters(1.0, 3, [30, 10], 4);
    let error = KnnEvaluator::new(31, 0.07).unwrap().evaluate(&features, 0).unwrap_err();
    assert_eq!(error.to_string(), "k is 31, but there are only 30 training features; lower k");

    let good = LinearProbe::default();
    let bad = [
        LinearProbe { epochs: 0, ..good.clone() },
        LinearProbe { batch_size: 1, ..good.clone() },
        LinearProbe { base_lr: 0.0, ..good.clone() },
        LinearProbe { base_lr: f64::NAN, ..good.clone() },
        LinearProbe { warmup_epochs: -1.0, ..good.clone() },
        LinearProbe { weight_decay: f64::INFINITY, ..good.clone() },
    ];
    for probe in bad {
        let error = probe.evaluate(&features, 0).unwrap_err();
        assert!(matches!(error, EvalError::Setting { .. }), "{probe:?}");
    }
    let lonely = || {
        EncodedSplit::new(
            Tensor::ones([1, 2], (Kind::Float, Device::Cpu)),
            Tensor::from_slice(&[0_i64]),
        )
    };
    let lonely = EncodedData::new(lonely().unwrap(), lonely().unwrap(), 2).unwrap();
    assert!(matches!(good.evaluate(&lonely, 0), Err(EvalError::Setting { .. })));
}
