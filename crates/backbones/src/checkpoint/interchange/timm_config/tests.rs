//! timm's folders from a hub: described by their weights, or refused with the reason.

use std::fs;
use std::path::Path;

use tch::Device;

use super::super::{CropRounding, Framing, ModelFolder, Preprocessing, Resize};
use super::*;
use crate::checkpoint::write_tensors;
use crate::{EncoderHead, EncoderWithHead, Parameters, VitConfig};

/// A folder of a small ViT with a classifier, as timm's `push_to_hf_hub` writes it.
fn folder(config: &Value, heads: usize) -> (tempfile::TempDir, VitConfig) {
    let folder = tempfile::tempdir().unwrap();
    let vit = VitConfig::new(8, 4, 16, 2, heads);
    let mut parameters = Parameters::new(1, Device::Cpu);
    EncoderWithHead::vit(parameters.root(), &vit, EncoderHead::Classifier(3)).unwrap();
    let named = parameters.iter().map(|p| (p.name.as_str(), &p.tensor));
    write_tensors(&folder.path().join("model.safetensors"), named).unwrap();
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    (folder, vit)
}

fn config() -> Value {
    json!({
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 3,
        "num_features": 16,
        "global_pool": "token",
        "model_args": {"num_heads": 4, "img_size": 8, "embed_dim": 16, "drop_path_rate": 0.1},
        "pretrained_cfg": {
            "input_size": [3, 8, 8],
            "interpolation": "bicubic",
            "crop_pct": 0.9,
            "crop_mode": "center",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.25, 0.25, 0.25],
            "classifier": "head",
            "license": "apache-2.0"
        }
    })
}

fn read(config: &Value) -> Result<ModelFolder, String> {
    let (folder, _) = folder(config, 4);
    ModelFolder::read(folder.path()).map_err(|error| error.to_string())
}

#[test]
fn a_folder_is_described_by_its_weights() {
    let (at, vit) = folder(&config(), 4);
    let read = ModelFolder::read(at.path()).unwrap();
    let ModelConfig::Vit(found) = read.config() else { panic!("a plain ViT") };
    assert_eq!(found.encoder().unwrap(), vit);
    read.vit(Device::Cpu).unwrap();
    let said = read.preprocessing().unwrap();
    assert_eq!(said.statistics(3).unwrap().deviation, [0.25; 3]);
    let framing = said.framing().unwrap().unwrap();
    assert_eq!((framing.resize, framing.crop), (Resize::ShorterSide(8), Some([8, 8])));
    // When written, it uses Hugging Face's keys.
    let to = tempfile::tempdir().unwrap();
    read.write(to.path(), super::super::Naming::HuggingFace).unwrap();
    assert_eq!(Preprocessing::read(to.path()).unwrap().as_ref(), Some(said));
    assert_eq!(ModelFolder::read(to.path()).unwrap().config(), read.config());
}

#[test]
fn activations_are_obeyed() {
    let activation = |change: fn(&mut Value)| {
        let mut config = config();
        change(&mut config);
        read(&config).unwrap().config().sizes().hidden_act
    };
    assert_eq!(activation(|_| ()), Activation::Gelu);
    let quick = activation(|c| c["architecture"] = "vit_base_patch16_clip_quickgelu_224".into());
    assert_eq!(quick, Activation::QuickGelu);
    assert_eq!(
        activation(|c| c["model_args"]["act_layer"] = "gelu_tanh".into()),
        Activation::GeluTanh
    );
    // transformers' wrapper of a timm model gives the same.
    assert_eq!(activation(|c| c["model_type"] = "timm_wrapper".into()), Activation::Gelu);
}

