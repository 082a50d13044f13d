//! Foreign model folders that cannot be used: each is refused clearly, and nothing is written.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use bauta_backbones::checkpoint::{read_tensors, write_tensors};
use bauta_backbones::{ImportOptions, ModelFolder, Naming};
use bauta_eval::folder::{Forward, Reconstruct};
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

/// A copy of a fixture that a test may damage.
struct Case {
    scratch: TempDir,
}

impl Case {
    fn new(name: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        for entry in fs::read_dir(fixture).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, scratch.path().join(path.file_name().unwrap())).unwrap();
        }
        Self { scratch }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn edit(&self, file: &str, change: impl FnOnce(&mut HashMap<String, Tensor>)) {
        let mut tensors = read_tensors(&self.path(file)).unwrap();
        change(&mut tensors);
        let tensors = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        write_tensors(&self.path(file), tensors).unwrap();
    }

    fn configure(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("config.json")).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(self.path("config.json"), text.replace(from, to)).unwrap();
    }

    /// The error message of `forward`.
    fn refusal(&self) -> String {
        let output = self.path("found.safetensors");
        let error =
            Forward::new(self.scratch.path(), &self.path("input.safetensors"), &output).run();
        assert!(!output.exists());
        format!("{:#}", error.unwrap_err())
    }
}

fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "\"{word}\" is not in: {text}");
    }
}

#[test]
fn weights_that_do_not_fit_are_listed() {
    let case = Case::new("mae-normalized");
    case.edit("model.safetensors", |tensors| {
        tensors.remove("vit.layernorm.bias");
        tensors.insert("vit.rotary".into(), Tensor::zeros([2], FLOAT));
        tensors.insert("decoder.mask_token".into(), Tensor::zeros([1, 1, 3], FLOAT));
        let whole = Tensor::zeros([48], (Kind::Int64, Device::Cpu));
        tensors.insert("vit.encoder.layer.0.intermediate.dense.bias".into(), whole);
    });
    assert_says(
        &case.refusal(),
        &[
            "model.safetensors",
            "missing norm.bias",
            "unexpected vit.rotary",
            "mask_token: file has [1, 1, 3], model expects [1, 1, 16]",
            "blocks.0.mlp.fc1.bias: file has Int64",
        ],
    );
}

#[test]
fn a_key_without_query_and_value_is_named() {
    let case = Case::new("mae-normalized");
    case.edit("model.safetensors", |tensors| {
        tensors.remove("vit.encoder.layer.1.attention.attention.query.bias");
    });
    assert_says(&case.refusal(), &["missing vit.encoder.layer.1.attention.attention.query.bias"]);
}

#[test]
fn an_encoder_alone_is_no_autoencoder() {
    let case = Case::new("mae-normalized");
    case.edit("model.safetensors", |tensors| {
        tensors.retain(|name, _| !name.starts_with("decoder"));
    });
    assert_says(&case.refusal(), &["missing mask_token, ", "decoder_pred.weight"]);
}

#[test]
fn a_teachers_features_are_not_taken_for_pixels() {
    let case = Case::new("mae-normalized");
    case.configure("\"norm_pix_loss\": true", "\"norm_pix_loss\": false, \"feature_size\": 192");
    let (model, output) = (case.scratch.path(), case.path("found.safetensors"));
    Forward::new(model, &case.path("input.safetensors"), &output).run().unwrap();
    let found = read_tensors(&output).unwrap();
    assert!(found.contains_key("logits") && !found.contains_key("loss"));

    let (out, root) = (case.path("out"), case.path("images"));
    let (model, device) = (model.to_owned(), Device::Cpu);
    let drawn = Reconstruct { model, root, out, ratio: None, seed: 0, count: 1, device };
    let refused = drawn.run(&|| panic!("there is no video")).unwrap_err().to_string();
    assert_says(&refused, &["predicts a teacher's features, not pixels"]);

    let folder = ModelFolder::read(&drawn.model).unwrap();
    let refused = folder.export(&drawn.out, Naming::HuggingFace).unwrap_err().to_string();
    assert_says(&refused, &["predicts a teacher's features", "its encoder alone"]);
    assert!(!drawn.out.exists());
    folder.export(&drawn.out, Naming::Timm).unwrap();
    let encoder = folder.into_encoder().unwrap();
    encoder.export(&case.path("encoder"), Naming::HuggingFace).unwrap();
}

