//! Properties of policies, rewards and the meta-learner for any numbers.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use bauta_backbones::Parameters;
use bauta_libtorch::{normal, uniform};
use bauta_multilabel::{
    Architecture, Classifier, ClassifierConfig, Credit, MetaConfig, MetaLearner, Noise, Policies,
    Reward, Words, counterfactual_f1, probability_margin, thresholds_of, weighted_loss, weights_of,
};
use bauta_streams::{Purpose, RandomStream, StreamKey};
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

fn stream(sample: u64) -> RandomStream {
    StreamKey { seed: 5, purpose: Purpose::named("policies"), epoch: 0, sample }.stream()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.detach().flatten(0, -1).try_into().unwrap()
}

fn number(tensor: &Tensor) -> f64 {
    tensor.double_value(&[])
}

/// Outputs and truth of documents whose labels are true with the probabilities of the outputs.
fn calibrated(documents: i64, labels: i64, sample: u64) -> [Tensor; 2] {
    let mut stream = stream(sample);
    let outputs = (normal(&[documents, labels], 1.5, &mut stream) - 1.5).sigmoid();
    let drawn = uniform(&[documents, labels], 0.0, 1.0, &mut stream);
    let truth = drawn.less_tensor(&outputs).to_kind(Kind::Float);
    [outputs, truth]
}

fn noise(labels: i64, step: u64) -> Noise {
    let mut stream = stream(1000 + step);
    Noise {
        weights: normal(&[labels], 1.0, &mut stream),
        thresholds: normal(&[labels], 1.0, &mut stream),
    }
}

fn learner(config: &MetaConfig) -> (Parameters, MetaLearner) {
    let mut parameters = Parameters::new(1, Device::Cpu);
    let learner = MetaLearner::new(parameters.root().sub("meta"), config).unwrap();
    (parameters, learner)
}

fn classifier(labels: usize) -> (Parameters, Classifier, Words) {
    let mut parameters = Parameters::new(2, Device::Cpu);
    // Close to the thresholds, so that noise changes decisions.
    let prevalence = vec![0.5; labels];
    let architecture = Architecture::Bag;
    let config = ClassifierConfig { architecture, ids: 50, dim: 8, hidden: 6, prevalence };
    let classifier = Classifier::new(parameters.root(), &config).unwrap();
    let ids: Vec<i64> = (0..40).map(|word| word * 7 % 50).collect();
    let words = Words::Bag {
        ids: Tensor::from_slice(&ids),
        offsets: Tensor::from_slice(&[0_i64, 10, 10, 25]),
        weights: Tensor::from_slice(&[0.3_f32; 40]),
    };
    (parameters, classifier, words)
}

fn truth(labels: usize) -> Tensor {
    let bits: Vec<f32> = (0..4 * labels).map(|place| (place % 3 == 0) as u8 as f32).collect();
    Tensor::from_slice(&bits).view([4, labels as i64])
}

