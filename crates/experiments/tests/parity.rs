//! The same numbers as transformers, timm and torch, on the models in `fixtures` that
//! `cargo xtask fixtures` generates.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bauta_backbones::checkpoint::read_tensors;
use bauta_backbones::masking::{Grid, MaskPlan};
use bauta_backbones::{
    Encode, ImportOptions, ModelConfig, ModelFolder, Naming, TokenIndices, VitMaeConfig,
    patch_tokens, sin_cos_2d,
};
use bauta_eval::folder::{Forward, pixel_target};
use bauta_train::{Optimizer, OptimizerConfig, Rule};
use tch::{Device, Kind, Tensor};

/// Largest difference allowed, as a share of the largest magnitude.
const TOLERANCE: f64 = 1e-5;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn assert_close(name: &str, found: &Tensor, wanted: &Tensor) {
    assert_eq!(found.size(), wanted.size(), "{name}");
    assert_eq!(found.kind(), wanted.kind(), "{name}");
    if wanted.kind() == Kind::Int64 || name == "mask" {
        assert_eq!(found, wanted, "{name}");
        return;
    }
    let largest = |x: &Tensor| x.abs().max().double_value(&[]);
    let off = largest(&(found - wanted)) / largest(wanted);
    assert!(off < TOLERANCE, "{name} is off by {off:.1e} of its largest value");
}

/// The name under which transformers 5 saves what 4 and we call `name`.
fn saved(name: &str) -> String {
    name.replace("decoder_layers", "decoder_encoder.layer")
}

/// Runs `forward` on a fixture's input with some model and compares every output.
fn assert_forward(model: &Path, case: &str) {
    let scratch = tempfile::tempdir().unwrap();
    let output = scratch.path().join("output.safetensors");
    Forward::new(model, &fixture(case).join("input.safetensors"), &output).run().unwrap();
    let found = read_tensors(&output).unwrap();
    let wanted = read_tensors(&fixture(case).join("output.safetensors")).unwrap();
    assert_eq!(found.len(), wanted.len());
    for (name, wanted) in &wanted {
        assert_close(name, &found[name], wanted);
    }
}

const FOLDERS: [&str; 10] = [
    "mae-normalized",
    "mae-raw-grey",
    "mae-four-channels",
    "vit-rectangular",
    "vit-classifier",
    "beit-masked",
    "beit-encoder",
    "beit-classifier",
    "beit-class-token",
    "beit-positions",
];

/// Models that cannot be written under Hugging Face's names.
const TOWERS: [&str; 2] = ["clip-vision", "clip-both"];

#[test]
fn outputs_equal_transformers() {
    for case in FOLDERS.into_iter().chain(TOWERS) {
        assert_forward(&fixture(case), case);
    }
}

#[test]
fn a_tower_is_kept_under_timms_names() {
    let scratch = tempfile::tempdir().unwrap();
    for case in TOWERS {
        let folder = ModelFolder::import(&fixture(case), ImportOptions::default()).unwrap();
        let model = scratch.path().join(case);
        let refused = folder.export(&model, Naming::HuggingFace).unwrap_err();
        assert!(refused.to_string().contains("write it under timm's"), "{refused}");
        folder.export(&model, Naming::Timm).unwrap();
        assert_forward(&model, case);
        // Once more without config.json: the shapes give all of it except for the heads.
        let bare = scratch.path().join(format!("{case}.safetensors"));
        std::fs::copy(model.join("model.safetensors"), &bare).unwrap();
        let options = ImportOptions { heads: Some(4), ..ImportOptions::default() };
        let described = ModelFolder::import(&bare, options).unwrap();
        let model = scratch.path().join(format!("{case}-described"));
        described.export(&model, Naming::Timm).unwrap();
        assert_forward(&model, case);
    }
}

#[test]
fn weights_of_a_beit_describe_themselves() {
    let scratch = tempfile::tempdir().unwrap();
    let weights = fixture("beit-masked").join("model.safetensors");
    let found = ModelFolder::import(&weights, ImportOptions::default()).unwrap();
    let model = scratch.path().join("described");
    found.export(&model, Naming::HuggingFace).unwrap();
    assert_forward(&model, "beit-masked");
    let encoder = found.into_encoder().unwrap();
    assert!(!encoder.tensors().contains_key("lm_head.weight"));
    let alone = scratch.path().join("alone");
    encoder.export(&alone, Naming::HuggingFace).unwrap();
    let (whole, alone) = (ModelFolder::read(&model).unwrap(), ModelFolder::read(&alone).unwrap());
    let tokens = |folder: &ModelFolder| {
        let (_parameters, encoder) = folder.image_encoder(Device::Cpu, None).unwrap();
        let images = Tensor::ones([1, 3, 20, 20], (Kind::Float, Device::Cpu));
        encoder.encode(&images, Encode::whole()).unwrap()
    };
    assert_eq!(tokens(&whole), tokens(&alone));
}

