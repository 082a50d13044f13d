//! Fine-tuning of a small model folder on generated digits, end to end.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

mod digits;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use bauta_backbones::{
    BeitConfig, BeitEncoder, BeitModelConfig, ClipModelConfig, ClipVisionConfig, ClipVisual,
    Linear, ModelConfig, ModelFolder, Naming, Parameters, VisionTransformer, VitConfig,
    VitModelConfig,
};
use bauta_data::DatasetName;
use bauta_eval::finetune::FineTuneReport;
use bauta_experiments::finetune::{Arguments, tune};
use bauta_recipe::{FineTuneSettings, NamedData};
use digits::write_digits;
use tch::{Device, Tensor};

/// Writes an untrained encoder to a folder.
fn write_model(folder: &Path) {
    let config = VitConfig { channels: 1, ..VitConfig::new(8, 2, 32, 2, 4) };
    let mut parameters = Parameters::new(3, Device::Cpu);
    VisionTransformer::new(parameters.root(), &config).unwrap();
    let tensors: HashMap<String, Tensor> =
        parameters.iter().map(|p| (p.name.clone(), p.tensor.detach())).collect();
    let config = ModelConfig::Vit(VitModelConfig::new(&config, None));
    ModelFolder::new(folder.into(), config, tensors).write(folder, Naming::Timm).unwrap();
}

