//! timm's `config.json`, as in its folders on the Hugging Face Hub: the architecture's name, and
//! how images are preprocessed (`pretrained_cfg`).
//!
//! It states no sizes. They follow from the weights' shapes; what shapes do not show, such as the
//! number of heads, follows from the architecture and its `model_args`.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use tch::Tensor;

use super::{CropRounding, EncoderSizes, ImportOptions, ModelConfig, describe};
use crate::Activation;

/// Prefixes of the names of supported architectures; other differences between them show in the
/// names of their weights.
const READ: [&str; 4] = ["vit_", "deit_", "beit_", "beitv2_"];

/// Arguments that show in the weights' names and shapes, or that do not affect a forward pass.
const SHOWN: [&str; 22] = [
    "class_token",
    "depth",
    "dynamic_img_pad",
    "dynamic_img_size",
    "embed_dim",
    "fc_norm",
    "final_norm",
    "fix_init",
    "global_pool",
    "in_chans",
    "init_values",
    "mlp_ratio",
    "no_embed_class",
    "num_classes",
    "patch_size",
    "pre_norm",
    "qk_norm",
    "qkv_bias",
    "reg_tokens",
    "strict_img_size",
    "use_rel_pos_bias",
    "weight_init",
];

/// The architecture's name, if this is timm's `config.json`.
pub(super) fn architecture(config: &Value) -> Option<&str> {
    match config.get("model_type").and_then(Value::as_str) {
        // transformers' wrapper of a timm model.
        None | Some("timm_wrapper") => config.get("architecture")?.as_str(),
        Some(_) => None,
    }
}

/// Describes the weights of a timm architecture.
///
/// The error says why it is not supported.
pub(super) fn read(
    config: &Value,
    architecture: &str,
    tensors: &HashMap<String, Tensor>,
) -> Result<ModelConfig, String> {
    if architecture.contains("distilled") {
        return Err(format!(
            "architecture \"{architecture}\" has a distillation token, which is not supported; use \
             the one without it"
        ));
    }
    if !READ.iter().any(|start| architecture.starts_with(start)) {
        return Err(format!(
            "architecture \"{architecture}\" is not supported; the supported timm architectures \
             begin with {}",
            READ.join(", ")
        ));
    }
    let none = Map::new();
    let arguments = config.get("model_args").and_then(Value::as_object).unwrap_or(&none);
    let mut options = ImportOptions::default();
    let mut activation =
        if architecture.contains("quickgelu") { Activation::QuickGelu } else { Activation::Gelu };
    for (key, value) in arguments {
        let wrong = || format!("model_args.{key} is {value}, which is not supported");
        match key.as_str() {
            "num_heads" => {
                let heads = value.as_u64().and_then(|heads| usize::try_from(heads).ok());
                options.heads = Some(heads.ok_or_else(wrong)?);
            }
            "img_size" => options.image_size = Some(sides(value).ok_or_else(wrong)?),
            "act_layer" => activation = activation_named(value).ok_or_else(wrong)?,
            shown if SHOWN.contains(&shown) || is_drop_rate(shown) => {}
            _ if value.is_null() => {}
            _ => return Err(wrong()),
        }
    }
    let pool = config.get("global_pool").or_else(|| arguments.get("global_pool"));
    if let Some(pool) = pool.and_then(Value::as_str)
        && tensors.contains_key("head.weight")
    {
        // The supported classifiers: of the class token, and of the normalised mean.
        let (with, supported) = match tensors.contains_key("fc_norm.weight") {
            true => ("with", "avg"),
            false => ("without", "token"),
        };
        if pool != supported {
            return Err(format!(
                "global_pool is \"{pool}\" {with} a norm of the pooled tokens (fc_norm), so its \
                 classifier is not supported; to use the encoder alone, remove head.weight and \
                 head.bias from the weights"
            ));
        }
    }
    if options.image_size.is_none() {
        options.image_size = pretrained(config).get("input_size").and_then(input_size);
    }
    let described = describe(tensors, options).map_err(|error| error.to_string())?;
    Ok(with_activation(described, activation))
}