#[test]
fn what_is_not_read_is_named() {
    let refuse = |change: fn(&mut Value), words: &str| {
        let mut config = config();
        change(&mut config);
        let refused = read(&config).unwrap_err();
        assert!(refused.contains("config.json: ") && refused.contains(words), "{refused}");
    };
    refuse(|c| c["architecture"] = "resnet50".into(), "architecture \"resnet50\" is not supported");
    refuse(
        |c| c["architecture"] = "deit_tiny_distilled_patch16_224".into(),
        "has a distillation token",
    );
    refuse(|c| c["model_args"]["norm_layer"] = "rms".into(), "model_args.norm_layer is \"rms\"");
    refuse(|c| c["model_args"]["act_layer"] = "mish".into(), "model_args.act_layer is \"mish\"");
    refuse(|c| c["model_args"]["num_heads"] = json!(-1), "model_args.num_heads is -1");
    refuse(|c| c["model_args"]["img_size"] = json!(1_u64 << 40), "model_args.img_size is");
    refuse(|c| drop(c["model_args"].take()), "the width 16 does not determine the number of heads");
    // The classifier is on the class token, without `fc_norm`.
    for pool in ["avg", "max", "avgmax", "map"] {
        let mut config = config();
        config["global_pool"] = pool.into();
        let refused = read(&config).unwrap_err();
        let words = format!("global_pool is \"{pool}\" without a norm");
        assert!(refused.contains(&words), "{refused}");
    }
    let mut config = config();
    config.as_object_mut().unwrap().remove("global_pool");
    read(&config).unwrap();
    config["model_args"]["global_pool"] = "avgmax".into();
    assert!(read(&config).unwrap_err().contains("global_pool is \"avgmax\""));
}

/// timm also norms the greatest values, and their mean with the average, before the classifier.
#[test]
fn a_classifier_with_a_norm_of_its_own_reads_the_mean_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut parameters = Parameters::new(1, Device::Cpu);
    let head = EncoderHead::MeanClassifier(3);
    EncoderWithHead::vit(parameters.root(), &VitConfig::new(8, 4, 16, 2, 4), head).unwrap();
    let named = parameters.iter().map(|p| (p.name.as_str(), &p.tensor));
    write_tensors(&folder.path().join("model.safetensors"), named).unwrap();
    let read = |pool: &str| {
        let mut config = config();
        config["global_pool"] = pool.into();
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        ModelFolder::read(folder.path()).map_err(|error| error.to_string())
    };
    let (_, model) = read("avg").unwrap().vit(Device::Cpu).unwrap();
    assert_eq!(model.kind(), head);
    for pool in ["max", "avgmax", "token"] {
        let refused = read(pool).unwrap_err();
        assert!(refused.contains(&format!("global_pool is \"{pool}\" with a norm")), "{refused}");
    }
}

#[test]
fn pictures_that_cannot_be_made_ready_are_refused_and_nothing_else() {
    for (key, value, words) in [
        ("crop_mode", json!("border"), "crop_mode is \"border\", a step that is not supported"),
        ("crop_pct", json!(0), "crop_pct is 0, a step"),
        ("interpolation", json!("random"), "resample is \"random\", but must be"),
        ("mean", json!([0.5]), "image_mean has values for 1 channels"),
    ] {
        let mut config = config();
        config["pretrained_cfg"][key] = value;
        let read = read(&config).unwrap();
        let said = read.preprocessing().unwrap();
        let refused = said.framing().map(drop).and(said.statistics(3).map(drop)).unwrap_err();
        assert!(refused.to_string().contains(words), "{refused}");
    }
}

#[test]
fn framing_is_timms() {
    let framing = |change: fn(&mut Value)| -> Option<Framing> {
        let mut config = config();
        config["pretrained_cfg"]["input_size"] = json!([3, 224, 224]);
        change(&mut config["pretrained_cfg"]);
        let Value::Object(config) = config else { panic!("an object") };
        let keys = preprocessing(&config)?;
        let place = tempfile::tempdir().unwrap();
        let text = serde_json::to_string(&keys).unwrap();
        fs::write(Path::new(place.path()).join("preprocessor_config.json"), text).unwrap();
        Preprocessing::read(place.path()).unwrap().unwrap().framing().unwrap()
    };
    let found = framing(|_| ()).unwrap();
    assert_eq!((found.resize, found.crop), (Resize::ShorterSide(248), Some([224, 224])));
    assert_eq!(found.rounding, CropRounding::HalfEven);
    let found = framing(|said| said["crop_pct"] = json!(1.0)).unwrap();
    assert_eq!(found.resize, Resize::ShorterSide(224));
    let found = framing(|said| said["crop_mode"] = "squash".into()).unwrap();
    assert_eq!(found.resize, Resize::To([248, 248]));
    assert_eq!(
        framing(|said| drop(said["mean"].take())).map(|found| found.crop),
        Some(Some([224; 2]))
    );
    assert_eq!(framing(|said| drop(said.as_object_mut().unwrap().remove("mean"))), None);
}
