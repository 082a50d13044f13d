//! Conversion between Hugging Face's names for BEiT and those of BEiT v2 and timm, which this crate
//! uses.
//!
//! Most are a ViT's names with `beit.` in place of `vit.`. With a head for masked patches,
//! `lm_head` keeps its name and the final norm is next to it, outside of `beit.`; with a
//! classifier, the norm is inside.

use std::collections::HashMap;

use tch::Tensor;

use super::names::{self, Renamed};
use crate::checkpoint::Mismatch;

/// Parts outside the blocks that a ViT lacks: ours, theirs. Of several, the first is written.
const PARTS: [(&str, &str); 4] = [
    (TABLE, "encoder.relative_position_bias.relative_position_bias_table"),
    (TABLE, "shared_position_bias.relative_position_bias_table"),
    ("mask_token", "embeddings.mask_token"),
    ("fc_norm", "pooler.layernorm"),
];

/// The table of biases that all blocks share.
pub(super) const TABLE: &str = "rel_pos_bias.relative_position_bias_table";

/// The first table where each block has its own.
pub(super) const FIRST_TABLE: &str = "blocks.0.attn.relative_position_bias_table";

/// Names of the stack of blocks; the first is written.
const STACKS: [&str; 2] = ["encoder.layer", "layers"];

/// Parts of a block that a ViT lacks: ours, theirs. Of several, the first is written.
const BLOCK_PARTS: [(&str, &str); 8] = [
    ("gamma_1", "lambda_1"),
    ("gamma_2", "lambda_2"),
    ("attn.q_bias", "attention.attention.query.bias"),
    ("attn.v_bias", "attention.attention.value.bias"),
    (
        "attn.relative_position_bias_table",
        "attention.attention.relative_position_bias.relative_position_bias_table",
    ),
    ("attn.q_bias", "attention.q_proj.bias"),
    ("attn.v_bias", "attention.v_proj.bias"),
    ("attn.relative_position_bias_table", "relative_position_bias.relative_position_bias_table"),
];

/// Whether these are a BEiT's tensors, judged by its names for biases and factors.
pub(super) fn is_beit(tensors: &HashMap<String, Tensor>) -> bool {
    tensors.keys().any(|name| {
        name.starts_with("beit.")
            || name.contains("relative_position_bias_table")
            || name.ends_with(".lambda_1")
    })
}

/// Converts BEiT's names, Hugging Face's or the original's, to ours. Unknown names are kept; the
/// index of relative positions, which follows from the grid, is left out.
///
/// # Errors
/// As [`names::from_hugging_face`].
pub(super) fn to_ours(
    tensors: HashMap<String, Tensor>,
) -> Result<HashMap<String, Tensor>, Mismatch> {
    let mut ours = Renamed::default();
    let theirs = names::is_hugging_face(&tensors);
    for (name, tensor) in tensors {
        if name.ends_with("relative_position_index") {
            continue;
        }
        let bare = name.strip_prefix("beit.").unwrap_or(&name);
        let (translated, third) = match translate(bare) {
            _ if !theirs => (name.clone(), None),
            Some(ours) => (ours, None),
            None => names::translate(bare).unwrap_or((bare.to_owned(), None)),
        };
        ours.insert(&name, translated, third, tensor);
    }
    ours.finish(|name, third| names::name_of_third(name, third).replacen("vit.", "beit.", 1))
}

/// Converts one of their names, without `beit.`, to ours, if it is not one of a ViT's.
fn translate(name: &str) -> Option<String> {
    if let Some((ours, rest)) =
        PARTS.iter().find_map(|(ours, theirs)| Some((ours, name.strip_prefix(theirs)?)))
    {
        return Some(format!("{ours}{rest}"));
    }
    let rest = STACKS.iter().find_map(|stack| name.strip_prefix(stack)?.strip_prefix('.'))?;
    let (index, part) = rest.split_once('.')?;
    let (ours, _) = BLOCK_PARTS.iter().find(|(_, theirs)| *theirs == part)?;
    Some(format!("blocks.{index}.{ours}"))
}

