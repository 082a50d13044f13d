//! Folders and files of weights as they occur in practice: read as one model, or refused with the
//! actual cause.

use std::fs;

use serde_json::json;
use tch::{Device, Kind};

use super::super::{ImportOptions, ModelConfig, ModelFolder, Naming, VitModelConfig, describe};
use super::*;
use crate::checkpoint::write_tensors;
use crate::{
    ClipVisionConfig, ClipVisual, MaeDecoderConfig, Parameters, VisionTransformer, VitConfig,
    VitMaeConfig,
};

type Tensors = HashMap<String, Tensor>;

/// A small ViT's weights.
fn vit() -> (VitConfig, Tensors) {
    let config = VitConfig::new(8, 4, 192, 2, 3);
    let mut parameters = Parameters::new(1, Device::Cpu);
    VisionTransformer::new(parameters.root(), &config).unwrap();
    (config, parameters.iter().map(|p| (p.name.clone(), p.tensor.detach())).collect())
}

fn write(path: &Path, tensors: &Tensors) {
    write_tensors(path, tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))).unwrap();
}

/// Modifies a small ViT's weights and reads them without a description.
fn read_changed(change: impl FnOnce(&mut Tensors)) -> Result<Tensors, ModelError> {
    let (_, mut tensors) = vit();
    change(&mut tensors);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    write(&path, &tensors);
    read_checkpoint(&path)
}

fn renamed(tensors: &Tensors, front: &str) -> Tensors {
    tensors.iter().map(|(name, t)| (format!("{front}{name}"), t.shallow_clone())).collect()
}

#[test]
fn timms_bias_of_clips_projection_is_dropped_only_where_it_is_zero() {
    let options = (Kind::Float, Device::Cpu);
    let with_bias = |bias: Tensor| {
        read_changed(|tensors| {
            for part in ["weight", "bias"] {
                tensors.insert(format!("norm_pre.{part}"), Tensor::ones([192], options));
            }
            tensors.insert("head.weight".into(), Tensor::ones([16, 192], options));
            tensors.insert("head.bias".into(), bias);
        })
    };
    let read = with_bias(Tensor::zeros([16], options)).unwrap();
    assert!(read.contains_key("head.weight") && !read.contains_key("head.bias"));
    let refused = with_bias(Tensor::ones([16], options)).unwrap_err().to_string();
    assert!(refused.contains("head.bias is not zero"), "{refused}");
}

/// The heads of timm's `vit_huge_patch14_clip_224`, `vit_giant_…` and `vit_gigantic_…`.
#[test]
fn a_towers_heads_are_those_of_published_towers_of_its_width() {
    for (dim, heads) in [(768, 12), (1024, 16), (1280, 16), (1408, 16), (1664, 16)] {
        let tower = ClipVisionConfig::new(VitConfig::new(28, 14, dim, 1, heads));
        let mut sketch = Parameters::sketch();
        ClipVisual::new(sketch.root(), &tower).unwrap();
        let tensors: Tensors =
            sketch.iter().map(|p| (p.name.clone(), p.tensor.shallow_clone())).collect();
        let found = describe(&tensors, ImportOptions::default()).unwrap();
        assert_eq!(found.sizes().num_attention_heads, heads, "{dim}");
        let options = ImportOptions { heads: Some(8), ..ImportOptions::default() };
        assert_eq!(describe(&tensors, options).unwrap().sizes().num_attention_heads, 8);
    }
}

/// Older versions of transformers refuse a file without this metadata.
#[test]
fn a_file_says_that_it_is_pytorchs() {
    let (config, tensors) = vit();
    let config = ModelConfig::Vit(VitModelConfig::new(&config, None));
    let folder = tempfile::tempdir().unwrap();
    let model = ModelFolder::new("vit".into(), config, tensors);
    model.write(folder.path(), Naming::HuggingFace).unwrap();
    let bytes = fs::read(folder.path().join("model.safetensors")).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
}

