//! Model folders whose `config.json` lies about sizes, or whose weights lie about shapes: each is
//! refused with a reason or read within the bounds of its files. This file is a process of its own,
//! so that its peak memory is that of these tests.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bauta_backbones::tch::{Device, Tensor};
use bauta_backbones::{
    BeitConfig, BeitEncoder, BeitModelConfig, ClipModelConfig, ClipVisionConfig, ClipVisual,
    EncoderHead, ImportOptions, Linear, MaeDecoder, MaeDecoderConfig, ModelConfig, ModelFolder,
    Naming, Parameters, VisionTransformer, VitConfig, VitMaeConfig, VitModelConfig, describe,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Memory that any of these folders can take, in bytes: their files have less than a megabyte.
const MOST_MEMORY: u64 = 512 << 20;

/// Time to read or refuse any of them, in an unoptimised build on a busy machine.
const MOST_TIME: Duration = Duration::from_secs(20);

const KINDS: [&str; 4] = ["vit_mae", "vit", "beit", "clip_vision_model"];

const NAMINGS: [Naming; 2] = [Naming::Timm, Naming::HuggingFace];

const SIZES: [&str; 7] = [
    "image_size",
    "patch_size",
    "num_channels",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
];

/// Keys of sizes that only some kinds have.
const OWN_SIZES: [(&str, &str); 8] = [
    ("vit_mae", "decoder_hidden_size"),
    ("vit_mae", "decoder_num_hidden_layers"),
    ("vit_mae", "decoder_num_attention_heads"),
    ("vit_mae", "decoder_intermediate_size"),
    ("vit_mae", "decoder_branches"),
    ("vit_mae", "feature_size"),
    ("beit", "vocab_size"),
    ("clip_vision_model", "projection_dim"),
];

fn tensors(parameters: &Parameters) -> HashMap<String, Tensor> {
    parameters.iter().map(|p| (p.name.clone(), p.tensor.detach())).collect()
}

/// A small folder of a kind, with all optional parts of such a model, under timm's names.
fn folder(kind: &str) -> TempDir {
    named(kind, Naming::Timm)
}

/// The same under either naming scheme; CLIP's folders only have timm's names.
fn named(kind: &str, naming: Naming) -> TempDir {
    let vit = VitConfig::new(16, 4, 16, 2, 2);
    let mut parameters = Parameters::new(1, Device::Cpu);
    let config = match kind {
        "vit_mae" => {
            let encoder = VisionTransformer::new(parameters.root(), &vit).unwrap();
            let decoder = MaeDecoderConfig::new(16, 8, 1, 2, vit.patch_values());
            MaeDecoder::new(parameters.root(), &decoder, encoder.grid()).unwrap();
            ModelConfig::VitMae(VitMaeConfig::new(&vit, &decoder, 0.75, true))
        }
        "vit" => {
            VisionTransformer::new(parameters.root(), &vit).unwrap();
            Linear::new(parameters.root().sub("head"), 16, 3, true);
            ModelConfig::Vit(VitModelConfig::new(&vit, Some(3)))
        }
        "beit" => {
            let config = BeitConfig::new(vit);
            BeitEncoder::new(parameters.root(), &config).unwrap();
            Linear::new(parameters.root().sub("lm_head"), 16, 5, true);
            ModelConfig::Beit(BeitModelConfig::new(&config, Some(5)))
        }
        "clip_vision_model" => {
            let config = ClipVisionConfig { projection: Some(6), ..ClipVisionConfig::new(vit) };
            ClipVisual::new(parameters.root(), &config).unwrap();
            ModelConfig::Clip(ClipModelConfig::new(&config))
        }
        other => panic!("{other}"),
    };
    let place = tempfile::tempdir().unwrap();
    let folder = ModelFolder::new("made".into(), config, tensors(&parameters));
    let naming = if kind == "clip_vision_model" { Naming::Timm } else { naming };
    folder.write(place.path(), naming).unwrap();
    place
}

fn configure(folder: &Path, key: &str, value: Value) {
    let path = folder.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config[key] = value;
    fs::write(path, config.to_string()).unwrap();
}

/// Reads a folder and builds every model that it can give. The models are not much larger than the
/// weights.
fn try_everything(place: &Path) -> Result<(), String> {
    let started = Instant::now();
    let folder = ModelFolder::read(place).map_err(|error| error.to_string())?;
    let mut refused = Ok(());
    {
        let mut tell = |built: Result<Parameters, bauta_backbones::ModelError>| match built {
            Ok(parameters) => {
                let held: usize = folder.tensors().values().map(Tensor::numel).sum();
                assert!(parameters.count() <= 4 * held + (1 << 20));
            }
            Err(error) => refused = Err(error.to_string()),
        };
        tell(folder.image_encoder(Device::Cpu, None).map(|(parameters, _)| parameters));
        match folder.config() {
            ModelConfig::VitMae(_) => tell(folder.masked_autoencoder(Device::Cpu).map(|all| all.0)),
            ModelConfig::Vit(_) => tell(folder.vit(Device::Cpu).map(|all| all.0)),
            ModelConfig::Beit(_) => tell(folder.beit(Device::Cpu, None).map(|all| all.0)),
            ModelConfig::Clip(_) => tell(folder.clip(Device::Cpu, None).map(|all| all.0)),
        }
        if !matches!(folder.config(), ModelConfig::Clip(_)) {
            let head = EncoderHead::Classifier(2);
            tell(folder.classifier(head, None, 0, Device::Cpu).map(|all| all.0));
        }
    }
    let _ =
        describe(folder.tensors(), ImportOptions { heads: Some(2), ..ImportOptions::default() });
    let again = tempfile::tempdir().unwrap();
    for naming in [Naming::Timm, Naming::HuggingFace] {
        let _ = folder.write(again.path(), naming);
    }
    let _ = folder.into_encoder();
    assert!(started.elapsed() < MOST_TIME);
    refused
}

/// The process's peak memory in bytes, where the system reports it.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes =
        peak.and_then(|peak| peak.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) << 10
}

