//! Fine-tuning of a small model folder on generated digits, end to end.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod digits;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use bauta_backbones::{
    ModelConfig, ModelFolder, Naming, Parameters, VisionTransformer, VitConfig, VitModelConfig,
};
use bauta_data::DatasetName;
use bauta_experiments::finetuning::{FineTuned, Options, finetune};
use bauta_recipe::FineTuneSettings;
use digits::write_digits;
use tch::{Device, Tensor};

/// An encoder as it starts, in a folder.
fn write_model(folder: &Path) {
    let config = VitConfig { channels: 1, ..VitConfig::new(8, 2, 32, 2, 4) };
    let mut parameters = Parameters::new(3, Device::Cpu);
    VisionTransformer::new(parameters.root(), &config).unwrap();
    let tensors: HashMap<String, Tensor> =
        parameters.iter().map(|p| (p.name.clone(), p.tensor.detach())).collect();
    let config = ModelConfig::Vit(VitModelConfig::new(&config, None));
    ModelFolder::new(folder.into(), config, tensors).write(folder, Naming::Timm).unwrap();
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("data")).unwrap();
        write_digits(&place.path("data"));
        write_model(&place.path("model"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn options(&self, set: &[&str]) -> Options {
        let root = format!("data.root={}", self.path("data").display());
        let mut all: Vec<String> = [
            &root,
            "data.augment.crop=none",
            "data.augment.flip=false",
            "train.device=cpu",
            "train.threads=1",
            "eval.finetune.epochs=6",
            "eval.finetune.batch_size=40",
            "eval.finetune.base_lr=0.02",
        ]
        .map(str::to_owned)
        .to_vec();
        all.extend(set.iter().map(|&text| text.to_owned()));
        Options {
            model: self.path("model"),
            from_scratch: false,
            data: DatasetName::Mnist,
            settings: FineTuneSettings::parse(&all).unwrap(),
            validate: false,
            output: None,
        }
    }
}

fn run(options: &Options) -> FineTuned {
    finetune(options, &AtomicBool::new(false)).unwrap()
}

fn refuse(options: &Options) -> String {
    finetune(options, &AtomicBool::new(false)).unwrap_err().to_string()
}

#[test]
fn an_encoder_learns_and_is_kept_as_a_model_folder() {
    let place = Place::new();
    let output = place.path("out");
    let options = Options {
        output: Some(output.clone()),
        ..place.options(&[
            "eval.finetune.mixup=0.2",
            "eval.finetune.cutmix=0.2",
            "eval.finetune.drop_path=0.1",
            "eval.finetune.epochs=12",
        ])
    };
    let found = run(&options);
    let top1 = found.measured.metrics["finetune_top1"];
    assert!(top1 > 0.5, "{top1} where chance is 0.1");
    assert_eq!(
        (found.split, found.measured.train_images, found.measured.steps),
        ("test", 400, 120)
    );
    let kept: serde_json::Value =
        serde_json::from_slice(&fs::read(output.join("result.json")).unwrap()).unwrap();
    assert_eq!(kept["metrics"]["finetune_top1"], top1);
    assert_eq!(kept["settings"]["eval"]["finetune"]["drop_path"], 0.1);

    let folder = ModelFolder::read(&output.join("checkpoints/last")).unwrap();
    let (parameters, _) = folder.vit(Device::Cpu).unwrap();
    assert_eq!(parameters.get("head.weight").unwrap().tensor.size(), [10, 32]);
    let before = ModelFolder::read(&place.path("model")).unwrap();
    assert_ne!(folder.tensors()["pos_embed"], before.tensors()["pos_embed"]);
    assert!(refuse(&options).contains("holds a result already"));
}

#[test]
fn what_is_frozen_stays_and_names_say_what_was_done() {
    let place = Place::new();
    let output = place.path("out");
    let options = Options {
        output: Some(output.clone()),
        ..place.options(&[
            "eval.finetune.blocks=1",
            "eval.finetune.labels=0.25",
            "eval.finetune.epochs=1",
            // These move the bars, and so the classes.
            "eval.finetune.randaugment=9",
            "eval.finetune.erasing=0.25",
        ])
    };
    let found = run(&options);
    assert_eq!(found.measured.train_images, 100);
    assert!(found.measured.metrics.contains_key("finetune_last1_25pct_top1"));
    let after = ModelFolder::read(&output.join("checkpoints/last")).unwrap();
    let before = ModelFolder::read(&place.path("model")).unwrap();
    for (name, tensor) in before.tensors() {
        let Some(later) = after.tensors().get(name) else { continue };
        assert_eq!(later == tensor, !name.starts_with("blocks.1."), "{name}");
    }
}

#[test]
fn runs_repeat_and_scratch_is_another_start() {
    let place = Place::new();
    let short = || place.options(&["eval.finetune.epochs=1", "eval.finetune.warmup_epochs=0"]);
    let (once, again) = (run(&short()).measured, run(&short()).measured);
    assert_eq!((once.metrics, once.final_loss), (again.metrics, again.final_loss));
    let scratch = run(&Options { from_scratch: true, ..short() });
    assert!(scratch.measured.metrics.contains_key("from_scratch.finetune_top1"));
    assert_ne!(scratch.measured.final_loss, again.final_loss);
    let validated = run(&Options { validate: true, ..short() });
    assert_eq!((validated.split, validated.measured.test_images), ("validation", 40));
    assert_eq!(validated.measured.train_images, 360);
}

#[test]
fn what_does_not_fit_is_refused() {
    let place = Place::new();
    let with = |set: &str| refuse(&place.options(&[set]));
    assert!(with("eval.finetune.blocks=3").contains("encoder's 2 blocks"));
    assert!(with("eval.finetune.batch_size=500").contains("the 400 labelled images"));
    assert!(with("data.image_size=9").contains("9"));
    let other = Options { data: DatasetName::Cifar10, ..place.options(&[]) };
    assert!(refuse(&other).contains("data"), "{}", refuse(&other));
    let nowhere = Options { model: place.path("nowhere"), ..place.options(&[]) };
    assert!(refuse(&nowhere).contains("nowhere"));
}
