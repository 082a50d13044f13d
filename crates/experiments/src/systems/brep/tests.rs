//! The system on few generated parts: what one step learns from, and the quality of codes.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::path::Path;

use bauta_backbones::Parameters;
use bauta_brep::generate::Parts;
use bauta_brep::model::{
    FaceClassifier, FieldErrors, GraphBatch, SampledBatch, cross_entropy, predicted,
};
use bauta_brep::{Part, Sampling};
use bauta_eval::Answers;
use bauta_eval::folder::FeatureFormat;
use bauta_recipe::{Brep as Settings, Layers, Recipe};
use bauta_streams::{Purpose, StreamKey};
use bauta_train::{Objective, OptimizerConfig, Schedule, StepMaker, TrainConfig};
use tch::{Device, Tensor};

use super::{Brep, embed, is_brep};

fn settings(set: &[&str]) -> Settings {
    let text = include_str!("../../../recipes/brep-parts.toml");
    let set = set.iter().map(|&text| text.to_owned()).collect();
    let layers = Layers { quick: false, set };
    let path = std::path::Path::new("brep-parts.toml");
    Recipe::<Settings>::parse(text, path, &layers).unwrap().settings
}

/// Trains on all targets of one part in each step; returns the loss, and the fraction of points
/// spread evenly over the unit squares that are decoded on the right side of the trim.
fn overfit(brep: &mut Brep, [part, even]: [&Part; 2], steps: u64) -> (f64, f64) {
    let batch = || Ok(SampledBatch::of(&[part], &part.targets));
    let schedule = Schedule::cosine(4e-3, 0.0, 50.0, steps);
    let config = TrainConfig {
        optimizer: OptimizerConfig::adam((0.9, 0.999), 0.0),
        ..TrainConfig::new(schedule.clone(), 1)
    };
    let mut inputs = std::iter::repeat_with(batch);
    let mut maker = StepMaker::new(brep, &config);
    for step in 0..steps {
        maker.make(&mut inputs, schedule.at(step), step).unwrap();
    }
    let _no_grad = tch::no_grad_guard();
    let [(field, target), (spread, wanted)] = [part, even].map(|part| {
        let batch = SampledBatch::of(&[part], &part.targets);
        let codes = brep.encoder.forward(&batch.graph);
        (brep.decoder.forward(&codes, &batch.points), batch.target)
    });
    let loss = (&field - &target).square().mean(tch::Kind::Float).double_value(&[]);
    let sign = FieldErrors::of(&spread, &wanted).sign;
    (loss, sign.iter().sum::<f64>() / sign.len() as f64)
}

/// One part is memorised.
#[test]
fn one_part_is_overfitted() {
    let sampling = Sampling { candidates: 400, kept: 60, near: 0.4 };
    let part = Parts { seed: 0 }.prepared(1, &sampling).unwrap();
    let sampling = Sampling { candidates: 400, kept: 400, near: 0.0 };
    let even = Parts { seed: 0 }.prepared(1, &sampling).unwrap();
    let mut brep = Brep::new(&settings(&[]), 0, Device::Cpu);
    let (loss, sign) = overfit(&mut brep, [&part, &even], 1000);
    assert!(loss < 1e-3 && sign > 0.95, "loss {loss}, sign accuracy {sign}");
}

/// Prepared parts as `embed` reads them, and a model that was never trained.
fn folder_of_parts() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let sampling = Sampling { candidates: 60, kept: 20, near: 0.4 };
    for number in 0..3 {
        let part = Parts { seed: 2 }.prepared(number, &sampling).unwrap();
        part.write(&folder.path().join(format!("{number}.part"))).unwrap();
    }
    folder
}