/// How images are preprocessed, in the keys of `preprocessor_config.json`; `None` if this is not
/// timm's `config.json` or does not say.
///
/// Settings that those keys cannot express stay under timm's own keys, which are refused when the
/// preprocessing is used.
pub(super) fn preprocessing(config: &Map<String, Value>) -> Option<Map<String, Value>> {
    let config = Value::Object(config.clone());
    architecture(&config)?;
    let said = pretrained(&config);
    let mut keys = Map::new();
    let mut say = |key: &str, value: Value| drop(keys.insert(key.to_owned(), value));
    say("image_mean", said.get("mean")?.clone());
    say("image_std", said.get("std")?.clone());
    let interpolation = said.get("interpolation").cloned().unwrap_or_default();
    say("resample", filter_number(interpolation));
    let Some(size) = said.get("input_size").and_then(input_size) else { return Some(keys) };
    let part = said.get("crop_pct").cloned().unwrap_or(json!(0.875));
    match part.as_f64().filter(|part| (0.01..=1.0).contains(part)) {
        None => say("crop_pct", part),
        Some(part) => {
            let before = size.map(|side| (side as f64 / part).floor() as usize);
            let mode = said.get("crop_mode").cloned().unwrap_or("center".into());
            match mode.as_str() {
                Some("center") if before[0] == before[1] => {
                    say("size", json!({"shortest_edge": before[0]}));
                }
                Some("squash") => say("size", json!({"height": before[0], "width": before[1]})),
                // timm fits another ratio, or draws a border around the image.
                _ => say("crop_mode", mode),
            }
        }
    }
    say("do_center_crop", true.into());
    say("crop_size", json!({"height": size[0], "width": size[1]}));
    say("crop_rounding", <&str>::from(CropRounding::HalfEven).into());
    Some(keys)
}

/// Pillow's number of a named filter; other values are kept.
fn filter_number(named: Value) -> Value {
    match named.as_str() {
        Some("nearest") => 0.into(),
        Some("lanczos") => 1.into(),
        Some("bilinear") => 2.into(),
        Some("bicubic") => 3.into(),
        Some("") => Value::Null,
        _ => named,
    }
}

/// `pretrained_cfg`, or, before timm 0.8, the file itself.
fn pretrained(config: &Value) -> &Value {
    config.get("pretrained_cfg").filter(|said| said.is_object()).unwrap_or(config)
}

/// Height and width of `input_size`, [channels, height, width].
fn input_size(value: &Value) -> Option<[usize; 2]> {
    let [_, height, width] = value.as_array()?.as_slice() else { return None };
    Some([side(height)?, side(width)?])
}

fn sides(value: &Value) -> Option<[usize; 2]> {
    match value.as_array().map(Vec::as_slice) {
        Some([height, width]) => Some([side(height)?, side(width)?]),
        Some(_) => None,
        None => side(value).map(|side| [side; 2]),
    }
}

fn side(value: &Value) -> Option<usize> {
    let side = value.as_u64().and_then(|side| usize::try_from(side).ok())?;
    (1..=EncoderSizes::LARGEST).contains(&side).then_some(side)
}

/// Whether it is a rate that only affects training, such as `drop_path_rate`.
fn is_drop_rate(key: &str) -> bool {
    key.contains("drop") && key.ends_with("_rate")
}

fn activation_named(value: &Value) -> Option<Activation> {
    Some(match value.as_str()? {
        "gelu" => Activation::Gelu,
        "gelu_tanh" => Activation::GeluTanh,
        "quick_gelu" => Activation::QuickGelu,
        "relu" => Activation::Relu,
        "silu" | "swish" => Activation::Silu,
        _ => return None,
    })
}

fn with_activation(mut config: ModelConfig, activation: Activation) -> ModelConfig {
    let sizes = match &mut config {
        ModelConfig::VitMae(config) => &mut config.sizes,
        ModelConfig::Vit(config) => &mut config.sizes,
        ModelConfig::Beit(config) => &mut config.sizes,
        ModelConfig::Clip(config) => &mut config.sizes,
    };
    sizes.hidden_act = activation;
    config
}

#[cfg(test)]
mod tests;