#[test]
fn every_folder_has_an_encoder_of_whole_images() {
    for case in FOLDERS.into_iter().chain(TOWERS) {
        let folder = ModelFolder::read(&fixture(case)).unwrap();
        let (_parameters, encoder) = folder.image_encoder(Device::Cpu, None).unwrap();
        let images = &read_tensors(&fixture(case).join("input.safetensors")).unwrap();
        let images = &images["pixel_values"];
        let [height, width] = encoder.image_size();
        let samples = images.size()[0];
        let shape = [samples, encoder.channels() as i64, height as i64, width as i64];
        assert_eq!(images.size(), shape, "{case}");
        let tokens = 1 + encoder.grid().tokens() as i64;
        let wanted = [samples, tokens, encoder.dim() as i64];
        for how in [Encode::whole(), Encode::whole().without_norm()] {
            assert_eq!(encoder.encode(images, how).unwrap().size(), wanted, "{case}");
        }
        let attention = encoder.last_attention(images).unwrap();
        assert_eq!(attention.size()[2..], [tokens, tokens], "{case}");
        // Twice as high, with interpolated positions, trained and not.
        let larger = Some([2 * height, width]);
        let images = Tensor::cat(&[images, images], 2);
        let trained = folder.image_encoder(Device::Cpu, larger).unwrap();
        let untrained = folder.untrained_image_encoder(3, Device::Cpu, larger).unwrap();
        for (_parameters, encoder) in [trained, untrained] {
            let found = encoder.encode(&images, Encode::whole()).unwrap().size()[1];
            assert_eq!(found, 2 * tokens - 1, "{case}");
        }
    }
}

#[test]
fn interpolated_positions_of_a_tower_equal_transformers() {
    let case = fixture("clip-vision");
    let wanted = read_tensors(&case.join("larger.safetensors")).unwrap();
    let folder = ModelFolder::read(&case).unwrap();
    let (_parameters, tower) = folder.clip(Device::Cpu, Some([20, 8])).unwrap();
    let found = tower.encode(&wanted["pixel_values"], Encode::whole().without_norm()).unwrap();
    assert_close("last_hidden_state", &found.detach(), &wanted["last_hidden_state"]);
}

#[test]
fn gradients_of_a_beit_equal_torch() {
    let case = fixture("beit-masked");
    let folder = ModelFolder::read(&case).unwrap();
    let (parameters, encoder, head) = folder.beit(Device::Cpu, None).unwrap();
    let inputs = read_tensors(&case.join("input.safetensors")).unwrap();
    let wanted = read_tensors(&case.join("loss.safetensors")).unwrap();
    let masks = Vec::<bool>::try_from(inputs["bool_masked_pos"].flatten(0, -1)).unwrap();
    let plan = MaskPlan::from_masks(&masks, 16).unwrap();
    let indices = TokenIndices::new(&plan, Device::Cpu);
    let how = Encode::mask_tokens(&indices);
    let tokens = encoder.encode(&inputs["pixel_values"], how).unwrap();
    let masked = indices.gather_masked(&patch_tokens(&tokens));
    let weights = indices.gather_masked(&wanted["weights"]);
    let loss = (head.unwrap().forward(&masked) * weights).sum(Kind::Float);
    assert_close("loss", &loss.detach(), &wanted["loss"]);
    loss.backward();

    let gradients = parameters.iter().map(|p| (p.name.clone(), p.tensor.grad())).collect();
    let scratch = tempfile::tempdir().unwrap();
    let gradients = ModelFolder::new(case.clone(), folder.config().clone(), gradients);
    gradients.write(scratch.path(), Naming::HuggingFace).unwrap();
    let found = read_tensors(&scratch.path().join("model.safetensors")).unwrap();
    let expected = read_tensors(&case.join("gradients.safetensors")).unwrap();
    assert_eq!(found.len(), expected.len());
    for (name, gradient) in found {
        assert_close(&format!("gradient of {name}"), &gradient, &expected[&name]);
    }
}

#[test]
fn outputs_equal_timm() {
    let case = "timm-four-channels";
    let options =
        ImportOptions { heads: Some(4), image_size: Some([24, 16]), ..ImportOptions::default() };
    let folder = ModelFolder::import(&fixture(case).join("weights.safetensors"), options).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    for naming in [Naming::Timm, Naming::HuggingFace] {
        let model = scratch.path().join(format!("{naming:?}"));
        folder.export(&model, naming).unwrap();
        assert_forward(&model, case);
    }
}