#[test]
fn embedding_writes_a_row_of_each_face() {
    let parts = folder_of_parts();
    let place = tempfile::tempdir().unwrap();
    let (model, output) = (place.path().join("model"), place.path().join("codes.safetensors"));
    let brep = Brep::new(&settings(&[]), 0, Device::Cpu);
    std::fs::create_dir(&model).unwrap();
    std::fs::write(model.join("config.json"), brep.config().to_string()).unwrap();
    brep.parameters.save(&model.join("model.safetensors")).unwrap();
    assert!(is_brep(&model));
    // A file that cannot be written is refused before any part is read.
    let (none, absent) = (place.path().join("none"), place.path().join("absent/codes.safetensors"));
    let refused = embed(&model, &none, &absent, FeatureFormat::Safetensors, false, Device::Cpu);
    let refused = format!("{:#}", refused.unwrap_err());
    assert!(refused.contains("cannot write") && refused.contains("absent"), "{refused}");
    let embed_in =
        |output: &Path, format, cls| embed(&model, parts.path(), output, format, cls, Device::Cpu);
    let embed = |format, cls| embed_in(&output, format, cls);
    let [faces, width] = embed(FeatureFormat::Safetensors, false).unwrap();
    let found = Tensor::read_safetensors(&output).unwrap();
    let named = |name: &str| &found.iter().find(|(found, _)| found == name).unwrap().1;
    assert_eq!((named("features").size(), width), (vec![faces, 64], 64));
    let second = Parts { seed: 2 }.solid(1).graph.faces.len() as i64;
    let of_second = named("parts").eq(1).sum(tch::Kind::Int64).int64_value(&[]);
    assert_eq!(of_second, second);
    let last = named("faces").int64_value(&[faces - 1]);
    assert_eq!(last + 1, Parts { seed: 2 }.solid(2).graph.faces.len() as i64);
    for refused in [embed(FeatureFormat::Npy, false), embed(FeatureFormat::Safetensors, true)] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("codes of faces are written as safetensors"), "{error}");
    }
    // The ending asks for the format, not --format.
    let named = embed_in(&place.path().join("codes.npy"), FeatureFormat::Npy, false);
    let named = named.unwrap_err().to_string();
    assert!(named.contains("let --out end in .safetensors"), "{named}");
}

/// Labels that are unrelated to their faces teach only how frequent they are.
#[test]
fn shuffled_labels_are_worth_the_majority_share() {
    let sampling = Sampling { candidates: 60, kept: 20, near: 0.4 };
    let part = |number| Parts { seed: 4 }.prepared(number, &sampling).unwrap();
    let parts: Vec<Part> = (0..60).map(part).collect();
    let (train, test) = parts.split_at(30);
    let brep = Brep::new(&settings(&[]), 0, Device::Cpu);
    let batch = |parts: &[Part]| GraphBatch::of(&parts.iter().collect::<Vec<_>>());
    let [train, test] = [train, test].map(batch);
    let codes = [&train, &test].map(|graph| tch::no_grad(|| brep.encoder.forward(graph)));
    let accuracy = |labels: &Tensor| -> (f64, f64) {
        let mut parameters = Parameters::new(1, Device::Cpu);
        let head = FaceClassifier::new(parameters.root(), 64, 0, 8);
        for _ in 0..200 {
            let loss = cross_entropy(&head.forward(&codes[0], &train), labels);
            parameters.iter().for_each(|it| it.tensor.shallow_clone().zero_grad());
            loss.backward();
            tch::no_grad(|| {
                for it in &parameters {
                    let step = it.tensor.grad() * 0.3;
                    let _ = it.tensor.shallow_clone().g_sub_(&step);
                }
            });
        }
        let predicted = predicted(&head.forward(&codes[1], &test));
        let labels = Vec::try_from(&test.labels).unwrap();
        let answers = Answers { predicted, labels };
        (answers.top1(), answers.majority())
    };
    let mut labels = Vec::<i64>::try_from(&train.labels).unwrap();
    let (true_labels, majority) = accuracy(&train.labels);
    let purpose = Purpose::named("shuffled labels");
    StreamKey { seed: 0, purpose, epoch: 0, sample: 0 }.stream().shuffle(&mut labels);
    let (shuffled, _) = accuracy(&Tensor::from_slice(&labels));
    assert!(true_labels > majority + 0.1, "{true_labels} with labels, {majority} without");
    assert!(shuffled < majority + 0.03, "{shuffled} with shuffled labels, majority {majority}");
}
