//! The system on a small recipe: its teacher, its initial weights, its shares and its refusals.

mod fit;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bauta_backbones::{MaeDecoder, ModelFolder};
use bauta_data::{DataError, Image, InMemory, LoaderConfig, Source, Statistics};
use bauta_files::write_whole;
use bauta_recipe::{Layers, Recipe, SystemSettings};
use bauta_train::StepMaker;
use tch::Device;

use super::*;
use crate::run::Splits;
use crate::settings::train_config;
use crate::systems::Mae;

/// Sixty images of 8 × 8 pixels, in two classes or in none.
struct Sixty {
    images: InMemory,
    labelled: bool,
}

impl Sixty {
    fn source(labelled: bool) -> Arc<dyn Source> {
        let pixels = (0..60 * 192).map(|i| ((i * 2_654_435_761_usize) >> 7) as u8).collect();
        let labels = (0..60).map(|i| i % 2).collect();
        let classes = ["even", "odd"].map(str::to_owned).to_vec();
        let images = InMemory::new("t", [8, 8, 3], pixels, labels, classes, Statistics::CIFAR10);
        Arc::new(Self { images: images.unwrap(), labelled })
    }
}

impl Source for Sixty {
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

fn recipe<S: SystemSettings>(set: &[&str]) -> Recipe<S> {
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    let path = recipes.join(format!("{}-cifar10.toml", S::NAME));
    let set = SMALL.iter().chain(set).map(|&text| text.to_owned()).collect();
    Recipe::load(&path, &Layers { quick: false, set }).unwrap()
}

fn images(recipe: &Recipe<impl SystemSettings>, labelled: bool) -> Images {
    let (train, test) = (Sixty::source(labelled), Sixty::source(labelled));
    Images {
        trained: Arc::clone(&train),
        splits: Splits { train, test, origin: bauta_data::TestOrigin::Own, notes: Vec::new() },
        loader: LoaderConfig { seed: recipe.seed, threads: 1, ..LoaderConfig::new(12, 8, 8) },
        augment: bauta_data::Augment::default(),
        eval: bauta_recipe::Eval::default(),
        device: Device::Cpu,
        features: String::new(),
        epochs: 1,
    }
}

fn build(set: &[&str], labelled: bool, teacher: Option<&Path>) -> Result<IMae> {
    let recipe = recipe::<Settings>(set);
    let images = images(&recipe, labelled);
    images.partners(recipe.settings.mixture.same_class)?;
    IMae::new(&recipe.settings, &images, teacher, recipe.settings.mixture.init)
}

/// Writes a model folder like a run's checkpoint.
fn save(system: &impl Objective, folder: &Path) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    system.parameters().save(&folder.join("model.safetensors")).unwrap();
    let text = serde_json::to_vec(&system.config()).unwrap();
    write_whole(&folder.join("config.json"), &text).unwrap();
    folder.to_owned()
}

fn scratch_with_teacher(set: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    let recipe = recipe::<bauta_recipe::Mae>(set);
    let mae = Mae::new(&recipe.settings, &images(&recipe, true)).unwrap();
    let teacher = save(&mae, &scratch.path().join("teacher"));
    (scratch, teacher)
}

fn weights(parameters: &Parameters) -> HashMap<String, Tensor> {
    parameters.iter().map(|p| (p.name.clone(), p.tensor.detach().copy())).collect()
}

/// The recipe's inputs, in batches of this size.
fn inputs(set: &[&str], batch_size: usize, steps: std::ops::Range<u64>) -> Vec<MixedImages> {
    let recipe = recipe::<Settings>(set);
    let mut images = images(&recipe, true);
    images.loader.batch_size = batch_size;
    let (_scratch, teacher) = scratch_with_teacher(&[]);
    let init = MixtureInit::Random;
    let system = IMae::new(&recipe.settings, &images, Some(&teacher), init).unwrap();
    let lambda = recipe.settings.mixture.lambda;
    let mixing = Mixing { masking: system.student.masking(), lambda };
    let partners = images.partners(recipe.settings.mixture.same_class).unwrap();
    let mut feed = images.inputs(vec![partners], mixing.prepare()).unwrap();
    feed(steps).map(Result::unwrap).collect()
}