/// Converts our names to Hugging Face's. Unknown names are kept.
pub(super) fn to_hugging_face(tensors: &HashMap<String, Tensor>) -> HashMap<String, Tensor> {
    // `BeitModel` saves its parts without the prefix `beit.` of the models that contain it.
    let [masked, classified] =
        ["lm_head.weight", "head.weight"].map(|name| tensors.contains_key(name));
    let front = if masked || classified { "beit." } else { "" };
    let mut theirs = HashMap::new();
    let mut of_vit = HashMap::new();
    for (name, tensor) in tensors {
        let tensor = tensor.shallow_clone();
        match translate_back(name) {
            Some(name) => drop(theirs.insert(format!("{front}{name}"), tensor)),
            None => drop(of_vit.insert(name.clone(), tensor)),
        }
    }
    for (name, tensor) in names::to_hugging_face(&of_vit, false) {
        let name = match name.strip_prefix("vit.") {
            Some(norm) if masked && norm.starts_with("layernorm.") => norm.to_owned(),
            Some(rest) => format!("{front}{rest}"),
            None => name,
        };
        theirs.insert(name, tensor);
    }
    theirs
}

/// Converts one of our names to theirs, without `beit.`, if it is not one of a ViT's.
fn translate_back(name: &str) -> Option<String> {
    if let Some((rest, theirs)) =
        PARTS.iter().find_map(|(ours, theirs)| Some((name.strip_prefix(ours)?, theirs)))
    {
        return Some(format!("{theirs}{rest}"));
    }
    let (index, part) = name.strip_prefix("blocks.")?.split_once('.')?;
    let (_, theirs) = BLOCK_PARTS.iter().find(|(ours, _)| *ours == part)?;
    Some(format!("{}.{index}.{theirs}", STACKS[0]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::normal;

    #[test]
    fn names_of_every_version_are_read() {
        let ours = |name: &str| translate(name).unwrap();
        assert_eq!(ours("encoder.layer.3.lambda_2"), "blocks.3.gamma_2");
        assert_eq!(ours("layers.11.attention.q_proj.bias"), "blocks.11.attn.q_bias");
        assert_eq!(ours("shared_position_bias.relative_position_bias_table"), TABLE);
        assert_eq!(ours("pooler.layernorm.weight"), "fc_norm.weight");
        let table = "layers.0.relative_position_bias.relative_position_bias_table";
        assert_eq!(ours(table), FIRST_TABLE);
        assert_eq!(translate("encoder.layer.3.output.dense.bias"), None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let ours = |names: &[&str]| -> HashMap<String, Tensor> {
            names.iter().map(|name| ((*name).to_owned(), normal(name, &[6, 2]))).collect()
        };
        let encoder = ["cls_token", "mask_token", TABLE, "norm.bias", "patch_embed.proj.weight"];
        let block = ["blocks.0.attn.qkv.weight", "blocks.0.attn.v_bias", "blocks.0.gamma_1"];
        let alone = ours(&[&encoder[..], &block].concat());
        let theirs = to_hugging_face(&alone);
        assert!(theirs.contains_key("embeddings.cls_token"));
        assert!(theirs.contains_key("layernorm.bias"));
        let classified = ours(&["fc_norm.bias", "head.weight", FIRST_TABLE, "norm.bias"]);
        let theirs = to_hugging_face(&classified);
        for name in [
            "beit.pooler.layernorm.bias",
            "beit.layernorm.bias",
            "beit.encoder.layer.0.attention.attention.relative_position_bias.\
             relative_position_bias_table",
            "classifier.weight",
        ] {
            assert!(theirs.contains_key(name), "{name} is not in {:?}", theirs.keys());
        }
        let headed = ours(&[&encoder[..], &block, &["lm_head.weight"]].concat());
        let theirs = to_hugging_face(&headed);
        for name in [
            "beit.embeddings.mask_token",
            "beit.encoder.relative_position_bias.relative_position_bias_table",
            "beit.encoder.layer.0.attention.attention.value.bias",
            "beit.encoder.layer.0.attention.attention.key.weight",
            "beit.encoder.layer.0.lambda_1",
            "layernorm.bias",
            "lm_head.weight",
        ] {
            assert!(theirs.contains_key(name), "{name} is not in {:?}", theirs.keys());
        }
        for ours in [alone, headed] {
            let back = to_ours(to_hugging_face(&ours)).unwrap();
            assert_eq!(back.len(), ours.len());
            assert!(ours.iter().all(|(name, tensor)| back[name] == *tensor));
        }
    }
}
