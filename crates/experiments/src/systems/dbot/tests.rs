//! The start of stages: which networks share weights, and which do not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bauta_backbones::{ModelFolder, patch_tokens};
use bauta_data::{Augment, InMemory, LoaderConfig, Source, Statistics};
use bauta_files::write_whole;
use bauta_recipe::{Eval, Layers, Recipe};
use bauta_targets::Normalization;
use tch::{Device, Reduction};

use super::*;
use crate::run::Splits;

const SMALL: [&str; 8] = [
    "data.image_size=8",
    "model.patch_size=2",
    "model.dim=16",
    "model.depth=2",
    "model.heads=2",
    "decoder.dim=8",
    "decoder.heads=2",
    "data.augment={ crop = \"none\" }",
];

fn images() -> Images {
    let pixels = (0..60 * 192).map(|i| ((i * 2_654_435_761_usize) >> 7) as u8).collect();
    let (labels, classes) = (vec![0; 60], vec!["only".to_owned()]);
    let source = InMemory::new("t", [8, 8, 3], pixels, labels, classes, Statistics::CIFAR10);
    let source: Arc<dyn Source> = Arc::new(source.unwrap());
    Images {
        trained: Arc::clone(&source),
        splits: Splits {
            train: Arc::clone(&source),
            test: source,
            origin: bauta_data::TestOrigin::Own,
            notes: Vec::new(),
        },
        loader: LoaderConfig::new(4, 8, 8),
        augment: Augment::default(),
        eval: Eval::default(),
        device: Device::Cpu,
        features: String::new(),
        epochs: 1,
    }
}

fn settings(set: &[&str]) -> Settings {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/dbot-cifar10.toml");
    let set = SMALL.iter().chain(set).map(|&text| text.to_owned()).collect();
    Recipe::load(&path, &Layers { quick: false, set }).unwrap().settings
}

fn stage(settings: &Settings, stage: u32, teacher: Option<&Path>) -> DBot {
    DBot::new(settings, &images(), stage, teacher).unwrap()
}

fn keep(student: &DBot, folder: &Path) -> PathBuf {
    student.parameters().save(&folder.join("model.safetensors")).unwrap();
    let text = serde_json::to_vec(&student.config()).unwrap();
    write_whole(&folder.join("config.json"), &text).unwrap();
    folder.to_owned()
}

fn input(settings: &Settings) -> MaskedImages {
    let system = stage(settings, 0, None);
    let (rate, depth) = (settings.model.drop_path, settings.decoder.depth);
    let masking = system.student.masking().dropping(rate, depth);
    let mut inputs = images().inputs(Vec::new(), masking.prepare()).unwrap();
    inputs(0..1).next().unwrap().unwrap()
}

fn largest(x: &Tensor) -> f64 {
    x.abs().max().double_value(&[])
}

#[test]
fn the_random_teacher_is_the_students_own_beginning() {
    let system = stage(&settings(&[]), 0, None);
    let pixels = input(&settings(&[])).pixels;
    let taught = system.target.teacher().features(&pixels).unwrap();
    let student = &system.student;
    let whole = Encode::whole().without_norm();
    let own = student.encoder.encode(&student.normalize(&pixels), whole).unwrap();
    assert_eq!(taught, own.detach());
    // Without blocks there are the embedding and the positions alone.
    let shallow = stage(&settings(&["teacher.depth=0"]), 0, None);
    assert!(largest(&(shallow.target.teacher().features(&pixels).unwrap() - taught)) > 1e-3);
}

#[test]
fn a_new_student_shares_nothing_with_its_teacher_which_is_the_old_one() {
    let scratch = tempfile::tempdir().unwrap();
    let settings = settings(&[]);
    let old = stage(&settings, 0, None);
    // A trained student is different from the initial one.
    tch::no_grad(|| {
        for parameter in old.parameters().trainable() {
            let _ = parameter.tensor.shallow_clone().g_add_scalar_(0.01);
        }
    });
    let teacher = keep(&old, scratch.path());
    let mut new = stage(&settings, 1, Some(&teacher));
    for parameter in new.parameters().trainable() {
        let before = &old.parameters().get(&parameter.name).unwrap().tensor;
        assert!(largest(&(&parameter.tensor - before)) > 0.0, "{}", parameter.name);
    }
    let input = input(&settings);
    let pixels = &input.pixels;
    let taught = new.target.teacher().features(pixels).unwrap();
    let images = old.student.normalize(pixels);
    let own = old.student.encoder.encode(&images, Encode::whole().without_norm()).unwrap();
    assert!(largest(&(taught - own)) < 1e-6);
    // The image size of the first teacher is not that of the former student.
    let sized = self::settings(&["teacher.image_size=16"]);
    assert!(DBot::new(&sized, &self::images(), 1, Some(&teacher)).is_ok());

    // A step leaves the teacher's file and its features unchanged.
    let wanted = new.target.teacher().features(pixels).unwrap();
    new.loss(&input).unwrap().total().backward();
    assert_eq!(new.target.teacher().features(pixels).unwrap(), wanted);
    let (folder, _) =
        ModelFolder::read(&teacher).unwrap().image_encoder(Device::Cpu, None).unwrap();
    assert!(folder.get("norm.weight").is_some());
}

#[test]
fn only_hidden_patches_and_the_class_token_are_learnt_from() {
    let mut system = stage(&settings(&[]), 0, None);
    let batch = input(&settings(&[]));
    let loss = system.loss(&batch).unwrap().total().shallow_clone();
    assert!((loss.double_value(&[]) - 0.3).abs() < 0.25, "{}", loss.double_value(&[]));
    loss.backward();

    // By hand, over the row of the class token and those of the hidden patches.
    let MaskedImages { pixels, indices, .. } = &batch;
    let _no_grad = tch::no_grad_guard();
    let seen = system.student.normalize(pixels);
    let latent = system.student.encoder.encode(&seen, Encode::visible(indices)).unwrap();
    let predicted = system.decoder.predict_masked_and_class(&latent, indices, None).unwrap();
    let whole = system.target.teacher().features(pixels).unwrap();
    let hidden = indices.gather_masked(&patch_tokens(&whole));
    let rows = Tensor::cat(&[whole.narrow(1, 0, 1), hidden], 1);
    let wanted = Normalization::Standardize.apply(&rows);
    let by_hand = predicted.smooth_l1_loss(&wanted, Reduction::Mean, 2.0);
    assert!(largest(&(by_hand - &loss)) < 1e-6);
    let gradient = |name: &str| system.parameters().get(name).unwrap().tensor.grad();
    assert!(largest(&gradient("cls_token")) > 0.0);
    assert!(largest(&gradient("decoder_pred.weight")) > 0.0);

    // The same batch with stochastic depth, if the recipe asks for it.
    let dropping = input(&settings(&["model.drop_path=0.5"]));
    let other = system.loss(&dropping).unwrap().total().shallow_clone();
    assert!(largest(&(other - loss)) > 1e-6);
}