/// Writes a BEiT to a folder, as MaskDistill leaves it, with factors and biases that matter.
fn write_beit(folder: &Path) {
    let vit = VitConfig { channels: 1, ..VitConfig::new(8, 2, 32, 2, 4) };
    let config = BeitConfig { layer_scale: Some(1.0), ..BeitConfig::new(vit) };
    let mut parameters = Parameters::new(3, Device::Cpu);
    BeitEncoder::new(parameters.root(), &config).unwrap();
    Linear::new(parameters.root().sub("lm_head"), 32, 6, true);
    let mut tensors: HashMap<String, Tensor> =
        parameters.iter().map(|p| (p.name.clone(), p.tensor.detach())).collect();
    let table = tensors.get_mut("rel_pos_bias.relative_position_bias_table").unwrap();
    let numbers: Vec<f32> =
        (0..table.numel()).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
    *table = Tensor::from_slice(&numbers).view([52, 4]);
    let config = ModelConfig::Beit(BeitModelConfig::new(&config, Some(6)));
    ModelFolder::new(folder.into(), config, tensors).write(folder, Naming::Timm).unwrap();
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("data")).unwrap();
        write_digits(&place.path("data"));
        write_model(&place.path("model"));
        write_beit(&place.path("beit"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn arguments(&self, set: &[&str]) -> Arguments {
        let mut all: Vec<String> = [
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
        Arguments {
            model: Some(self.path("model")),
            scratch_like: None,
            data: NamedData::Images(DatasetName::Mnist),
            root: Some(self.path("data")),
            set: all,
            labels: None,
            validate: false,
            out: None,
            resume: false,
            json: None,
        }
    }
}

fn run(arguments: &Arguments) -> FineTuneReport<FineTuneSettings> {
    let NamedData::Images(data) = arguments.data else { panic!("these are images") };
    tune(arguments, data, &AtomicBool::new(false)).unwrap()
}

fn refuse(arguments: &Arguments) -> String {
    let NamedData::Images(data) = arguments.data else { panic!("these are images") };
    tune(arguments, data, &AtomicBool::new(false)).unwrap_err().to_string()
}

/// The same network from scratch.
fn from_scratch(arguments: Arguments) -> Arguments {
    Arguments { scratch_like: arguments.model, model: None, ..arguments }
}

/// Checks that, of the weights that both folders have, only those of the last block changed.
fn assert_only_the_last_block_changed(before: &ModelFolder, after: &ModelFolder) {
    for (name, tensor) in before.tensors() {
        let Some(later) = after.tensors().get(name) else { continue };
        assert_eq!(later == tensor, !name.starts_with("blocks.1."), "{name}");
    }
}

#[test]
fn the_folder_of_the_data_is_an_argument_or_a_key() {
    let place = Place::new();
    let by_argument = place.arguments(&["eval.finetune.epochs=1", "data.root=nowhere"]);
    let mut by_key = Arguments { root: None, ..by_argument.clone() };
    by_key.set.push(format!("data.root={}", place.path("data").display()));
    let found = [&by_argument, &by_key].map(run);
    assert_eq!(found[0].settings.data.root, Some(place.path("data")));
    assert_eq!(found[0].settings, found[1].settings);
    assert_eq!(found[0].figures.final_loss, found[1].figures.final_loss);
}

#[test]
fn an_encoder_learns_and_is_kept_as_a_model_folder() {
    let place = Place::new();
    let output = place.path("out");
    let arguments = Arguments {
        out: Some(output.clone()),
        ..place.arguments(&[
            "eval.finetune.mixup=0.2",
            "eval.finetune.cutmix=0.2",
            "eval.finetune.drop_path=0.1",
            "eval.finetune.epochs=12",
        ])
    };
    let found = run(&arguments);
    let top1 = found.figures.metrics.get("finetune_top1").unwrap();
    assert!(top1 > 0.5, "{top1} where chance is 0.1");
    assert_eq!((found.split, found.figures.train_images, found.figures.steps), ("test", 400, 120));
    let kept: serde_json::Value =
        serde_json::from_slice(&fs::read(output.join("result.json")).unwrap()).unwrap();
    assert_eq!(kept["metrics"]["finetune_top1"], top1);
    assert_eq!(kept["settings"]["eval"]["finetune"]["drop_path"], 0.1);

    let folder = ModelFolder::read(&output.join("checkpoints/last")).unwrap();
    let (parameters, _) = folder.vit(Device::Cpu).unwrap();
    assert_eq!(parameters.get("head.weight").unwrap().tensor.size(), [10, 32]);
    let before = ModelFolder::read(&place.path("model")).unwrap();
    assert_ne!(folder.tensors()["pos_embed"], before.tensors()["pos_embed"]);
    assert!(refuse(&arguments).contains("already holds a result"));
    let resumed = run(&Arguments { resume: true, ..arguments });
    assert_eq!(resumed.figures.metrics, found.figures.metrics, "measured again, not trained");
}

#[test]
fn what_is_frozen_stays_and_names_say_what_was_done() {
    let place = Place::new();
    let output = place.path("out");
    let arguments = Arguments {
        out: Some(output.clone()),
        ..place.arguments(&[
            "eval.finetune.blocks=1",
            "eval.finetune.labels=0.25",
            "eval.finetune.epochs=1",
            // These move the bars, and so the classes.
            "eval.finetune.randaugment=9",
            "eval.finetune.erasing=0.25",
        ])
    };
    let found = run(&arguments);
    assert_eq!(found.figures.train_images, 100);
    assert!(found.figures.metrics.get("finetune_last1_25pct_top1").is_some());
    let after = ModelFolder::read(&output.join("checkpoints/last")).unwrap();
    let before = ModelFolder::read(&place.path("model")).unwrap();
    assert_only_the_last_block_changed(&before, &after);
}

#[test]
fn runs_repeat_and_scratch_is_another_start() {
    let place = Place::new();
    let short = || place.arguments(&["eval.finetune.epochs=1", "eval.finetune.warmup_epochs=0"]);
    let (once, again) = (run(&short()).figures, run(&short()).figures);
    assert_eq!((once.metrics, once.final_loss), (again.metrics, again.final_loss));
    let scratch = run(&from_scratch(short()));
    assert!(scratch.figures.metrics.get("from_scratch.finetune_top1").is_some());
    assert_ne!(scratch.figures.final_loss, again.final_loss);
    let validated = run(&Arguments { validate: true, ..short() });
    assert_eq!((validated.split, validated.figures.test_images), ("validation", 40));
    assert_eq!(validated.figures.train_images, 360);
}

#[test]
fn a_beit_learns_and_is_kept_and_learns_again() {
    let place = Place::new();
    let output = place.path("out");
    let beit = |set: &[&str]| Arguments { model: Some(place.path("beit")), ..place.arguments(set) };
    let drop_path = "eval.finetune.drop_path=0.1";
    let whole = ["eval.finetune.epochs=20", "eval.finetune.mixup=0.2", drop_path];
    let found = run(&Arguments { out: Some(output.clone()), ..beit(&whole) });
    let top1 = found.figures.metrics.get("finetune_top1").unwrap();
    assert!(top1 > 0.5, "{top1} where chance is 0.1");

    let last = output.join("checkpoints/last");
    let after = ModelFolder::read(&last).unwrap();
    let ModelConfig::Beit(config) = after.config() else { panic!("a BEiT") };
    assert_eq!(config.architectures, ["BeitForImageClassification"]);
    assert!(config.use_relative_position_bias && !config.use_shared_relative_position_bias);
    assert!(config.use_mean_pooling && config.id2label.as_ref().unwrap().len() == 10);
    let table = |block: usize| {
        &after.tensors()[&format!("blocks.{block}.attn.relative_position_bias_table")]
    };
    assert_ne!(table(0), table(1), "each block's table goes its own way");
    let (parameters, _) = after.vit(Device::Cpu).unwrap();
    let trained: usize = parameters.trainable().map(|p| p.tensor.numel()).sum();
    assert_eq!(trained, found.figures.trained_parameters);

    // Once more; then on images of another size; and frozen weights stay unchanged.
    let again = Arguments { model: Some(last), ..beit(&["eval.finetune.epochs=3"]) };
    let top1 = run(&again).figures.metrics.get("finetune_top1").unwrap();
    assert!(top1 > 0.3, "{top1}");
    let output = place.path("larger");
    let larger = Arguments {
        out: Some(output.clone()),
        set: beit(&["data.image_size=12", "eval.finetune.epochs=1"]).set,
        ..again
    };
    run(&larger);
    let after = ModelFolder::read(&output.join("checkpoints/last")).unwrap();
    assert_eq!(after.config().image_size(), [12, 12]);
    let table = &after.tensors()["blocks.1.attn.relative_position_bias_table"];
    assert_eq!(table.size(), [11 * 11 + 3, 4]);
    let output = place.path("last");
    let part = beit(&["eval.finetune.blocks=1", "eval.finetune.epochs=1"]);
    run(&Arguments { out: Some(output.clone()), ..part });
    let after = ModelFolder::read(&output.join("checkpoints/last")).unwrap();
    let before = ModelFolder::read(&place.path("beit")).unwrap().tunable();
    assert_only_the_last_block_changed(&before, &after);
}

#[test]
fn a_beit_repeats_and_reads_the_class_token_too() {
    let place = Place::new();
    let beit = |set: &str| Arguments {
        model: Some(place.path("beit")),
        ..place.arguments(&["eval.finetune.epochs=1", set])
    };
    let short = || run(&beit("eval.finetune.drop_path=0.1")).figures;
    let (once, again) = (short(), short());
    assert_eq!((once.metrics, once.final_loss), (again.metrics, again.final_loss));
    let output = place.path("out");
    let cls = Arguments { out: Some(output.clone()), ..beit("eval.finetune.features=\"cls\"") };
    run(&cls);
    let last = output.join("checkpoints/last");
    let folder = ModelFolder::read(&last).unwrap();
    let ModelConfig::Beit(config) = folder.config() else { panic!("a BEiT") };
    assert!(!config.use_mean_pooling && folder.tensors().contains_key("norm.weight"));
    let scratch = run(&from_scratch(Arguments { model: Some(last), ..beit("seed=1") }));
    assert!(scratch.figures.metrics.get("from_scratch.finetune_top1").is_some());
}

#[test]
fn encoders_that_cannot_be_fine_tuned_say_why() {
    let place = Place::new();
    let config = place.path("beit").join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    let each = "\"use_relative_position_bias\": ";
    let changed = text.replace(&format!("{each}false"), &format!("{each}true"));
    assert_ne!(changed, text);
    fs::write(&config, changed).unwrap();
    let beit = Arguments { model: Some(place.path("beit")), ..place.arguments(&[]) };
    assert!(refuse(&beit).contains("position_bias are both true"));

    let clip = place.path("clip");
    let tower = VitConfig { channels: 1, ..VitConfig::new(8, 2, 32, 2, 4) };
    let tower = ClipVisionConfig::new(tower);
    let mut parameters = Parameters::new(1, Device::Cpu);
    ClipVisual::new(parameters.root(), &tower).unwrap();
    let tensors = parameters.iter().map(|p| (p.name.clone(), p.tensor.detach())).collect();
    let config = ModelConfig::Clip(ClipModelConfig::new(&tower));
    ModelFolder::new(clip.clone(), config, tensors).write(&clip, Naming::Timm).unwrap();
    let clip = refuse(&Arguments { model: Some(clip), ..place.arguments(&[]) });
    assert!(clip.contains("a CLIP tower cannot be fine-tuned"), "{clip}");
}

#[test]
fn a_stopped_fine_tuning_says_how_it_goes_on() {
    let place = Place::new();
    let kept = Arguments { out: Some(place.path("out")), ..place.arguments(&[]) };
    let whole = run(&kept).figures;
    let stopped = Arguments { out: Some(place.path("stopped")), ..kept };
    let refused =
        tune(&stopped, DatasetName::Mnist, &AtomicBool::new(true)).unwrap_err().to_string();
    assert!(refused.contains("go on with the same command and --resume"), "{refused}");
    let mut other = Arguments { resume: true, ..stopped.clone() };
    other.set.push("eval.finetune.epochs=7".to_owned());
    assert!(refuse(&other).contains("was begun with other settings"), "{}", refuse(&other));
    let resumed = run(&Arguments { resume: true, ..stopped }).figures;
    assert_eq!((resumed.metrics, resumed.final_loss), (whole.metrics, whole.final_loss));
}

#[test]
fn what_does_not_fit_is_refused() {
    let place = Place::new();
    let with = |set: &str| refuse(&place.arguments(&[set]));
    assert!(with("eval.finetune.blocks=3").contains("encoder's 2 blocks"));
    let few = run(&place.arguments(&["eval.finetune.batch_size=500", "eval.finetune.epochs=1"]));
    assert_eq!(few.figures.batch_size, 400, "all labelled images, and no more");
    assert!(with("data.image_size=9").contains("9"));
    let other = Arguments { data: NamedData::Images(DatasetName::Cifar10), ..place.arguments(&[]) };
    assert!(refuse(&other).contains("data"), "{}", refuse(&other));
    let nowhere = Arguments { model: Some(place.path("nowhere")), ..place.arguments(&[]) };
    assert!(refuse(&nowhere).contains("nowhere"));
}

#[test]
fn one_class_is_refused_and_leaves_no_folder() {
    let place = Place::new();
    for split in ["train", "val"] {
        let folder = place.path("one").join(split).join("cat");
        fs::create_dir_all(&folder).unwrap();
        image::GrayImage::new(8, 8).save(folder.join("1.png")).unwrap();
    }
    let root = Some(place.path("one"));
    let folder = NamedData::Images(DatasetName::Folder);
    let out = place.path("out");
    let given = place.arguments(&[]);
    let refused = refuse(&Arguments { data: folder, root, out: Some(out.clone()), ..given });
    assert!(
        refused.contains("of two classes or more, but the training images have no classes"),
        "{refused}"
    );
    assert!(!out.exists());
}
