//! Segmentation and detection on generated scenes: learnt, stopped, killed and resumed.

#![expect(clippy::unwrap_used, reason = "a test's preparations may panic")]

mod interruption;
mod residual;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bauta_backbones::{
    ImageNormalization, ModelConfig, ModelFolder, Parameters, VisionTransformer, VitConfig,
    VitModelConfig,
};
use bauta_data::dense::{DenseSample, DenseSource, LabelMap, Object};
use bauta_data::{DataError, Image, OnError, Statistics};
use bauta_eval::dense::{DenseConfig, DenseReport, DenseScores, DenseTask, SegmentationKind};
use bauta_eval::folder::FeatureModel;
use bauta_eval::{EvalError, TrainingRun, Watch};
use interruption::{CopyAt, StopAt, weights};
use residual::residual;
use tch::Device;

/// Images of 16 × 16 pixels, each with one bright 8 × 8 square, in two classes by colour.
struct Squares {
    len: usize,
    pixels: Vec<String>,
    objects: Vec<String>,
}

impl Squares {
    fn shared(len: usize) -> Arc<dyn DenseSource> {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let pixels = names(&["background", "red", "green"]);
        Arc::new(Self { len, pixels, objects: names(&["red", "green"]) })
    }
}

impl DenseSource for Squares {
    fn len(&self) -> usize {
        self.len
    }

    fn pixel_classes(&self) -> &[String] {
        &self.pixels
    }

    fn object_classes(&self) -> &[String] {
        &self.objects
    }

    fn sample(&self, index: usize) -> Result<DenseSample, DataError> {
        let (class, left, top) = (index % 2, index * 5 % 9, index * 7 % 9);
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for at in 0..256 {
            let (x, y) = (at % 16, at / 16);
            let inside = (left..left + 8).contains(&x) && (top..top + 8).contains(&y);
            let noise = ((index * 31 + at * 17) % 40) as u8;
            labels.push(if inside { 1 + class as u8 } else { 0 });
            pixels.extend((0..3).map(
                |channel| {
                    if inside && channel == class { 200 + noise } else { noise }
                },
            ));
        }
        let bbox = [left as f64, top as f64, 8.0, 8.0];
        Ok(DenseSample {
            image: Image::new(16, 16, 3, pixels),
            labels: Some(LabelMap { height: 16, width: 16, labels }),
            objects: vec![Object {
                class: class as u32,
                bbox,
                area: 64.0,
                crowd: false,
                mask: None,
            }],
        })
    }

    fn describe(&self, index: usize) -> String {
        format!("square {index}")
    }

    fn statistics(&self) -> Statistics {
        Statistics::CIFAR10
    }
}

fn folder(channels: usize) -> FeatureModel {
    let config = VitConfig { channels, ..VitConfig::new(16, 4, 32, 1, 4) };
    let mut parameters = Parameters::new(3, Device::Cpu);
    VisionTransformer::new(parameters.root(), &config).unwrap();
    let tensors: HashMap<_, _> =
        parameters.iter().map(|p| (p.name.clone(), p.tensor.detach())).collect();
    let config = ModelConfig::Vit(VitModelConfig::new(&config, None));
    ModelFolder::new("model".into(), config, tensors).into()
}

fn task(folder: &FeatureModel) -> DenseTask<'_> {
    tch::set_num_threads(1);
    let statistics = Statistics::CIFAR10;
    DenseTask {
        folder,
        frozen: false,
        random_init: false,
        config: DenseConfig { steps: 130, batch_size: 8, base_lr: 0.1, weight_decay: 0.05 },
        normalization: ImageNormalization::new(&statistics.mean, &statistics.std, Device::Cpu)
            .unwrap(),
        image_size: 16,
        train: Squares::shared(60),
        test: Squares::shared(20),
        seed: 2,
        device: Device::Cpu,
        threads: 2,
        on_error: OnError::Stop,
        settings: serde_json::Value::Null,
    }
}

/// One of the two tasks.
type Kind = fn(&DenseTask<'_>, TrainingRun<'_>) -> Result<DenseScores, EvalError>;

const SEGMENT: Kind = |task, run| task.segment(SegmentationKind::Linear, run);
const PYRAMID: Kind = |task, run| task.segment(SegmentationKind::UperNet { width: 8 }, run);
const DETECT: Kind = |task, run| task.detect(16, run);

fn run(
    kind: Kind,
    folder: &Path,
    resume: bool,
    watch: &dyn Watch,
) -> Result<DenseScores, EvalError> {
    let run = TrainingRun::new(folder, watch);
    kind(&task(&self::folder(3)), TrainingRun { resume, checkpoint_every: 100, ..run })
}