/// transformers cannot build a `ViTMAEForPreTraining` for other images.
#[test]
fn a_masked_autoencoder_of_images_that_are_not_square_has_no_layout_of_hugging_faces() {
    let vit = VitConfig { image_width: 12, ..VitConfig::new(8, 4, 16, 1, 2) };
    let decoder = MaeDecoderConfig::new(16, 8, 1, 2, vit.patch_values());
    let config = ModelConfig::VitMae(VitMaeConfig::new(&vit, &decoder, 0.75, true));
    let model = ModelFolder::new("mae".into(), config, HashMap::new());
    let folder = tempfile::tempdir().unwrap();
    let refused = model.write(folder.path(), Naming::HuggingFace).unwrap_err().to_string();
    assert!(refused.contains("square images only; write it under timm's names"), "{refused}");
    model.write(folder.path(), Naming::Timm).unwrap();
    model.into_encoder().unwrap().write(folder.path(), Naming::HuggingFace).unwrap();
}

#[test]
fn what_a_vit_has_for_masked_patches_alone_is_left_out() {
    let options = (Kind::Float, Device::Cpu);
    let (_, own) = vit();
    for (bare, front) in [(false, "vit."), (true, "")] {
        let read = read_changed(|tensors| {
            *tensors = names::to_hugging_face(tensors, bare);
            let token = format!("{front}embeddings.mask_token");
            tensors.insert(token, Tensor::ones([1, 1, 192], options));
            if !bare {
                tensors.insert("decoder.0.weight".into(), Tensor::ones([48, 192, 1, 1], options));
                tensors.insert("decoder.0.bias".into(), Tensor::ones([48], options));
            }
        });
        let read = read.unwrap();
        assert_eq!(read.len(), own.len());
        assert!(own.iter().all(|(name, tensor)| read[name] == *tensor));
    }
}

#[test]
fn a_model_that_was_part_of_another_is_itself_again() {
    let (config, own) = vit();
    for front in ["module.", "backbone.", "module.backbone.", "student.", "encoder.", "vit."] {
        let read = read_changed(|tensors| *tensors = renamed(tensors, front)).unwrap();
        assert_eq!(read.len(), own.len());
        assert!(own.iter().all(|(name, tensor)| read[name] == *tensor), "{front}");
        let described = describe(&read, ImportOptions::default()).unwrap();
        assert_eq!(described, ModelConfig::Vit(VitModelConfig::new(&config, None)));
    }
    let read = read_changed(|tensors| {
        *tensors = renamed(tensors, "model.backbone.");
        tensors.insert(
            "model.head.weight".into(),
            Tensor::zeros([2, 192], (Kind::Float, Device::Cpu)),
        );
    });
    assert_eq!(read.unwrap().len(), own.len());
    let both = read_changed(|tensors| {
        let student = renamed(tensors, "student.");
        *tensors = renamed(tensors, "teacher.");
        tensors.extend(student);
    });
    let both = both.unwrap_err().to_string();
    assert!(both.contains("several models") && both.contains("`student.`, `teacher.`"), "{both}");
}

