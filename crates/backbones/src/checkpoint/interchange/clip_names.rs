//! Conversion of OpenAI's and Hugging Face's names for CLIP's visual tower to timm's, which this
//! crate uses.
//!
//! The text tower is left out. OpenAI's projection is transposed.

use std::collections::HashMap;

use tch::Tensor;

use super::names::Renamed;
use crate::checkpoint::Mismatch;

/// Parts outside the blocks: ours, OpenAI's, Hugging Face's.
const PARTS: [[&str; 3]; 6] = [
    ["cls_token", "class_embedding", "embeddings.class_embedding"],
    ["pos_embed", "positional_embedding", "embeddings.position_embedding.weight"],
    ["patch_embed.proj", "conv1", "embeddings.patch_embedding"],
    ["norm_pre", "ln_pre", "pre_layrnorm"],
    ["norm", "ln_post", "post_layernorm"],
    ["head", "proj", "visual_projection"],
];

/// Prefixes of the blocks.
const STACKS: [&str; 2] = ["transformer.resblocks.", "encoder.layers."];

/// Parts of a block: ours, OpenAI's, Hugging Face's.
const BLOCK_PARTS: [[&str; 3]; 5] = [
    ["norm1", "ln_1", "layer_norm1"],
    ["norm2", "ln_2", "layer_norm2"],
    ["attn.proj", "attn.out_proj", "self_attn.out_proj"],
    ["mlp.fc1", "mlp.c_fc", "mlp.fc1"],
    ["mlp.fc2", "mlp.c_proj", "mlp.fc2"],
];

/// The thirds of `attn.qkv`, in order.
const THIRDS: [&str; 3] = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"];

/// Whether these are OpenAI's or Hugging Face's names for a tower.
pub(super) fn is_foreign(tensors: &HashMap<String, Tensor>) -> bool {
    let mut names = tensors.keys();
    names.any(|name| name.split('.').next_back() == Some("class_embedding"))
}

/// Converts their names to ours and leaves the text tower out. Unknown names are kept.
///
/// # Errors
/// The names of queries, keys or values that lack their two companions.
pub(super) fn to_ours(
    tensors: HashMap<String, Tensor>,
) -> Result<HashMap<String, Tensor>, Mismatch> {
    // In a model of images and texts, the visual tower has one of these prefixes.
    let front = ["visual.", "vision_model."]
        .into_iter()
        .find(|front| tensors.keys().any(|name| name.starts_with(front)))
        .unwrap_or("");
    let mut ours = Renamed::default();
    for (name, tensor) in tensors {
        let bare = match name.strip_prefix(front) {
            Some(bare) => bare,
            None if name.starts_with("visual_projection.") => &name,
            None => continue,
        };
        // A buffer of position indices, not a weight.
        if bare == "embeddings.position_ids" {
            continue;
        }
        match translate(bare) {
            Some((translated, third)) => {
                let tensor = reshaped(&translated, bare, &tensor);
                ours.insert(&name, translated, third, tensor);
            }
            None => ours.insert(&name, name.clone(), None, tensor),
        }
    }
    ours.finish(|name, third| {
        format!("{front}{}", name.replace("blocks.", STACKS[1]).replace("attn.qkv", THIRDS[third]))
    })
}

/// Converts a tensor to our layout: tables get a batch dimension, and matrices have outputs before
/// inputs.
fn reshaped(name: &str, theirs: &str, tensor: &Tensor) -> Tensor {
    match name {
        "cls_token" => tensor.unsqueeze(0).unsqueeze(0),
        "pos_embed" => tensor.unsqueeze(0),
        "head.weight" if theirs == "proj" && tensor.dim() == 2 => {
            tensor.transpose(0, 1).contiguous()
        }
        _ => tensor.shallow_clone(),
    }
}