#[test]
fn other_architectures_are_named() {
    let case = Case::new("mae-normalized");
    case.configure("\"vit_mae\"", "\"bert\"");
    assert_says(
        &case.refusal(),
        &["config.json", "model_type \"bert\"", "supported are vit, vit_mae", "clip"],
    );
    fs::write(case.path("config.json"), "{\"hidden_size\": 3").unwrap();
    assert_says(&case.refusal(), &["config.json", "EOF"]);
    fs::write(case.path("config.json"), "[]").unwrap();
    assert_says(&case.refusal(), &["model_type (none)"]);
    fs::remove_file(case.path("config.json")).unwrap();
    assert_says(&case.refusal(), &["config.json", "No such file"]);
}

#[test]
fn beits_of_other_positions_are_refused() {
    let refuse = |from: &str, to: &str| {
        let case = Case::new("beit-masked");
        case.configure(from, to);
        case.refusal()
    };
    let shared = "\"use_shared_relative_position_bias\": ";
    let without = refuse(&format!("{shared}true"), &format!("{shared}false"));
    assert_says(&without, &["config.json", "use_shared_relative_position_bias are both false"]);
    assert_says(&without, &["have one each (fine-tuned)"]);
    let each = "\"use_relative_position_bias\": ";
    let in_each = refuse(&format!("{each}false"), &format!("{each}true"));
    assert_says(&in_each, &["position_bias are both true"]);
    let absolute = "\"use_absolute_position_embeddings\": ";
    let absolute = refuse(&format!("{absolute}false"), &format!("{absolute}true"));
    assert_says(&absolute, &["missing pos_embed"]);
    let twice = refuse("\"use_mean_pooling\": true", "\"use_mean_pooling\": false");
    assert_says(&twice, &["use_mean_pooling is false", "normalises its tokens twice"]);
}

#[test]
fn weights_of_beit_and_clip_that_do_not_fit_are_listed() {
    let case = Case::new("beit-masked");
    case.edit("model.safetensors", |tensors| {
        tensors.remove("beit.encoder.layer.1.lambda_2");
        tensors.remove("beit.encoder.layer.0.attention.attention.value.bias");
        let table = "beit.encoder.relative_position_bias.relative_position_bias_table";
        tensors.insert(table.into(), Tensor::zeros([12, 4], FLOAT));
    });
    assert_says(
        &case.refusal(),
        &[
            "blocks.1.gamma_2",
            "blocks.0.attn.v_bias",
            "rel_pos_bias.relative_position_bias_table: file has [12, 4], model expects [52, 4]",
        ],
    );
    let case = Case::new("beit-masked");
    case.edit("model.safetensors", |tensors| {
        tensors.remove("beit.encoder.layer.0.attention.attention.key.weight");
    });
    assert_says(&case.refusal(), &["missing beit.encoder.layer.0.attention.attention.key.weight"]);
    let case = Case::new("clip-both");
    case.edit("model.safetensors", |tensors| {
        tensors.remove("vision_model.pre_layrnorm.bias");
        let class = Tensor::zeros([5], FLOAT);
        tensors.insert("vision_model.embeddings.class_embedding".into(), class);
    });
    assert_says(&case.refusal(), &["missing norm_pre.bias", "cls_token: file has [1, 1, 5]"]);
    case.configure("\"vision_config\"", "\"images\"");
    assert_says(&case.refusal(), &["config.json", "vision_config"]);
}

#[test]
fn masks_that_do_not_fit_say_what_is_wanted() {
    let refuse = |mask: Tensor| {
        let case = Case::new("beit-masked");
        case.edit("input.safetensors", |t| drop(t.insert("bool_masked_pos".into(), mask)));
        case.refusal()
    };
    let short = refuse(Tensor::zeros([2, 15], FLOAT));
    assert_says(&short, &["bool_masked_pos is [2, 15], the model expects [2, 16]"]);
    let uneven = Tensor::arange(32, FLOAT).view([2, 16]).lt(3.0).to_kind(Kind::Bool);
    assert_says(&refuse(uneven), &["bool_masked_pos: ", "mask"]);
    let all = refuse(Tensor::ones([2, 16], FLOAT));
    assert_says(&all, &["input.safetensors", "bool_masked_pos: ", "16 masked of 16 tokens"]);
}

#[test]
fn impossible_descriptions_name_the_field() {
    let refuse = |from: &str, to: &str| {
        let case = Case::new("mae-normalized");
        case.configure(from, to);
        case.refusal()
    };
    assert_says(&refuse("\"gelu\"", "\"mish\""), &["mish", "quick_gelu"]);
    assert_says(&refuse("\"patch_size\": 8", "\"patch_size\": [8, 4]"), &["patch_size [8, 4]"]);
    assert_says(&refuse("\"patch_size\": 8", "\"patch_size\": 5"), &["patch size 5"]);
    assert_says(&refuse("\"mask_ratio\": 0.75", "\"mask_ratio\": 1.0"), &["ratio 1"]);
    assert_says(&refuse("\"hidden_size\": 24", "\"hidden_size\": 20"), &["[1, 1, 24]"]);
    assert_says(&refuse("\"num_attention_heads\": 4", "\"num_attention_heads\": 5"), &["5"]);
}