#[test]
fn stopped_or_killed_both_tasks_end_with_the_same_bits_and_have_learnt() {
    let on = AtomicBool::new(false);
    for (kind, metric, least) in [(SEGMENT, "miou", 0.6), (DETECT, "box_ap50", 0.3)] {
        let place = tempfile::tempdir().unwrap();
        let [whole, stopped, killed] = ["whole", "stopped", "killed"].map(|n| place.path().join(n));
        let found = run(kind, &whole, false, &CopyAt::first_checkpoint(&whole, &killed)).unwrap();
        let score = found.metrics.get(metric).unwrap();
        assert!(score > least, "{metric} {score}");
        let refused = run(kind, &stopped, false, &StopAt::step(47)).unwrap_err();
        assert!(matches!(refused, EvalError::TrainingStopped { step: 47 }), "{refused}");
        for folder in [&stopped, &killed] {
            assert_ne!(weights(folder), weights(&whole));
            let resumed = run(kind, folder, true, &on).unwrap();
            assert_eq!(weights(folder), weights(&whole), "{}", folder.display());
            assert_eq!((&resumed.metrics, &resumed.by_class), (&found.metrics, &found.by_class));
            assert_eq!(resumed.picture.image(), found.picture.image());
        }
    }
}

#[test]
fn a_frozen_encoder_stays_and_the_head_alone_is_kept() {
    let (place, on) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
    let model = folder(3);
    let mut task = task(&model);
    (task.frozen, task.config.steps) = (true, 5);
    let run = TrainingRun::new(place.path(), &on);
    let frozen = task.segment(SegmentationKind::Linear, run).unwrap();
    let kept = bauta_backbones::checkpoint::read_tensors(
        &place.path().join("checkpoints/last/model.safetensors"),
    )
    .unwrap();
    let mut names: Vec<&String> = kept.keys().collect();
    names.sort();
    assert_eq!(names, ["decode_head.classifier.bias", "decode_head.classifier.weight"]);
    task.random_init = true;
    let random = task.segment(SegmentationKind::Linear, run).unwrap();
    assert_ne!(frozen.final_loss, random.final_loss);
}

#[test]
fn losses_have_names_in_the_log() {
    let (place, on) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
    let model = folder(3);
    let mut task = task(&model);
    task.config.steps = 3;
    task.detect(8, TrainingRun::new(place.path(), &on)).unwrap();
    let log = std::fs::read_to_string(place.path().join("metrics.jsonl")).unwrap();
    for line in log.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["phase"], "detect");
        let parts =
            ["classes", "boxes", "centreness"].map(|name| record["parts"][name].as_f64().unwrap());
        let loss = record["loss"].as_f64().unwrap();
        assert!((parts.iter().sum::<f64>() - loss).abs() < 1e-4 * loss, "{line}");
    }
}

#[test]
fn classes_of_the_same_name_all_stay_in_the_report() {
    let (place, on) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
    let model = folder(3);
    let mut task = task(&model);
    task.config.steps = 1;
    let mut found = task.detect(8, TrainingRun::new(place.path(), &on)).unwrap();
    let classes = [("cup", Some(0.25)), ("dog", None), ("cup", Some(0.5))];
    found.by_class = classes.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let report = DenseReport::new("detect", &task, &found, Path::new("model"), ["head", "data"]);
    let text = report.to_string();
    assert!(text.contains("by class: cup (class 0) 0.250, cup (class 2) 0.500"), "{text}");
    let file = place.path().join("detect.json");
    report.write(&file).unwrap();
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let wanted = serde_json::json!({ "cup (class 0)": 0.25, "dog": null, "cup (class 2)": 0.5 });
    assert_eq!(kept["by_class"], wanted);
}

#[test]
fn what_does_not_fit_is_refused() {
    let (place, on) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
    let run = TrainingRun::new(place.path(), &on);
    let refuse = |channels, size, kind| {
        let model = folder(channels);
        let mut task = task(&model);
        task.image_size = size;
        task.segment(kind, run).unwrap_err().to_string()
    };
    let linear = SegmentationKind::Linear;
    assert_eq!(refuse(1, 16, linear), "photos have 3 channels, but the model takes 1");
    assert!(refuse(3, 18, linear).contains("patch size 4"));
    let pyramid = SegmentationKind::UperNet { width: 8 };
    assert!(refuse(3, 16, pyramid).contains("UPerNet needs at least 4 blocks; the model has 1"));
}

#[test]
fn both_tasks_learn_on_a_residual_network_and_resume_with_its_moments() {
    let (scratch, on) = (tempfile::tempdir().unwrap(), AtomicBool::new(false));
    let model = residual(&scratch.path().join("model"), 3);
    for (place, kind) in [SEGMENT, PYRAMID, DETECT].into_iter().enumerate() {
        let [whole, stopped] =
            ["whole", "stopped"].map(|n| scratch.path().join(format!("{n}{place}")));
        let mut task = task(&model);
        (task.config.steps, task.config.base_lr) = (40, 0.1);
        kind(&task, TrainingRun::new(&whole, &on)).unwrap();
        let log = std::fs::read_to_string(whole.join("metrics.jsonl")).unwrap();
        let losses = log.lines().map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64().unwrap()
        });
        let losses: Vec<f64> = losses.collect();
        assert!(losses[losses.len() - 1] < 0.8 * losses[0], "{losses:?}");
        let run =
            TrainingRun { resume: true, checkpoint_every: 10, ..TrainingRun::new(&stopped, &on) };
        kind(&task, TrainingRun { watch: &StopAt::step(17), ..run }).unwrap_err();
        kind(&task, run).unwrap();
        assert_eq!(weights(&stopped), weights(&whole));
    }
    let mut task = task(&model);
    (task.frozen, task.config.steps) = (true, 3);
    let run = TrainingRun::new(scratch.path(), &on);
    task.segment(SegmentationKind::Linear, run).unwrap();
}