/// Converts one of their names, without the tower's prefix: our name, and which third of our tensor
/// it is.
fn translate(name: &str) -> Option<(String, Option<usize>)> {
    for [ours, openai, hugging_face] in PARTS {
        if name == openai || name == hugging_face {
            let field = if ours == "head" { ".weight" } else { "" };
            return Some((format!("{ours}{field}"), None));
        }
    }
    let (module, field) = name.rsplit_once('.')?;
    for [ours, openai, hugging_face] in PARTS {
        if module == openai || module == hugging_face {
            return Some((format!("{ours}.{field}"), None));
        }
    }
    let rest = STACKS.iter().find_map(|stack| module.strip_prefix(stack))?;
    let (index, part) = rest.split_once('.')?;
    if let Some(third) = THIRDS.iter().position(|third| *third == part) {
        return Some((format!("blocks.{index}.attn.qkv.{field}"), Some(third)));
    }
    // OpenAI's queries, keys and values are fused already: `attn.in_proj_weight`.
    if let ("attn", Some(field)) = (part, field.strip_prefix("in_proj_")) {
        return Some((format!("blocks.{index}.attn.qkv.{field}"), None));
    }
    let [ours, ..] =
        BLOCK_PARTS.iter().find(|[_, openai, other]| part == *openai || part == *other)?;
    Some((format!("blocks.{index}.{ours}.{field}"), None))
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::tests::normal;

    const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn named<const N: usize>(tensors: [(&str, Tensor); N]) -> HashMap<String, Tensor> {
        tensors.map(|(name, tensor)| (name.to_owned(), tensor)).into()
    }

    #[test]
    fn openais_names_are_read() {
        let projection = normal("projection", &[4, 3]);
        let ours = to_ours(named([
            ("visual.class_embedding", normal("class", &[4])),
            ("visual.positional_embedding", normal("positions", &[5, 4])),
            ("visual.proj", projection.shallow_clone()),
            ("visual.conv1.weight", normal("conv1", &[4, 3, 2, 2])),
            ("visual.ln_pre.weight", normal("ln_pre", &[4])),
            ("visual.transformer.resblocks.0.attn.in_proj_weight", normal("in_proj", &[12, 4])),
            ("visual.transformer.resblocks.0.attn.in_proj_bias", normal("in_proj bias", &[12])),
            ("visual.transformer.resblocks.0.attn.out_proj.bias", normal("out_proj", &[4])),
            ("visual.transformer.resblocks.0.mlp.c_fc.bias", normal("c_fc", &[16])),
            ("positional_embedding", normal("text positions", &[77, 4])),
            ("transformer.resblocks.0.ln_1.weight", normal("text norm", &[4])),
            ("logit_scale", Tensor::from(1.0)),
        ]))
        .unwrap();
        let mut names: Vec<&str> = ours.keys().map(String::as_str).collect();
        names.sort_unstable();
        let wanted = [
            "blocks.0.attn.proj.bias",
            "blocks.0.attn.qkv.bias",
            "blocks.0.attn.qkv.weight",
            "blocks.0.mlp.fc1.bias",
            "cls_token",
            "head.weight",
            "norm_pre.weight",
            "patch_embed.proj.weight",
            "pos_embed",
        ];
        assert_eq!(names, wanted);
        assert_eq!(ours["cls_token"].size(), [1, 1, 4]);
        assert_eq!(ours["pos_embed"].size(), [1, 5, 4]);
        assert_eq!(ours["head.weight"], projection.transpose(0, 1));
    }

    #[test]
    fn texts_are_left_out_and_lone_thirds_named() {
        let theirs = || {
            named([
                ("vision_model.embeddings.class_embedding", normal("class", &[4])),
                ("vision_model.embeddings.position_ids", Tensor::zeros([1, 5], FLOAT)),
                ("vision_model.post_layernorm.bias", normal("norm", &[4])),
                ("visual_projection.weight", normal("projection", &[3, 4])),
                ("text_model.embeddings.token_embedding.weight", normal("words", &[9, 4])),
                ("text_projection.weight", normal("text projection", &[3, 4])),
                ("logit_scale", Tensor::from(1.0)),
            ])
        };
        let mut names: Vec<String> = to_ours(theirs()).unwrap().into_keys().collect();
        names.sort_unstable();
        assert_eq!(names, ["cls_token", "head.weight", "norm.bias"]);
        let mut lone = theirs();
        let name = |word| format!("vision_model.encoder.layers.0.self_attn.{word}_proj.bias");
        lone.insert(name("q"), Tensor::zeros([4], FLOAT));
        let mismatch = to_ours(lone).unwrap_err();
        assert_eq!(mismatch.missing, [name("k"), name("v")]);
    }
}
