//! timm's `config.json`, as its folders on a hub have it: the architecture's name, and how
//! pictures are made ready (`pretrained_cfg`).
//!
//! It states no sizes. Those follow from the weights' shapes; what shapes do not say, such as
//! the number of heads, from the architecture and its `model_args`.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use tch::Tensor;

use super::{EncoderSizes, ModelConfig, Unsaid, describe};
use crate::Activation;

/// What begins the names of architectures that may be read; what else differs in them shows in
/// the names of their weights.
const READ: [&str; 4] = ["vit_", "deit_", "beit_", "beitv2_"];

/// Arguments that show in the weights' names and shapes, or change no number of a forward pass.
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

/// The architecture's name, if this is a `config.json` of timm's.
pub(super) fn architecture(config: &Value) -> Option<&str> {
    match config.get("model_type").and_then(Value::as_str) {
        // How transformers wraps a model of timm's.
        None | Some("timm_wrapper") => config.get("architecture")?.as_str(),
        Some(_) => None,
    }
}

/// Describes the weights of an architecture of timm's.
///
/// The error says why it is not read here.
pub(super) fn read(
    config: &Value,
    architecture: &str,
    tensors: &HashMap<String, Tensor>,
) -> Result<ModelConfig, String> {
    if architecture.contains("distilled") {
        return Err(format!(
            "architecture \"{architecture}\" has a distillation token, which is not read here; \
             take the one without it"
        ));
    }
    if !READ.iter().any(|start| architecture.starts_with(start)) {
        return Err(format!(
            "architecture \"{architecture}\" is not read here; of timm's, those are whose names \
             begin with {}",
            READ.join(", ")
        ));
    }
    let none = Map::new();
    let arguments = config.get("model_args").and_then(Value::as_object).unwrap_or(&none);
    let mut unsaid = Unsaid::default();
    let mut activation =
        if architecture.contains("quickgelu") { Activation::QuickGelu } else { Activation::Gelu };
    for (key, value) in arguments {
        let wrong = || format!("model_args.{key} is {value}, which is not read here");
        match key.as_str() {
            "num_heads" => {
                let heads = value.as_u64().and_then(|heads| usize::try_from(heads).ok());
                unsaid.heads = Some(heads.ok_or_else(wrong)?);
            }
            "img_size" => unsaid.image_size = Some(sides(value).ok_or_else(wrong)?),
            "act_layer" => activation = activation_named(value).ok_or_else(wrong)?,
            shown if SHOWN.contains(&shown) || is_drop_rate(shown) => {}
            _ if value.is_null() => {}
            _ => return Err(wrong()),
        }
    }
    let pool = config.get("global_pool").and_then(Value::as_str);
    let has = |name| tensors.contains_key(name);
    if pool == Some("avg") && has("head.weight") && !has("fc_norm.weight") {
        return Err("global_pool is \"avg\" without a norm of the mean (fc_norm), so its \
                    classifier is not read here"
            .into());
    }
    if unsaid.image_size.is_none() {
        unsaid.image_size = pretrained(config).get("input_size").and_then(input_size);
    }
    let described = describe(tensors, unsaid).map_err(|error| error.to_string())?;
    Ok(with_activation(described, activation))
}

/// How pictures are made ready, in the keys of `preprocessor_config.json`; nothing if this is
/// no `config.json` of timm's or does not say it.
///
/// The error says what is not done here.
pub(super) fn preprocessing(
    config: &Map<String, Value>,
) -> Result<Option<Map<String, Value>>, String> {
    let config = Value::Object(config.clone());
    if architecture(&config).is_none() {
        return Ok(None);
    }
    let said = pretrained(&config);
    let (Some(mean), Some(deviation)) = (said.get("mean"), said.get("std")) else {
        return Ok(None);
    };
    let mut keys = Map::new();
    keys.insert("image_mean".into(), mean.clone());
    keys.insert("image_std".into(), deviation.clone());
    let Some(size) = said.get("input_size").and_then(input_size) else {
        return Ok(Some(keys));
    };
    let part = said.get("crop_pct").and_then(Value::as_f64).unwrap_or(0.875);
    if !(0.01..=1.0).contains(&part) {
        return Err(format!("crop_pct is {part}, but must be in [0.01, 1]"));
    }
    let before = size.map(|side| (side as f64 / part).floor() as usize);
    let resize = match said.get("crop_mode").and_then(Value::as_str).unwrap_or("center") {
        "center" if before[0] == before[1] => json!({"shortest_edge": before[0]}),
        "squash" => json!({"height": before[0], "width": before[1]}),
        // timm fits another ratio, or draws a border around the picture.
        mode => {
            return Err(format!(
                "crop_mode is \"{mode}\" for images of {} × {}, which is not done here; write a \
                 preprocessor_config.json that says how pictures are resized",
                size[0], size[1]
            ));
        }
    };
    keys.insert("size".into(), resize);
    keys.insert("do_center_crop".into(), true.into());
    keys.insert("crop_size".into(), json!({"height": size[0], "width": size[1]}));
    if let Some(named) = said.get("interpolation").and_then(Value::as_str) {
        // Pillow's numbers.
        let number = match named {
            "nearest" => 0,
            "lanczos" => 1,
            "bilinear" => 2,
            "bicubic" => 3,
            other => return Err(format!("interpolation \"{other}\" is not known here")),
        };
        keys.insert("resample".into(), number.into());
    }
    Ok(Some(keys))
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

/// Whether it is a rate of what training leaves out, such as `drop_path_rate`.
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
