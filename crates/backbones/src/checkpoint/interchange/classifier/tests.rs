//! Classifiers on pre-trained encoders, written to folders and read back.

use std::collections::HashMap;
use std::path::Path;

use tch::Tensor;

use super::*;
use crate::{
    BeitConfig, ClipModelConfig, ClipVisionConfig, Encode, Linear, MaeDecoder, MaeDecoderConfig,
    Naming, VisionTransformer, VitConfig, VitMaeConfig, tests::normal,
};

const TABLE: &str = "relative_position_bias_table";
const HEADS: [EncoderHead; 2] = [EncoderHead::Classifier(3), EncoderHead::MeanClassifier(3)];

fn pretrained() -> ModelFolder {
    let config = VitConfig::new(8, 4, 16, 2, 2);
    let mut parameters = Parameters::new(1, Device::Cpu);
    let encoder = VisionTransformer::new(parameters.root(), &config).unwrap();
    let decoder = MaeDecoderConfig::new(16, 8, 1, 2, config.patch_values());
    MaeDecoder::new(parameters.root(), &decoder, encoder.grid()).unwrap();
    let config = ModelConfig::VitMae(VitMaeConfig::new(&config, &decoder, 0.75, true));
    ModelFolder::new("pre-trained".into(), config, tensors(&parameters))
}

/// A BEiT after MaskDistill's pre-training, with a table that is not zero.
fn pretrained_beit() -> ModelFolder {
    let config = BeitConfig::new(VitConfig::new(8, 4, 16, 2, 2));
    let mut parameters = Parameters::new(1, Device::Cpu);
    BeitEncoder::new(parameters.root(), &config).unwrap();
    Linear::new(parameters.root().sub("lm_head"), 16, 5, true);
    let table = &parameters.get(&format!("rel_pos_bias.{TABLE}")).unwrap().tensor;
    tch::no_grad(|| table.shallow_clone().copy_(&normal("table", &table.size())));
    let config = ModelConfig::Beit(BeitModelConfig::new(&config, Some(5)));
    ModelFolder::new("pre-trained".into(), config, tensors(&parameters))
}

fn images() -> Tensor {
    normal("images", &[2, 3, 8, 8])
}

fn tensors(parameters: &Parameters) -> HashMap<String, Tensor> {
    parameters.iter().map(|p| (p.name.clone(), p.tensor.detach())).collect()
}

#[test]
fn the_encoder_is_the_folders_and_the_head_is_new() {
    let folder = pretrained();
    for head in HEADS {
        let (parameters, model) = folder.classifier(head, None, 5, Device::Cpu).unwrap();
        let (fresh, _) = folder.untrained(head, None, 5, Device::Cpu).unwrap();
        for parameter in &parameters {
            let theirs = folder.tensors().get(&parameter.name);
            let wanted = theirs.unwrap_or(&fresh.get(&parameter.name).unwrap().tensor);
            assert_eq!(parameter.tensor, *wanted, "{}", parameter.name);
        }
        assert_eq!(parameters.get("norm.bias").is_some(), head == EncoderHead::Classifier(3));
        assert_eq!(
            model.forward(&images(), Encode::whole()).unwrap().logits.unwrap().size(),
            [2, 3]
        );
    }
    let head = EncoderHead::MeanClassifier(3);
    let (larger, _) = folder.classifier(head, Some([16, 8]), 0, Device::Cpu).unwrap();
    assert_eq!(larger.get("pos_embed").unwrap().tensor.size(), [1, 1 + 8, 16]);
}

#[test]
fn a_folder_keeps_the_classifier() {
    let head = EncoderHead::MeanClassifier(3);
    let (parameters, model) = pretrained().classifier(head, None, 5, Device::Cpu).unwrap();
    let config = pretrained().classifier_config(head, None).unwrap();
    let folder = ModelFolder::new("fine-tuned".into(), config, tensors(&parameters));
    let place = tempfile::tempdir().unwrap();
    folder.write(place.path(), Naming::Timm).unwrap();
    let (_kept, read) = ModelFolder::read(place.path()).unwrap().vit(Device::Cpu).unwrap();
    let images = images();
    let logits =
        |model: &EncoderWithHead| model.forward(&images, Encode::whole()).unwrap().logits.unwrap();
    assert_eq!(logits(&read), logits(&model));
    // It can be fine-tuned again, for other classes.
    let again = ModelFolder::read(place.path()).unwrap();
    again.classifier(EncoderHead::MeanClassifier(7), None, 0, Device::Cpu).unwrap();
    // It can also be read without its head.
    let (_kept, encoder) = again.image_encoder(Device::Cpu, None).unwrap();
    let tokens = model.forward(&images, Encode::whole()).unwrap().last_hidden_state;
    assert_eq!(encoder.encode(&images, Encode::whole()).unwrap(), tokens);
    let refused = folder.write(Path::new("nowhere"), Naming::HuggingFace).unwrap_err();
    assert!(refused.to_string().contains("no layout"), "{refused}");
}