#[test]
fn inputs_that_do_not_fit_say_what_is_wanted() {
    let refuse = |change: fn(&mut HashMap<String, Tensor>)| {
        let case = Case::new("mae-normalized");
        case.edit("input.safetensors", change);
        case.refusal()
    };
    let short = refuse(|t| drop(t.insert("noise".into(), Tensor::zeros([2, 15], FLOAT))));
    assert_says(&short, &["input.safetensors", "noise is [2, 15], the model expects [2, 16]"]);
    let no_number = refuse(|t| drop(t["noise"].get(1).fill_(f64::NAN)));
    assert_says(&no_number, &["input.safetensors", "noise has NaN values"]);
    let none = refuse(|t| {
        t.insert("pixel_values".into(), Tensor::zeros([0, 3, 32, 32], FLOAT));
        t.insert("noise".into(), Tensor::zeros([0, 16], FLOAT));
    });
    assert_says(&none, &["pixel_values has 0 images"]);
    let nothing = refuse(|t| drop(t.remove("noise")));
    assert_says(&nothing, &["no tensor noise", "pixel_values"]);
    let half = refuse(|t| {
        let pixels = t["pixel_values"].to_kind(Kind::Half);
        t.insert("pixel_values".into(), pixels);
    });
    assert_says(&half, &["pixel_values is Half"]);
    let grey =
        refuse(|t| drop(t.insert("pixel_values".into(), Tensor::zeros([2, 1, 32, 32], FLOAT))));
    assert_says(&grey, &["[2, 1, 32, 32]", "[B, 3, 32, 32]"]);
}

#[test]
fn lying_headers_and_split_weights_are_refused() {
    let case = Case::new("vit-classifier");
    let path = case.path("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    bytes[..8].copy_from_slice(&(1_u64 << 60).to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    assert_says(&case.refusal(), &["model.safetensors", "not a safetensors file"]);
    fs::remove_file(&path).unwrap();
    assert_says(&case.refusal(), &["this one has none"]);
    fs::write(case.path("model.safetensors.index.json"), "{}").unwrap();
    assert_says(&case.refusal(), &["split into several files"]);
}

#[test]
fn numbers_of_half_precision_are_read() {
    let case = Case::new("vit-classifier");
    case.edit("model.safetensors", |tensors| {
        for tensor in tensors.values_mut() {
            *tensor = tensor.to_kind(Kind::BFloat16);
        }
    });
    let output = case.path("found.safetensors");
    Forward::new(case.scratch.path(), &case.path("input.safetensors"), &output).run().unwrap();
    let wanted = &read_tensors(&case.path("output.safetensors")).unwrap()["logits"];
    let found = &read_tensors(&output).unwrap()["logits"];
    assert_eq!(found.kind(), Kind::Float);
    assert!((found - wanted).abs().max().double_value(&[]) < 0.05);
}

#[test]
fn weights_without_a_description_say_what_is_missing() {
    let case = Case::new("timm-four-channels");
    let refuse = |options| {
        let refused = ModelFolder::import(&case.path("weights.safetensors"), options);
        format!("{:#}", refused.unwrap_err())
    };
    let nothing = ImportOptions::default();
    assert_says(
        &refuse(nothing),
        &["6 patches do not form a square", "give the height and width of the images (image_size)"],
    );
    let sides = ImportOptions { image_size: Some([24, 24]), ..nothing };
    assert_says(&refuse(sides), &["24 × 24", "6 positions"]);
    let sides = ImportOptions { image_size: Some([24, 16]), ..nothing };
    assert_says(&refuse(sides), &["the width 32", "give it (heads)"]);
    case.edit("weights.safetensors", |tensors| drop(tensors.remove("pos_embed")));
    assert_says(&refuse(nothing), &["no pos_embed"]);
}

#[test]
fn a_model_is_not_overwritten() {
    let case = Case::new("vit-classifier");
    let folder = ModelFolder::import(case.scratch.path(), ImportOptions::default()).unwrap();
    let naming = bauta_backbones::Naming::Timm;
    let refused = folder.export(case.scratch.path(), naming).unwrap_err();
    assert_says(&refused.to_string(), &["holds a model already"]);
}
