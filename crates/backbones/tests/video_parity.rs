//! Comparison with MAE-ST, reimplemented in PyTorch, and with Hugging Face's VideoMAE, on the
//! models in `fixtures` that `cargo xtask fixtures` writes.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bauta_backbones::checkpoint::{read_tensors, write_tensors};
use bauta_backbones::masking::MaskPlan;
use bauta_backbones::{
    Encode, ImportOptions, TargetFrames, TokenIndices, VideoFolder, VideoPositions,
};
use serde_json::{Value, json};
use tch::{Device, Tensor};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn assert_close(name: &str, found: &Tensor, wanted: &Tensor) {
    assert_eq!(found.size(), wanted.size(), "{name}");
    let largest = |x: &Tensor| x.abs().max().double_value(&[]);
    let off = largest(&(found - wanted)) / largest(wanted);
    assert!(off < 1e-5, "{name} is off by {off:.1e} of its largest value");
}

const MAE_ST: [(&str, &str); 2] =
    [("mae-st", "model.safetensors"), ("mae-st-slowfast", "model.pyth")];

fn options() -> ImportOptions {
    let (heads, decoder_heads) = (Some(4), Some(2));
    // The length of a clip follows from its tokens and its frame size.
    let image_size = Some([12, 16]);
    ImportOptions { heads, decoder_heads, image_size, frames: None, norm_pix_loss: true }
}

fn import(path: &Path) -> VideoFolder {
    VideoFolder::import(path, options()).unwrap().unwrap()
}

fn assert_predicts(folder: &VideoFolder, case: &str) {
    let input = read_tensors(&fixture(case).join("input.safetensors")).unwrap();
    let wanted = read_tensors(&fixture(case).join("output.safetensors")).unwrap();
    let noise: Vec<f32> = input["noise"].flatten(0, -1).try_into().unwrap();
    let plan = MaskPlan::from_noise(&noise, 2, 0.75).unwrap();
    let indices = TokenIndices::new(&plan, Device::Cpu);
    let (_, encoder, decoder) = folder.autoencoder(Device::Cpu).unwrap();
    let latent = encoder.encode(&input["clips"], Encode::visible(&indices)).unwrap();
    assert_close("latent", &latent, &wanted["latent"]);
    assert_eq!(indices.mask(), wanted["mask"]);
    let pred = decoder.predict_all(&latent, &indices).unwrap();
    assert_close("pred", &pred, &wanted["pred"]);
    let masked = decoder.predict_masked(&latent, &indices).unwrap();
    assert_close("masked", &masked, &indices.gather_masked(&wanted["pred"]));
}

#[test]
fn both_code_bases_files_predict_what_their_code_does() {
    for (case, file) in MAE_ST {
        let folder = import(&fixture(case).join(file));
        let slowfast = case == "mae-st-slowfast";
        let config = folder.config();
        assert_eq!(config.positions == VideoPositions::Joint, slowfast);
        assert_eq!(config.target_frames == TargetFrames::Stride, slowfast);
        assert_eq!((config.num_frames, config.num_predicted_frames), (8, 4));
        assert_predicts(&folder, case);
        // The same after export, under the other code base's names of queries, keys and values.
        let scratch = tempfile::tempdir().unwrap();
        let model = scratch.path().join("model");
        let said = folder.export(&model).unwrap();
        assert!(said.starts_with("video masked autoencoder of"), "{said}");
        assert!(VideoFolder::describes(&model));
        assert_predicts(&VideoFolder::read(&model).unwrap(), case);
        let names = read_tensors(&model.join("model.safetensors")).unwrap();
        assert!(names.contains_key("blocks.1.attn.q.weight"));
        assert!(folder.export(&model).unwrap_err().to_string().contains("holds a model already"));
    }
}

#[test]
fn a_file_without_decoder_is_read_as_an_encoder() {
    let (case, file) = MAE_ST[0];
    let whole = read_tensors(&fixture(case).join(file)).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("encoder.safetensors");
    let kept =
        whole.iter().filter(|(name, _)| !name.starts_with("decoder") && *name != "mask_token");
    // With a classifier as in PySlowFast's fine-tuning, which is not part of the encoder.
    let head = Tensor::zeros([5, 24], (tch::Kind::Float, Device::Cpu));
    let kept = kept.map(|(name, tensor)| (name.as_str(), tensor));
    write_tensors(&path, kept.chain([("head.projection.weight", &head)])).unwrap();
    let folder = import(&path);
    assert!(folder.tensors().contains_key("head.weight"));
    let refused = folder.autoencoder(Device::Cpu).unwrap_err().to_string();
    assert!(refused.contains("it has no decoder"), "{refused}");
    let (_, encoder) = folder.encoder(Device::Cpu).unwrap();
    let (_, same, _) = import(&fixture(case).join(file)).autoencoder(Device::Cpu).unwrap();
    let input = read_tensors(&fixture(case).join("input.safetensors")).unwrap();
    let encode = |encoder: &bauta_backbones::VideoTransformer| {
        encoder.encode(&input["clips"], Encode::whole()).unwrap()
    };
    assert_eq!(encode(&encoder), encode(&same));
}