#[test]
fn tokens_that_no_model_here_has_are_the_diagnosis() {
    let token = || Tensor::zeros([1, 1, 192], (Kind::Float, Device::Cpu));
    let without = read_changed(|tensors| {
        let positions = tensors["pos_embed"].narrow(1, 1, 4);
        tensors.insert("pos_embed".into(), positions.contiguous());
        tensors.remove("cls_token");
    });
    let without = without.unwrap_err().to_string();
    assert!(without.contains("w.safetensors: it has no class token"), "{without}");
    for (name, words) in [
        ("dist_token", "a distillation token (DeiT), `dist_token`"),
        ("module.dist_token", "a distillation token (DeiT), `dist_token`"),
        ("reg_token", "register tokens, `reg_token`"),
    ] {
        let refused = read_changed(|tensors| {
            if name.starts_with("module.") {
                *tensors = renamed(tensors, "module.");
            }
            tensors.insert(name.into(), token());
        });
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
}

/// A folder of a small ViT whose weights are split into two files.
fn split() -> (tempfile::TempDir, Tensors) {
    let (config, tensors) = vit();
    let folder = tempfile::tempdir().unwrap();
    let config = ModelConfig::Vit(VitModelConfig::new(&config, None));
    ModelFolder::new("vit".into(), config, HashMap::new())
        .write(folder.path(), Naming::Timm)
        .unwrap();
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let mut names: Vec<&String> = tensors.keys().collect();
    names.sort_unstable();
    let mut map = BTreeMap::new();
    for (place, part) in names.chunks(names.len().div_ceil(2)).enumerate() {
        let file = format!("model-{place}.safetensors");
        let some = part.iter().map(|name| (name.as_str(), &tensors[*name]));
        write_tensors(&folder.path().join(&file), some).unwrap();
        map.extend(part.iter().map(|name| ((*name).clone(), file.clone())));
    }
    write_index(folder.path(), &map);
    (folder, tensors)
}

fn write_index(folder: &Path, map: &BTreeMap<String, String>) {
    let index = json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string();
    fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
}

fn change_index(folder: &Path, change: impl FnOnce(&mut BTreeMap<String, String>)) -> String {
    let text = fs::read_to_string(folder.join("model.safetensors.index.json")).unwrap();
    let mut map = serde_json::from_str::<Index>(&text).unwrap().weight_map;
    change(&mut map);
    write_index(folder, &map);
    ModelFolder::read(folder).unwrap_err().to_string()
}

#[test]
fn split_weights_are_read_as_one() {
    let (folder, wanted) = split();
    let read = ModelFolder::read(folder.path()).unwrap();
    assert_eq!(read.tensors().len(), wanted.len());
    assert!(wanted.iter().all(|(name, tensor)| read.tensors()[name] == *tensor));
}

#[test]
fn an_index_that_does_not_hold_is_refused() {
    let refuse = |change: fn(&mut BTreeMap<String, String>), words: &str| {
        let (folder, _) = split();
        let refused = change_index(folder.path(), change);
        assert!(refused.contains(words), "{refused}");
    };
    refuse(
        |map| drop(map.insert("norm.bias".into(), "model-0.safetensors".into())),
        "norm.bias is not in model-0.safetensors",
    );
    refuse(|map| drop(map.remove("norm.bias")), "model-1.safetensors holds norm.bias");
    refuse(
        |map| drop(map.insert("a".into(), "../a.safetensors".into())),
        "is not the name of a file",
    );
    refuse(|map| drop(map.insert("a".into(), "/etc/passwd".into())), "is not the name of a file");
    refuse(
        |map| drop(map.insert("a".into(), "absent.safetensors".into())),
        "model.safetensors.index.json: it names absent.safetensors, which is not in ",
    );
    let (folder, _) = split();
    for (index, why) in
        [("{}", "missing field `weight_map`"), ("[]", "it is not an object; it must")]
    {
        fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
        let refused = ModelFolder::read(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("split into several files, but this does not list"), "{refused}");
        assert!(refused.contains(why), "{refused}");
    }
    fs::remove_file(folder.path().join("model.safetensors.index.json")).unwrap();
    let index = json!({"weight_map": {"norm.bias": "pytorch_model-1.bin"}}).to_string();
    fs::write(folder.path().join("pytorch_model.bin.index.json"), index).unwrap();
    let refused = ModelFolder::read(folder.path()).unwrap_err().to_string();
    assert!(refused.contains("it names pytorch_model-1.bin, which is not in "), "{refused}");
}

#[test]
fn weights_that_are_no_file_are_never_opened() {
    let (folder, _) = split();
    fs::remove_file(folder.path().join("model.safetensors.index.json")).unwrap();
    let pipe = folder.path().join("model.safetensors");
    let _listener = std::os::unix::net::UnixListener::bind(&pipe).unwrap();
    let refused = ModelFolder::read(folder.path()).unwrap_err().to_string();
    assert!(refused.contains("needs model.safetensors, but this one has none"), "{refused}");
    let refused = read_checkpoint(&pipe).unwrap_err().to_string();
    assert!(refused.contains("a pipe, socket or device, not a file"), "{refused}");
}