fn within_memory<T>(work: impl FnOnce() -> T) -> T {
    let before = peak_memory();
    let result = work();
    let grown = peak_memory().saturating_sub(before);
    assert!(grown < MOST_MEMORY, "{} MiB", grown >> 20);
    result
}

#[test]
fn honest_folders_are_read() {
    for kind in KINDS {
        for naming in NAMINGS {
            try_everything(named(kind, naming).path()).unwrap();
        }
    }
}

#[test]
fn every_size_of_every_kind_is_held_against_the_weights() {
    let absurd = [0, 1_000_000_000, 65_536, 1 << 20, 1 << 31, 1 << 32, 1 << 63, u64::MAX];
    let shared = KINDS.iter().flat_map(|kind| SIZES.map(|key| (*kind, key)));
    within_memory(|| {
        for (kind, key) in shared.chain(OWN_SIZES) {
            for size in absurd {
                let place = folder(kind);
                configure(place.path(), key, size.into());
                let refused = try_everything(place.path());
                let told = match key {
                    // A ViT's weights do not show its heads, but these must divide its width.
                    "num_attention_heads" | "decoder_num_attention_heads" => "heads",
                    // Alternatively, the image does not divide into whole patches of this size.
                    "patch_size" if refused.as_ref().is_err_and(|r| r.contains("patch size")) => {
                        "patch size"
                    }
                    _ => key,
                };
                let refused = refused.expect_err(&format!("{kind} of {key} {size}"));
                assert!(refused.contains(told), "{kind}, {key} {size}: {refused}");
            }
        }
    });
}

#[test]
fn a_size_that_is_not_the_weights_is_told_by_its_key() {
    for (kind, key, value, words) in [
        (
            "vit",
            "hidden_size",
            json!(20),
            "hidden_size is 20, but in the weights cls_token is [1, 1, 16]",
        ),
        (
            "vit",
            "num_hidden_layers",
            json!(3),
            "num_hidden_layers is 3, but the weights have 2 blocks",
        ),
        (
            "vit",
            "num_channels",
            json!(4),
            "num_channels is 4, but in the weights patch_embed.proj.weight is [16, 3, 4, 4]",
        ),
        ("vit", "image_size", json!(32), "need 65 positions, but pos_embed is [1, 17, 16]"),
        (
            "clip_vision_model",
            "projection_dim",
            json!(7),
            "projection_dim is 7, but in the weights head.weight is [6, 16]",
        ),
        ("beit", "num_attention_heads", json!(4), "num_attention_heads is 4"),
        (
            "vit_mae",
            "decoder_num_hidden_layers",
            json!(2),
            "decoder_num_hidden_layers is 2, but the weights have 1 decoder_blocks",
        ),
    ] {
        let place = folder(kind);
        configure(place.path(), key, value);
        let refused = try_everything(place.path()).unwrap_err();
        assert!(refused.contains("config.json: ") && refused.contains(words), "{refused}");
    }
}

/// Changes the header of a folder's weights and writes it back with the same numbers.
fn change_header(place: &Path, change: impl FnOnce(&mut Value)) {
    let path = place.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    change(&mut header);
    let text = header.to_string();
    let changed = [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &bytes[8 + length..]];
    fs::write(path, changed.concat()).unwrap();
}

/// Adds a tensor without numbers, which can be at any position.
fn add_empty(header: &mut Value, name: &str, shape: Value) {
    header[name] = json!({"dtype": "F32", "shape": shape, "data_offsets": [0, 0]});
}

