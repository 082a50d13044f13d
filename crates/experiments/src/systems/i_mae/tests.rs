//! The system on a small recipe: its teacher, its beginnings, its shares and its refusals.

mod fit;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bauta_backbones::{MaeDecoder, ModelFolder};
use bauta_data::{Image, InMemory, LoaderConfig, Source, Statistics};
use bauta_files::write_whole;
use bauta_recipe::{Layers, Recipe};
use bauta_train::{AdamWConfig, Precision, Schedule, Stage, StepMaker, TrainConfig};
use tch::Device;

use super::*;
use crate::systems::Mae;

/// Sixty images of 8 × 8 pixels, in two classes or in none.
struct Images {
    images: InMemory,
    labelled: bool,
}

impl Images {
    fn source(labelled: bool) -> Arc<dyn Source> {
        let pixels = (0..60 * 192).map(|i| ((i * 2_654_435_761_usize) >> 7) as u8).collect();
        let labels = (0..60).map(|i| i % 2).collect();
        let classes = ["even", "odd"].map(str::to_owned).to_vec();
        let images = InMemory::new("t", [8, 8, 3], pixels, labels, classes, Statistics::CIFAR10);
        Arc::new(Self { images: images.unwrap(), labelled })
    }
}

impl Source for Images {
    fn len(&self) -> usize {
        self.images.len()
    }
    fn channels(&self) -> usize {
        self.images.channels()
    }
    fn classes(&self) -> &[String] {
        if self.labelled { self.images.classes() } else { &[] }
    }
    fn label(&self, index: usize) -> Option<u32> {
        self.images.label(index).filter(|_| self.labelled)
    }
    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        self.images.image(index)
    }
    fn describe(&self, index: usize) -> String {
        self.images.describe(index)
    }
    fn statistics(&self) -> Statistics {
        self.images.statistics()
    }
}

const SMALL: [&str; 8] = [
    "data.image_size=8",
    "model.dim=16",
    "model.depth=2",
    "model.heads=2",
    "decoder.dim=8",
    "decoder.heads=2",
    "mask.ratio=0.5",
    "data.augment={ crop = \"shift\", shift = 1 }",
];

fn recipe(name: &str, set: &[&str]) -> Recipe {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes").join(format!("{name}.toml"));
    let set = SMALL.iter().chain(set).map(|&text| text.to_owned()).collect();
    Recipe::load(&path, &Layers { quick: false, set }).unwrap()
}

fn build<S: ImageSystem>(recipe: &Recipe, labelled: bool, teacher: Option<&Path>) -> Result<S> {
    let images = &Images::source(labelled);
    let (statistics, device) = (images.statistics(), Device::Cpu);
    S::new(&Ingredients { recipe, statistics, images, device, teacher, stage: 0 })
}

/// Writes a model folder as a run's checkpoint is one.
fn save<S: ImageSystem>(system: &S, folder: &Path) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    system.parameters().save(&folder.join("model.safetensors")).unwrap();
    let text = serde_json::to_vec(&system.config()).unwrap();
    write_whole(&folder.join("config.json"), &text).unwrap();
    folder.to_owned()
}

fn scratch_with_teacher(set: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    let mae: Mae = build(&recipe("mae-cifar10", set), true, None).unwrap();
    let teacher = save(&mae, &scratch.path().join("teacher"));
    (scratch, teacher)
}

fn weights(parameters: &Parameters) -> HashMap<String, Tensor> {
    parameters.iter().map(|p| (p.name.clone(), p.tensor.detach().copy())).collect()
}

fn loader(batch_size: usize) -> Loader {
    let config = LoaderConfig { threads: 1, ..LoaderConfig::new(batch_size, 8, 8) };
    Loader::new(Images::source(true), bauta_data::Augment::default(), config).unwrap()
}

/// Trains a few steps and gives their losses.
fn train(system: &IMae, steps: u64) -> Vec<f64> {
    let config = TrainConfig {
        stage: Stage::default(),
        schedule: Schedule { lr: 1e-3, min_lr: 0.0, warmup_steps: 0.0, steps },
        steps_per_epoch: 4,
        batch_size: 12,
        accumulate: 1,
        adamw: AdamWConfig::default(),
        clip_grad: None,
        ema: None,
        precision: Precision::Fp32,
        checkpoint_every: 0,
        log_every: 1,
    };
    let loader = loader(12);
    let mut inputs = loader.batches(0..steps, system.preparation(&loader));
    let mut maker = StepMaker::new(system, &config);
    (0..steps).for_each(|step| maker.make(&mut inputs, 1e-3, step).unwrap());
    maker.read().0
}