/// Trains a few steps of the recipe and returns their losses.
fn train(system: &mut IMae, set: &[&str], steps: u64) -> Vec<f64> {
    let recipe = recipe::<Settings>(set);
    let images = images(&recipe, true);
    let config = train_config(&recipe.train, 4);
    let mixing =
        Mixing { masking: system.student.masking(), lambda: recipe.settings.mixture.lambda };
    let partners = images.partners(recipe.settings.mixture.same_class).unwrap();
    let mut feed = images.inputs(vec![partners], mixing.prepare()).unwrap();
    let mut inputs = feed(0..steps);
    let mut maker = StepMaker::new(system, &config);
    (0..steps).for_each(|step| maker.make(&mut inputs, 1e-3, step).unwrap());
    maker.read().losses
}

#[test]
fn a_student_begins_as_its_teacher_which_stays_as_it_is() {
    let (scratch, teacher) = scratch_with_teacher(&[]);
    let mut system = build(&[], true, Some(&teacher)).unwrap();
    let frozen = &system.teacher.as_ref().unwrap().parameters;
    let (before, start) = (weights(frozen), weights(system.parameters()));
    for field in ["weight", "bias"] {
        for head in 1..=2 {
            let own = &start[&format!("decoder_embed{head}.{field}")];
            assert_eq!(own, &before[&format!("decoder_embed.{field}")]);
        }
    }
    assert_eq!(start["blocks.1.attn.qkv.weight"], before["blocks.1.attn.qkv.weight"]);
    assert!(!start.contains_key("decoder_embed.weight"), "no dead parameter");

    let losses = train(&mut system, &[], 8);
    let frozen = &system.teacher.as_ref().unwrap().parameters;
    assert!(losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
    for parameter in frozen.iter() {
        assert_eq!(parameter.tensor, before[&parameter.name], "{} changed", parameter.name);
        assert!(!parameter.tensor.requires_grad() && !parameter.tensor.grad().defined());
    }
    let after = weights(system.parameters());
    let moved = |name: &str| after[name] != start[name];
    assert!(moved("blocks.0.attn.qkv.weight") && moved("decoder_embed1.weight"));
    // The heads diverge: one is always the subordinate image's.
    assert_ne!(after["decoder_embed1.weight"], after["decoder_embed2.weight"]);

    // It leaves a model folder of which only the encoder can be used.
    let folder = ModelFolder::read(&save(&system, &scratch.path().join("student"))).unwrap();
    assert!(folder.image_encoder(Device::Cpu, None).is_ok());
    let refused = folder.masked_autoencoder(Device::Cpu).unwrap_err().to_string();
    assert!(refused.contains("2 mixed images") && refused.contains("encoder"), "{refused}");
    // With a single branch, the folder is that of a masked autoencoder.
    let set = ["mixture.branches=single"];
    let single = build(&set, true, Some(&teacher)).unwrap();
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
        let mut system = build(set, true, Some(&teacher)).unwrap();
        assert!(train(&mut system, set, 3).iter().all(|loss| loss.is_finite()), "{set:?}");
        let input = &inputs(set, 6, 0..1)[0];
        let (pixels, indices) = (&input.masked.pixels, &input.masked.indices);
        let _no_grad = tch::no_grad_guard();
        assert_eq!(system.predict_pure(pixels, indices).unwrap().size(), [6, 3, 8, 8]);
        assert_eq!(system.student.features(pixels).unwrap().size(), [6, 16]);
        assert!(system.step_cost().unwrap().total() > 0);
    }
}

#[test]
fn shares_depend_on_seed_and_step_alone() {
    let shares = |set: &[&str], batch_size, steps| -> Vec<f64> {
        inputs(set, batch_size, steps).iter().map(|input| input.lambda).collect()
    };
    let found = shares(&[], 4, 0..6);
    assert_eq!(found, shares(&[], 15, 0..6), "whatever the batch size");
    assert_eq!(shares(&[], 4, 3..6), found[3..], "after a resume");
    assert_ne!(shares(&["seed=1"], 4, 0..6), found, "of another seed");
    // U(0, 1): mean 1/2 with a standard deviation of 0.29 / √600.
    let mean = shares(&[], 1, 0..600).iter().sum::<f64>() / 600.0;
    assert!((mean - 0.5).abs() < 0.04, "{mean}");

    let input = &inputs(&["mixture.lambda=0.3"], 4, 0..1)[0];
    assert_eq!(input.lambda, 0.3);
    let names: Vec<&str> = input.tensors().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["pixels", "mask", "partners", "lambda"]);
    assert_eq!(input.masked.pixels.size(), input.partners.size());
    assert_ne!(input.masked.pixels, input.partners);
}