/// With untrained policies and no noise, training is the plain baseline's.
#[test]
fn untrained_and_without_noise_it_is_the_plain_baseline_bit_for_bit() {
    let (_, mut learner) = learner(&MetaConfig::new(5, 10));
    let (_, classifier, words) = classifier(5);
    let logits = classifier.forward(&words, None);
    let plain = weighted_loss(&logits, &truth(5), &Tensor::from_slice(&[1.0_f32; 5]));
    for step in 0..3 {
        let action = learner.act(None);
        assert_eq!(values(&action.weights), [1.0; 5]);
        assert_eq!(values(&action.thresholds), [0.5; 5]);
        let loss = weighted_loss(&logits, &truth(5), &action.weights);
        assert_eq!(number(&loss).to_bits(), number(&plain).to_bits());
        learner.pass(&action, step);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn weights_are_bounded_with_mean_one_and_thresholds_within_zero_and_one(
        logits in prop::collection::vec(-8.0_f32..8.0, 1..30), range in 0.0..0.95,
    ) {
        let logits = Tensor::from_slice(&logits);
        let weights = values(&weights_of(&logits, range));
        let mean = weights.iter().map(|&w| f64::from(w)).sum::<f64>() / weights.len() as f64;
        prop_assert!((mean - 1.0).abs() < 1e-5, "{mean}");
        let most = (1.0 + range) / (1.0 - range) + 1e-4;
        prop_assert!(weights.iter().all(|&w| w > 0.0 && f64::from(w) <= most));
        prop_assert!(values(&thresholds_of(&logits)).iter().all(|&q| q > 0.0 && q < 1.0));
    }

    /// Weight j scales the gradient of output row j only.
    #[test]
    fn a_weight_scales_its_own_row_alone(label in 0_usize..5, weight in 0.25_f32..4.0) {
        let (parameters, classifier, words) = classifier(5);
        let row_gradients = |weights: &[f32]| {
            let logits = classifier.forward(&words, None);
            let loss = weighted_loss(&logits, &truth(5), &Tensor::from_slice(weights));
            let row = &parameters.get("output.weight").unwrap().tensor;
            Tensor::run_backward(&[loss], &[row], false, false).remove(0)
        };
        let mut weights = [1.0; 5];
        weights[label] = weight;
        let (plain, scaled) = (row_gradients(&[1.0; 5]), row_gradients(&weights));
        for other in 0..5 {
            let factor = if other == label { f64::from(weight) } else { 1.0 };
            let wanted = plain.get(other as i64) * factor;
            prop_assert!(number(&(scaled.get(other as i64) - wanted).abs().max()) < 1e-6);
        }
        // A common factor scales the whole loss, so its minimisers are unchanged.
        let logits = classifier.forward(&words, None);
        let loss = |factor: f32| number(&weighted_loss(&logits, &truth(5), &Tensor::from_slice(&[factor; 5])));
        prop_assert!((loss(weight) - f64::from(weight) * loss(1.0)).abs() < 1e-5);
    }

    /// The counterfactual gain of a label equals the difference in F1, computed from counts.
    #[test]
    fn the_counterfactual_gain_is_what_the_counts_say(
        sample in 0_u64..1000, labels in 1_i64..6, eta in 0.0..1.0,
    ) {
        let [outputs, truth] = calibrated(40, labels, sample);
        let mut stream = stream(sample + 5000);
        let [thresholds, mean] = [(); 2].map(|()| uniform(&[labels], 0.05, 0.95, &mut stream));
        let credit = Credit { outputs: &outputs, truth: &truth, thresholds: &thresholds, mean_thresholds: &mean };
        let found = values(&counterfactual_f1(credit, eta));
        let none = counterfactual_f1(Credit { thresholds: &mean, ..credit }, eta);
        prop_assert_eq!(values(&none), vec![0.0; labels as usize]);

        let counts = |thresholds: &Tensor| -> Vec<[f64; 3]> {
            (0..labels).map(|j| {
                let (y, t) = (values(&outputs.select(1, j)), values(&truth.select(1, j)));
                let q = thresholds.double_value(&[j]) as f32;
                let predicted = y.iter().filter(|&&y| y > q).count() as f64;
                let hits = y.iter().zip(&t).filter(|(y, t)| **y > q && **t > 0.5).count() as f64;
                [hits, predicted, f64::from(t.iter().sum::<f32>())]
            }).collect()
        };
        let f1 = |[hits, predicted, borne]: [f64; 3]| 2.0 * hits / (predicted + borne).max(1.0);
        let sum = |counts: &[[f64; 3]]| counts.iter().fold([0.0; 3], |sum, count| {
            std::array::from_fn(|i| sum[i] + count[i])
        });
        let (sampled, plain) = (counts(&thresholds), counts(&mean));
        for j in 0..labels as usize {
            let mut with_own = plain.clone();
            with_own[j] = sampled[j];
            let micro = f1(sum(&with_own)) - f1(sum(&plain));
            let wanted = labels as f64 * micro + eta * (f1(sampled[j]) - f1(plain[j]));
            prop_assert!((f64::from(found[j]) - wanted).abs() < 1e-4, "{} {wanted}", found[j]);
        }
        if labels == 1 {
            let gain = f1(sampled[0]) - f1(plain[0]);
            prop_assert!((f64::from(found[0]) - (1.0 + eta) * gain).abs() < 1e-5);
        }
    }

    /// For any outputs, the margin is monotonic in the threshold.
    #[test]
    fn the_probability_margin_is_monotone_in_the_threshold(sample in 0_u64..1000) {
        let [outputs, truth] = calibrated(64, 3, sample);
        let at = |q: f64| values(&probability_margin(&outputs, &truth, &outputs.get(0).full_like(q)));
        let rewards: Vec<Vec<f32>> = [0.05, 0.2, 0.4, 0.6, 0.8, 0.95].map(at).into();
        for label in 0..3 {
            let course: Vec<f32> = rewards.iter().map(|row| row[label]).collect();
            let (rises, falls) = (
                course.windows(2).all(|pair| pair[1] >= pair[0] - 1e-5),
                course.windows(2).all(|pair| pair[1] <= pair[0] + 1e-5),
            );
            prop_assert!(rises || falls, "{course:?}");
        }
    }
}

/// The classifier's loss does not reach the meta-learner's parameters, nor the reverse.
#[test]
fn no_loss_reaches_the_other_ones_parameters() {
    let config = MetaConfig { window: 2, ..MetaConfig::new(5, 4) };
    let (meta, mut learner) = learner(&config);
    let (parameters, classifier, words) = classifier(5);
    assert!(meta.trainable().next().is_none(), "the model's optimiser leaves the network alone");
    let before: Vec<Vec<f32>> = parameters.iter().map(|p| values(&p.tensor)).collect();
    let network = || values(&meta.get("meta.thresholds.bias").unwrap().tensor);
    for step in 0..2 {
        let action = learner.act(Some(&noise(5, step)));
        let logits = classifier.forward(&words, None);
        weighted_loss(&logits, &truth(5), &action.weights).backward();
        assert_eq!(network(), [0.0; 5]);
        tch::no_grad(|| learner.learn(action, &logits, &truth(5))).unwrap();
    }
    assert_ne!(network(), [0.0; 5], "the window's end has updated it");
    let after: Vec<Vec<f32>> = parameters.iter().map(|p| values(&p.tensor)).collect();
    assert_eq!(before, after);
}

/// Holds on exactly calibrated outputs; the learner finds it.
#[test]
fn the_best_threshold_of_calibrated_scores_is_half_the_best_f1() {
    let [outputs, truth] = calibrated(200_000, 1, 9);
    let f1 = |q: f64| {
        let predicted = outputs.gt(q).to_kind(Kind::Double);
        let hits = number(&(&predicted * &truth).sum(Kind::Double));
        2.0 * hits / (number(&predicted.sum(Kind::Double)) + number(&truth.sum(Kind::Double)))
    };
    let grid = (1..100).map(|q| f64::from(q) / 100.0);
    let best = grid.map(|q| (f1(q), q)).max_by(|one, other| one.0.total_cmp(&other.0)).unwrap();
    assert!((best.1 - best.0 / 2.0).abs() < 0.03, "{best:?}");
}

/// The same with overconfident outputs for odd labels: their best thresholds are above 0.5, those
/// of even labels below, so that no common threshold suits both.
fn mixed(documents: i64, labels: i64, sample: u64) -> [Tensor; 2] {
    let [outputs, _] = calibrated(documents, labels, sample);
    let odd = Tensor::arange(labels, (Kind::Int64, Device::Cpu)).remainder(2);
    let chances = outputs.pow(&(odd * 2 + 1));
    let drawn = uniform(&[documents, labels], 0.0, 1.0, &mut stream(sample + 9000));
    let truth = drawn.less_tensor(&chances).to_kind(Kind::Float);
    [outputs, truth]
}

/// Micro-F1 of thresholds on documents.
fn micro_f1(outputs: &Tensor, truth: &Tensor, thresholds: &Tensor) -> f64 {
    number(&Credit { outputs, truth, thresholds, mean_thresholds: thresholds }.micro_f1())
}

const LABELS: i64 = 60;

/// Learns thresholds for fixed outputs and returns them.
fn learnt(reward: Reward, steps: u64) -> Tensor {
    let policies = Policies { training: false, prediction: true };
    let config = MetaConfig { reward, policies, ..MetaConfig::new(LABELS as usize, steps) };
    let (_parameters, mut learner) = learner(&config);
    for step in 0..steps {
        let [outputs, truth] = mixed(256, LABELS, step);
        let action = learner.act(Some(&noise(LABELS, step)));
        learner.learn(action, &outputs.logit(None), &truth).unwrap();
    }
    learner.act(None).thresholds
}

/// The counterfactual reward moves each label's threshold in the right direction and gains F1; the
/// margin runs away and loses F1; one reward for all labels gains less than half as much.
#[test]
fn rewards_that_degenerate_do_so_and_the_default_does_not() {
    let [outputs, truth] = mixed(10_000, LABELS, 77);
    let half = micro_f1(&outputs, &truth, &outputs.get(0).full_like(0.5));
    let outcome = |reward| {
        let thresholds = learnt(reward, 150);
        (micro_f1(&outputs, &truth, &thresholds), thresholds)
    };
    let (own, thresholds) = outcome(Reward::CounterfactualF1);
    assert!(own > half + 0.015, "{own} {half}");
    let thresholds = values(&thresholds);
    let mean = |of: usize| {
        let side = thresholds.iter().skip(of).step_by(2);
        f64::from(side.sum::<f32>()) / (LABELS / 2) as f64
    };
    assert!(mean(0) < 0.45 && mean(1) > mean(0) + 0.1, "{} {}", mean(0), mean(1));
    let (margin, _) = outcome(Reward::ProbabilityMargin);
    assert!(margin < half - 0.02, "{margin} {half}");
    let (scalar, _) = outcome(Reward::ScalarF1);
    assert!(scalar - half < 0.5 * (own - half), "{scalar} {own} {half}");
}

/// The same noise gives the same run, even when it is resumed in the middle of a
/// window.
#[test]
fn an_episode_goes_on_bit_for_bit() {
    let config = MetaConfig { window: 4, hidden: 8, ..MetaConfig::new(6, 30) };
    let advance = |learner: &mut MetaLearner, steps: std::ops::Range<u64>| {
        for step in steps {
            let [outputs, truth] = calibrated(50, 6, step);
            let action = learner.act(Some(&noise(6, step)));
            learner.learn(action, &outputs.logit(None), &truth).unwrap();
        }
    };
    for reward in [Reward::CounterfactualF1, Reward::ScalarF1] {
        let config = MetaConfig { reward, ..config.clone() };
        let (whole_parameters, mut whole) = learner(&config);
        advance(&mut whole, 0..30);
        let (begun_parameters, mut begun) = learner(&config);
        advance(&mut begun, 0..14);
        let (parameters, mut resumed) = learner(&config);
        let weights = begun_parameters.iter().map(|p| (p.name.clone(), p.tensor.copy()));
        parameters.assign(&weights.collect()).unwrap();
        resumed.load(&begun.saved().into_iter().collect()).unwrap();
        advance(&mut resumed, 14..30);
        for (one, other) in whole_parameters.iter().zip(&parameters) {
            assert_eq!(values(&one.tensor), values(&other.tensor), "{}", one.name);
        }
        for ((name, one), (_, other)) in whole.saved().iter().zip(resumed.saved()) {
            assert_eq!(one, &other, "{name}");
        }
        let [weights, thresholds] = whole.history();
        assert_eq!((weights.size(), thresholds.size()), (vec![7, 6], vec![7, 6]));
        assert_ne!(values(&thresholds.get(6)), values(&thresholds.get(0)));
    }
    let (_, mut other) = learner(&MetaConfig { window: 5, ..config });
    let (_, saved) = learner(&MetaConfig::new(6, 30));
    let mismatch = other.load(&saved.saved().into_iter().collect()).unwrap_err();
    assert!(mismatch.to_string().contains("window.credit: file has [10, 6], model expects [5, 6]"));
}

#[test]
fn all_architectures_learn_and_refuse_sizes_of_nothing() {
    let prevalence = vec![0.25; 3];
    let bag = ClassifierConfig {
        architecture: Architecture::Bag,
        ids: 30,
        dim: 8,
        hidden: 8,
        prevalence,
    };
    let all = [Architecture::Bag, Architecture::Convolution, Architecture::Perceptron];
    for architecture in all {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let config = ClassifierConfig { architecture, ..bag.clone() };
        let classifier = Classifier::new(parameters.root(), &config).unwrap();
        // A document of word j has label j; the fourth has no word and no label.
        let words = match architecture {
            Architecture::Bag => Words::Bag {
                ids: Tensor::from_slice(&[1_i64, 2, 3]),
                offsets: Tensor::from_slice(&[0_i64, 1, 2, 3]),
                weights: Tensor::from_slice(&[1.0_f32; 3]),
            },
            Architecture::Convolution => {
                Words::Sequence(Tensor::from_slice(&[1_i64, 0, 2, 0, 3, 0, 0, 0]).view([4, 2]))
            }
            // Width 8.
            Architecture::Perceptron => {
                let rows = Tensor::eye_m(4, 8, (Kind::Float, Device::Cpu));
                Words::Features(rows * Tensor::from_slice(&[1.0_f32, 1., 1., 0., 0., 0., 0., 0.]))
            }
        };
        let wanted =
            Tensor::from_slice(&[1.0_f32, 0., 0., 0., 1., 0., 0., 0., 1., 0., 0., 0.]).view([4, 3]);
        let ones = Tensor::from_slice(&[1.0_f32; 3]);
        let weights: Vec<Tensor> =
            parameters.trainable().map(|p| p.tensor.shallow_clone()).collect();
        let loss = || weighted_loss(&classifier.forward(&words, None), &wanted, &ones);
        let first = number(&loss());
        for _ in 0..200 {
            let gradients = Tensor::run_backward(&[loss()], &weights, false, false);
            tch::no_grad(|| {
                for (weight, gradient) in weights.iter().zip(gradients) {
                    let _ = weight.shallow_clone().g_sub_(&(gradient * 2.0));
                }
            });
        }
        assert!(number(&loss()) < 0.3 * first, "{architecture:?}: {first} {}", number(&loss()));
        let keep = Tensor::zeros([4, classifier.width()], (Kind::Float, Device::Cpu));
        let dropped = classifier.forward(&words, Some(&keep));
        assert!(number(&(dropped.get(0) - dropped.get(3)).abs().max()) == 0.0);
    }
    let mut parameters = Parameters::new(0, Device::Cpu);
    let empty = ClassifierConfig { prevalence: Vec::new(), ..bag };
    let error = Classifier::new(parameters.root(), &empty).unwrap_err().to_string();
    assert_eq!(error, "prevalence = 0: must be at least 1");
    let bad = MetaConfig { range: 1.0, ..MetaConfig::new(3, 3) };
    let error = MetaLearner::new(parameters.root().sub("m"), &bad).unwrap_err().to_string();
    assert_eq!(error, "range = 1: must be in [0, 1), so that weights are positive");
}