#[test]
fn tensors_of_lying_names_and_shapes_take_nothing() {
    within_memory(|| {
        for (kind, name, shape, words) in [
            ("vit", "blocks.99999999.x", json!([0]), "without gaps"),
            ("vit", "blocks.2.x", json!([0]), "num_hidden_layers is 2"),
            ("vit_mae", "decoder_blocks.1000000.x", json!([0]), "without gaps"),
            ("vit", "a", json!([0, 1_u64 << 62, 1_u64 << 62]), "a has the shape"),
            ("beit", "a", json!([1_u64 << 63, 0]), "a has the shape"),
            ("beit", "a", json!(vec![0; 65]), "a has 65 dimensions"),
            ("vit", "a", json!([0, 1_u64 << 40]), "unexpected a"),
        ] {
            let place = folder(kind);
            change_header(place.path(), |header| add_empty(header, name, shape));
            let refused = try_everything(place.path()).unwrap_err();
            assert!(refused.contains(words), "{kind}, {name}: {refused}");
        }
        // Without numbers, a dimension can have any size, and yet no head or network is built from
        // it.
        for (kind, name) in [
            ("vit", "pooler.weight"),
            ("vit", "fc_norm.weight"),
            ("clip_vision_model", "pooler.weight"),
            ("beit", "head.weight"),
            ("vit_mae", "decoder_embed1.weight"),
        ] {
            for shape in [json!([]), json!([0]), json!([1_u64 << 40, 0]), json!([0, 1_u64 << 40])] {
                let place = folder(kind);
                change_header(place.path(), |header| {
                    let empty = !shape.as_array().unwrap().is_empty();
                    match empty {
                        true => add_empty(header, name, shape.clone()),
                        // One number, taken from norm.bias.
                        false => {
                            let [begin, end] = [0, 1].map(|side| {
                                header["norm.bias"]["data_offsets"][side].as_u64().unwrap()
                            });
                            header["norm.bias"]["data_offsets"] = json!([begin, end - 4]);
                            header["norm.bias"]["shape"] = json!([15]);
                            header[name] = json!({
                                "dtype": "F32", "shape": [], "data_offsets": [end - 4, end],
                            });
                        }
                    }
                });
                try_everything(place.path()).unwrap_err();
            }
        }
    });
}

/// A possible value in a `config.json`, mostly not a sensible one.
fn arbitrary_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => (0..40_u64).prop_map(Value::from),
        2 => (0..64_u32).prop_map(|shift| Value::from(1_u64 << shift)),
        2 => any::<u64>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => prop::collection::vec((0..64_u32).prop_map(|shift| 1_u64 << shift), 0..4)
            .prop_map(|list| json!(list)),
        1 => prop::sample::select(vec![
            json!(null), json!(true), json!(false), json!(""), json!("gelu"), json!({}), json!(-1),
        ]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(150)
    })]

    #[test]
    fn no_description_panics_or_takes_much(
        kind in prop::sample::select(&KINDS[..]),
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), arbitrary_value()), 1..4,
        ),
    ) {
        let place = folder(kind);
        let text = fs::read(place.path().join("config.json")).unwrap();
        let config: Value = serde_json::from_slice(&text).unwrap();
        let keys: Vec<&String> = config.as_object().unwrap().keys().collect();
        for (key, value) in changes {
            configure(place.path(), keys[key.index(keys.len())], value);
        }
        let _ = within_memory(|| try_everything(place.path()));
    }

    #[test]
    fn no_header_panics_or_takes_much(
        kind in prop::sample::select(&KINDS[..]),
        naming in prop::sample::select(&NAMINGS[..]),
        changes in prop::collection::vec(
            (
                any::<prop::sample::Index>(),
                any::<prop::sample::Index>(),
                prop::collection::vec(
                    prop_oneof![0..20_u64, (0..64_u32).prop_map(|shift| 1 << shift)], 0..5,
                ),
            ),
            1..4,
        ),
        drop in any::<bool>(),
    ) {
        let place = named(kind, naming);
        change_header(place.path(), |header| {
            let names: Vec<String> = header.as_object().unwrap().keys().cloned().collect();
            for (name, other, shape) in changes {
                let name = &names[name.index(names.len())];
                // The shape of another tensor, whose bytes may fit, or any shape.
                header[name]["shape"] = match drop {
                    true => header[&names[other.index(names.len())]]["shape"].clone(),
                    false => json!(shape),
                };
            }
        });
        let _ = within_memory(|| try_everything(place.path()));
    }

    /// Two tensors of equal size swap names: libtorch accepts their shapes, but no model does.
    #[test]
    fn no_exchange_of_tensors_panics(
        kind in prop::sample::select(&KINDS[..]),
        naming in prop::sample::select(&NAMINGS[..]),
        pairs in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..4,
        ),
    ) {
        let place = named(kind, naming);
        change_header(place.path(), |header| {
            let names: Vec<String> = header.as_object().unwrap().keys().cloned().collect();
            for (one, other) in pairs {
                let [one, other] = [one, other].map(|place| &names[place.index(names.len())]);
                let former = header[one].clone();
                header[one] = header[other].clone();
                header[other] = former;
            }
        });
        let _ = within_memory(|| try_everything(place.path()));
    }
}