#[test]
fn each_block_of_a_beit_starts_with_the_shared_table() {
    let folder = pretrained_beit();
    let shared = &folder.tensors()[&format!("rel_pos_bias.{TABLE}")];
    for head in HEADS {
        let (parameters, model) = folder.classifier(head, None, 5, Device::Cpu).unwrap();
        let (fresh, _) = folder.untrained(head, None, 5, Device::Cpu).unwrap();
        for parameter in &parameters {
            let theirs = folder.tensors().get(&parameter.name);
            let wanted = if parameter.name.ends_with(TABLE) { Some(shared) } else { theirs };
            let wanted = wanted.unwrap_or(&fresh.get(&parameter.name).unwrap().tensor);
            assert_eq!(parameter.tensor, *wanted, "{}", parameter.name);
        }
        for gone in ["mask_token", "lm_head.weight"] {
            assert!(parameters.get(gone).is_none());
        }
        assert_eq!(parameters.get("norm.bias").is_some(), head == EncoderHead::Classifier(3));
        let largest = parameters.get("head.weight").unwrap().tensor.abs().max().double_value(&[]);
        assert!(0.0 < largest && largest <= 2e-5, "{largest}");
        assert_eq!(
            model.forward(&images(), Encode::whole()).unwrap().logits.unwrap().size(),
            [2, 3]
        );
        let (larger, _) = folder.classifier(head, Some([16, 8]), 0, Device::Cpu).unwrap();
        for block in 0..2 {
            let table = larger.get(&format!("blocks.{block}.attn.{TABLE}")).unwrap();
            assert_eq!(table.tensor.size(), [7 * 3 + 3, 2]);
        }
    }
}

#[test]
fn a_tunable_beit_gives_the_same_tokens() {
    let folder = pretrained_beit();
    let (once, twice) = (folder.tunable(), folder.tunable().tunable());
    assert_eq!(once.config(), twice.config());
    let images = images();
    let tokens = |folder: &ModelFolder| {
        let (_parameters, encoder) = folder.image_encoder(Device::Cpu, None).unwrap();
        (
            encoder.encode(&images, Encode::whole()).unwrap(),
            encoder.last_attention(&images).unwrap(),
        )
    };
    assert_eq!(tokens(&folder), tokens(&once));
    assert_eq!(tokens(&once), tokens(&twice));
    assert!(once.tensors().keys().all(|name| name != "mask_token" && !name.starts_with("lm_")));
}

#[test]
fn a_folder_keeps_a_beits_classifier_under_either_naming() {
    let images = images();
    for head in HEADS {
        let (parameters, model) = pretrained_beit().classifier(head, None, 5, Device::Cpu).unwrap();
        let config = pretrained_beit().classifier_config(head, None).unwrap();
        let folder = ModelFolder::new("fine-tuned".into(), config, tensors(&parameters));
        let wanted = model.forward(&images, Encode::whole()).unwrap();
        for naming in [Naming::Timm, Naming::HuggingFace] {
            let place = tempfile::tempdir().unwrap();
            folder.write(place.path(), naming).unwrap();
            let again = ModelFolder::read(place.path()).unwrap();
            assert_eq!(again.config(), folder.config());
            let found =
                again.vit(Device::Cpu).unwrap().1.forward(&images, Encode::whole()).unwrap();
            assert_eq!(found.logits, wanted.logits);
            let (_kept, encoder) = again.image_encoder(Device::Cpu, None).unwrap();
            assert_eq!(encoder.encode(&images, Encode::whole()).unwrap(), wanted.last_hidden_state);
            again.classifier(head, Some([16, 8]), 0, Device::Cpu).unwrap();
            let class_token = again.classifier(EncoderHead::Classifier(7), None, 0, Device::Cpu);
            match head {
                EncoderHead::Classifier(_) => drop(class_token.unwrap()),
                _ => assert!(class_token.unwrap_err().to_string().contains("no final norm")),
            }
        }
    }
}

#[test]
fn weights_of_a_fine_tuned_beit_describe_themselves() {
    for head in HEADS {
        let (parameters, _) = pretrained_beit().classifier(head, None, 5, Device::Cpu).unwrap();
        let described =
            crate::describe(&tensors(&parameters), crate::ImportOptions::default()).unwrap();
        assert_eq!(described, pretrained_beit().classifier_config(head, None).unwrap());
    }
}

#[test]
fn a_tower_is_not_fine_tuned() {
    let tower = ClipVisionConfig::new(VitConfig::new(8, 4, 16, 1, 2));
    let config = ModelConfig::Clip(ClipModelConfig::new(&tower));
    let folder = ModelFolder::new("tower".into(), config, HashMap::new());
    for head in HEADS {
        let refused = folder.classifier(head, None, 0, Device::Cpu).unwrap_err().to_string();
        assert!(refused.contains("a CLIP tower cannot be fine-tuned"), "{refused}");
        assert!(folder.classifier_config(head, None).is_err());
    }
}