#[test]
fn a_student_begins_as_its_teacher_which_stays_as_it_is() {
    let (scratch, teacher) = scratch_with_teacher(&[]);
    let system: IMae = build(&recipe("i-mae-cifar10", &[]), true, Some(&teacher)).unwrap();
    let frozen = &system.teacher.as_ref().unwrap().parameters;
    let (before, start) = (weights(frozen), weights(&system.parameters));
    for field in ["weight", "bias"] {
        for head in 1..=2 {
            let own = &start[&format!("decoder_embed{head}.{field}")];
            assert_eq!(own, &before[&format!("decoder_embed.{field}")]);
        }
    }
    assert_eq!(start["blocks.1.attn.qkv.weight"], before["blocks.1.attn.qkv.weight"]);
    assert!(!start.contains_key("decoder_embed.weight"), "no dead parameter");

    let losses = train(&system, 8);
    assert!(losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
    for parameter in frozen.iter() {
        assert_eq!(parameter.tensor, before[&parameter.name], "{} changed", parameter.name);
        assert!(!parameter.tensor.requires_grad() && !parameter.tensor.grad().defined());
    }
    let after = weights(&system.parameters);
    let moved = |name: &str| after[name] != start[name];
    assert!(moved("blocks.0.attn.qkv.weight") && moved("decoder_embed1.weight"));
    // The heads go apart: one is always the subordinate image's.
    assert_ne!(after["decoder_embed1.weight"], after["decoder_embed2.weight"]);

    // What it leaves is a model folder whose encoder can be used, and nothing else.
    let folder = ModelFolder::read(&save(&system, &scratch.path().join("student"))).unwrap();
    assert!(folder.image_encoder(Device::Cpu, None).is_ok());
    let refused = folder.masked_autoencoder(Device::Cpu).unwrap_err().to_string();
    assert!(refused.contains("2 mixed images") && refused.contains("encoder"), "{refused}");
    // Of a single branch it is a masked autoencoder's.
    let set = ["mixture.branches=single"];
    let single: IMae = build(&recipe("i-mae-cifar10", &set), true, Some(&teacher)).unwrap();
    let folder = ModelFolder::read(&save(&single, &scratch.path().join("single"))).unwrap();
    let (_, _, decoder): (_, _, MaeDecoder) = folder.masked_autoencoder(Device::Cpu).unwrap();
    assert_eq!(decoder.config().dim, 8);
}

#[test]
fn every_mode_trains_and_pictures_what_it_predicts() {
    let (_scratch, teacher) = scratch_with_teacher(&[]);
    for set in [
        &["mixture.branches=single"][..],
        &["mixture.branches=single", "mixture.teacher_input=mixture"],
        &["mixture.teacher_input=mixture", "mixture.lambda=0.3"],
        &["mixture.latent_weight=0", "mixture.same_class=0.5", "target.kind=pixels"],
        &["mixture.init=random", "train.precision=bf16"],
    ] {
        let system: IMae = build(&recipe("i-mae-cifar10", set), true, Some(&teacher)).unwrap();
        assert!(train(&system, 3).iter().all(|loss| loss.is_finite()), "{set:?}");
        let batch = loader(6).batches(0..1, |batch| batch).next().unwrap().unwrap();
        let plan = MaskedBatch::draw(batch.clone(), &*system.strategy(), 0).plan;
        let (pixels, indices) = (pixels(&batch), TokenIndices::new(&plan, Device::Cpu));
        let _no_grad = tch::no_grad_guard();
        let picture = system.reconstruct(&pixels, &indices).unwrap().unwrap();
        assert_eq!(picture.size(), [6, 3, 8, 8]);
        let own = system.own_pictures(&pixels, &indices).unwrap();
        assert_eq!(own.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["mixtures"]);
        assert_eq!(system.features(&pixels).unwrap().size(), [6, 16]);
        assert!(system.flops_per_sample(&plan).total() > 0);
    }
}

#[test]
fn shares_depend_on_seed_and_step_alone() {
    let (_scratch, teacher) = scratch_with_teacher(&[]);
    let system: IMae = build(&recipe("i-mae-cifar10", &[]), true, Some(&teacher)).unwrap();
    let shares = |batch_size| -> Vec<f64> {
        let loader = loader(batch_size);
        let inputs = loader.batches(0..6, system.preparation(&loader));
        inputs.map(|input| input.unwrap().lambda).collect()
    };
    let found = shares(4);
    assert_eq!(found, shares(15), "whatever the batch size");
    let loader = loader(4);
    let resumed = loader.batches(3..6, system.preparation(&loader));
    let resumed: Vec<f64> = resumed.map(|input| input.unwrap().lambda).collect();
    assert_eq!(resumed, found[3..], "after a resume");
    // U(0, 1): mean 1/2 with a deviation of 0.29 / √1000.
    let mean = (0..1000).map(|step| draw_lambda(3, step)).sum::<f64>() / 1000.0;
    assert!((mean - 0.5).abs() < 0.03, "{mean}");
    assert_ne!(draw_lambda(0, 1), draw_lambda(1, 1));

    let set = ["mixture.lambda=0.3"];
    let fixed: IMae = build(&recipe("i-mae-cifar10", &set), true, Some(&teacher)).unwrap();
    let input = loader.batches(0..1, fixed.preparation(&loader)).next().unwrap().unwrap();
    assert_eq!(input.lambda, 0.3);
    let names: Vec<&str> = fixed.tensors(&input).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["mask", "lambda", "pixels", "partners"]);
}