/// One of the two folders names the biases of queries and values as published files do; a reader
/// that ignores them would get other numbers.
#[test]
fn videomae_encodes_as_hugging_faces_does() {
    for case in ["videomae", "videomae-norm"] {
        let folder = VideoFolder::read(&fixture(case)).unwrap();
        let (parameters, encoder) = folder.encoder(Device::Cpu).unwrap();
        let input = read_tensors(&fixture(case).join("input.safetensors")).unwrap();
        let wanted = read_tensors(&fixture(case).join("output.safetensors")).unwrap();
        let found = encoder.encode(&input["clips"], Encode::whole()).unwrap();
        assert_close(case, &found, &wanted["last_hidden_state"]);
        let bias = &parameters.get("blocks.0.attn.qkv.bias").unwrap().tensor;
        let largest = |third: i64| bias.narrow(0, 24 * third, 24).abs().max().double_value(&[]);
        assert!(largest(0) > 0.1 && largest(1) == 0.0 && largest(2) > 0.1);
    }
}

#[test]
fn what_does_not_fit_is_refused_before_a_network_is_built() {
    let scratch = tempfile::tempdir().unwrap();
    let model = scratch.path().join("model");
    import(&fixture("mae-st").join("model.safetensors")).export(&model).unwrap();
    let at = model.join("config.json");
    let text = std::fs::read_to_string(&at).unwrap();
    let mut keys: HashMap<&str, (&str, &str)> = HashMap::new();
    keys.insert("\"num_hidden_layers\": 2", ("\"num_hidden_layers\": 900000", "900000"));
    keys.insert("\"hidden_size\": 24", ("\"hidden_size\": 24000", "24000"));
    keys.insert("\"num_frames\": 8", ("\"num_frames\": 7", "7 frames is not a multiple"));
    keys.insert("\"tubelet_size\": 2", ("\"tubelet_size\": 0", "tubelet_size"));
    keys.insert("\"mask_ratio\": 0.9", ("\"mask_ratio\": 2", "mask_ratio"));
    keys.insert(
        "\"num_predicted_frames\": 4",
        ("\"num_predicted_frames\": 3", "multiple of the 4"),
    );
    keys.insert("\"positions\": \"separable\"", ("\"positions\": \"spiral\"", "positions"));
    for (before, (after, words)) in keys {
        assert!(text.contains(before), "{before} is not in {text}");
        std::fs::write(&at, text.replacen(before, after, 1)).unwrap();
        let refused = VideoFolder::read(&model).unwrap_err().to_string();
        assert!(refused.contains(words), "{after}: {refused}");
    }
    // Sizes of which each is possible, but libtorch cannot count the numbers of a tensor.
    let whole: Value = serde_json::from_str(&text).unwrap();
    let most = 1 << 20;
    for (changes, words) in [
        (
            json!({
                "num_frames": most, "tubelet_size": most, "image_size": most, "patch_size": most,
            }),
            "the patch embedding would have",
        ),
        (
            json!({
                "num_frames": most, "tubelet_size": 1, "image_size": most, "patch_size": 1,
                "positions": "joint", "num_predicted_frames": most,
            }),
            "a table of positions would have",
        ),
        (
            json!({
                "num_frames": most, "tubelet_size": 1, "decoder_positions": "sine-cosine",
                "num_predicted_frames": most,
            }),
            "position values; at most 67108864 are supported",
        ),
        (
            json!({"num_predicted_frames": 1_u64 << 62}),
            "num_predicted_frames is 4611686018427387904",
        ),
    ] {
        let mut said = whole.clone();
        for (key, value) in changes.as_object().unwrap() {
            said[key.as_str()] = value.clone();
        }
        std::fs::write(&at, said.to_string()).unwrap();
        let refused = VideoFolder::read(&model).unwrap_err().to_string();
        assert!(refused.contains(words), "{changes}: {refused}");
    }
    // Tensors without numbers can have any shape.
    let empty = |shape: Value| json!({"dtype": "F32", "shape": shape, "data_offsets": [0, 0]});
    let header = json!({
        "patch_embed.proj.weight": empty(json!([0, 3, 1_u64 << 40, 4, 4])),
        "pos_embed_spatial": empty(json!([1, 12, 0])),
        "pos_embed_temporal": empty(json!([1, 1_u64 << 40, 0])),
    });
    let (path, header) = (scratch.path().join("empty.safetensors"), header.to_string());
    let length = (header.len() as u64).to_le_bytes();
    std::fs::write(&path, [&length[..], header.as_bytes()].concat()).unwrap();
    let refused = VideoFolder::import(&path, options()).unwrap_err().to_string();
    assert!(refused.contains("the weights' width is 0"), "{refused}");
    let image = fixture("module.pth");
    let read = VideoFolder::import(&image, ImportOptions::default());
    assert!(!matches!(read, Ok(Some(_))));
}