#[test]
fn export_after_import_changes_no_bit() {
    let scratch = tempfile::tempdir().unwrap();
    for case in FOLDERS {
        let (ours, theirs) = (scratch.path().join(case), scratch.path().join(format!("{case}-hf")));
        let folder = ModelFolder::import(&fixture(case), ImportOptions::default()).unwrap();
        folder.export(&ours, Naming::Timm).unwrap();
        let folder = ModelFolder::import(&ours, ImportOptions::default()).unwrap();
        folder.export(&theirs, Naming::HuggingFace).unwrap();
        let original = read_tensors(&fixture(case).join("model.safetensors")).unwrap();
        let written = read_tensors(&theirs.join("model.safetensors")).unwrap();
        assert_eq!(original.len(), written.len(), "{case}");
        for (name, tensor) in &original {
            let (_, found) = written.iter().find(|(ours, _)| saved(ours) == *name).unwrap();
            assert_eq!(found, tensor, "{case}: {name}");
        }
        assert_forward(&theirs, case);
    }
}

#[test]
fn fresh_positions_equal_the_reference() {
    let wanted = read_tensors(&fixture("positions.safetensors")).unwrap();
    for (height, width, dim) in [(5, 5, 16), (3, 3, 12), (2, 3, 16)] {
        let name = format!("{height}x{width}x{dim}");
        let table = sin_cos_2d(Grid::image(height, width).unwrap(), dim);
        assert_close(&name, &Tensor::from_slice(&table).view([-1, dim as i64]), &wanted[&name]);
    }
}

#[test]
fn a_training_step_equals_torch() {
    let case = fixture("mae-normalized");
    let folder = ModelFolder::read(&case).unwrap();
    let ModelConfig::VitMae(config) = folder.config() else { panic!("a masked autoencoder") };
    let (parameters, encoder, decoder) = folder.masked_autoencoder(Device::Cpu).unwrap();
    let inputs = read_tensors(&case.join("input.safetensors")).unwrap();
    let wanted = read_tensors(&case.join("losses.safetensors")).unwrap();
    let images = &inputs["pixel_values"];
    let noise = Vec::<f32>::try_from(inputs["noise"].flatten(0, -1)).unwrap();
    let plan = MaskPlan::from_noise(&noise, 2, config.mask_ratio).unwrap();
    let indices = TokenIndices::new(&plan, Device::Cpu);
    let target = pixel_target(config, encoder.grid());
    let loss = || {
        let latent = encoder.encode(images, Encode::visible(&indices)).unwrap();
        let prediction = decoder.predict_masked(&latent, &indices).unwrap();
        target.loss(&prediction, &target.masked(images, &indices).unwrap()).unwrap()
    };

    let rule = Rule::AdamW { betas: (0.9, 0.95), eps: 0.1 };
    let settings = OptimizerConfig { rule, ..OptimizerConfig::default() };
    let mut optimizer = Optimizer::new(&parameters, settings);
    let before = loss();
    assert_close("loss", &before.detach(), &wanted["before"]);
    let trained = optimizer.parameters();
    let gradients = Tensor::run_backward(&[&before], &trained, false, false);
    let named = |tensors: &[Tensor]| -> HashMap<String, Tensor> {
        let place =
            |tensor: &Tensor| trained.iter().position(|t| t.data_ptr() == tensor.data_ptr());
        let all = parameters.trainable().map(|p| (p.name.clone(), place(&p.tensor).unwrap()));
        all.map(|(name, place)| (name, tensors[place].detach().copy())).collect()
    };
    let in_their_words = |config: &VitMaeConfig, tensors: HashMap<String, Tensor>| {
        let scratch = tempfile::tempdir().unwrap();
        let config = ModelConfig::VitMae(config.clone());
        let folder = ModelFolder::new(scratch.path().into(), config, tensors);
        folder.write(scratch.path(), Naming::HuggingFace).unwrap();
        read_tensors(&scratch.path().join("model.safetensors")).unwrap()
    };
    let expected = read_tensors(&case.join("gradients.safetensors")).unwrap();
    for (name, gradient) in in_their_words(config, named(&gradients)) {
        // The gradient of a key's bias is zero except for rounding.
        if !name.ends_with("key.bias") {
            assert_close(&format!("gradient of {name}"), &gradient, &expected[&saved(&name)]);
        }
    }

    optimizer.step(&gradients, 1e-2, &Tensor::from(0.0_f32)).unwrap();
    let stepped = read_tensors(&case.join("stepped.safetensors")).unwrap();
    for (name, weight) in in_their_words(config, named(&trained)) {
        assert_close(&name, &weight, &stepped[&saved(&name)]);
    }
    assert_close("loss after", &loss().detach(), &wanted["after"]);
}
