//! Parameter names of transformers of video: MAE-ST's two code bases' and Hugging Face's
//! VideoMAE's, brought to ours, which are mae_st's with queries, keys and values in one.

use std::collections::HashMap;
use std::path::Path;

use tch::Tensor;

use super::names::{self, Renamed};
use super::prefixes;
use crate::ModelError;
use crate::checkpoint::Mismatch;

/// What mae_st keeps apart: the thirds of `attn.qkv`, in order.
const THIRDS: [&str; 3] = ["attn.q.", "attn.k.", "attn.v."];

/// Brings names to ours.
///
/// # Errors
/// [`ModelError::Format`] and [`ModelError::Mismatch`] for several models in one file, or
/// queries, keys or values without the others.
pub(super) fn to_ours(
    path: &Path,
    tensors: HashMap<String, Tensor>,
) -> Result<HashMap<String, Tensor>, ModelError> {
    let refuse = |reason: String| ModelError::Format { path: path.into(), reason };
    let tensors = prefixes::strip(path, tensors).map_err(refuse)?;
    let renamed = match names::is_hugging_face(&tensors) {
        true => names::from_hugging_face(with_biases(tensors)),
        false => from_mae_st(tensors),
    };
    renamed.map_err(|mismatch| ModelError::Mismatch { path: path.into(), mismatch })
}

/// The encoder of a VideoMAE, with the bias of queries and values under one name whichever
/// version wrote it, and keys' of zero, which no version has. A reader that skips this loses
/// the biases without a word.
fn with_biases(tensors: HashMap<String, Tensor>) -> HashMap<String, Tensor> {
    let of_encoder = |name: &str| {
        ["embeddings.", "encoder.layer.", "layernorm.", "fc_norm."]
            .iter()
            .any(|start| name.starts_with(start))
    };
    let mut renamed = HashMap::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let name = name.strip_prefix("videomae.").map_or(name.clone(), str::to_owned);
        if !of_encoder(&name) {
            continue;
        }
        let name = name
            .replace("attention.q_bias", "attention.query.bias")
            .replace("attention.v_bias", "attention.value.bias");
        // A classifier's norm stands on the mean of the tokens, as our features' does.
        let name = name.replace("fc_norm.", "layernorm.");
        if let Some(front) = name.strip_suffix("attention.query.bias") {
            let key = format!("{front}attention.key.bias");
            renamed.entry(key).or_insert_with(|| tensor.zeros_like());
        }
        renamed.insert(name, tensor);
    }
    renamed
}

/// Brings mae_st's and PySlowFast's names to ours.
fn from_mae_st(tensors: HashMap<String, Tensor>) -> Result<HashMap<String, Tensor>, Mismatch> {
    // The decoder's norm is the last of PySlowFast's list of blocks.
    let mut ours = Renamed::default();
    for (theirs, tensor) in tensors {
        let name = of_slowfast(&theirs);
        match THIRDS.iter().position(|third| name.contains(third)) {
            Some(third) => {
                let fused = name.replace(THIRDS[third], "attn.qkv.");
                ours.insert(&theirs, fused, Some(third), tensor);
            }
            None => ours.insert(&theirs, name, None, tensor),
        }
    }
    ours.finish(|name, third| name.replace("attn.qkv.", THIRDS[third]))
}

/// One name of PySlowFast's under mae_st's; others stay.
fn of_slowfast(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("pred_head.transforms.0.") {
        return match rest.split_once('.') {
            Some((_, field @ ("weight" | "bias"))) => format!("decoder_norm.{field}"),
            _ => format!("decoder_blocks.{rest}"),
        };
    }
    for (theirs, ours) in [
        ("pred_head.projections.0.", "decoder_pred."),
        ("dec_pos_embed_", "decoder_pos_embed_"),
        ("head.projection.", "head."),
    ] {
        if let Some(rest) = name.strip_prefix(theirs) {
            return format!("{ours}{rest}");
        }
    }
    name.to_owned()
}

/// Our names as mae_st's code reads them: queries, keys and values apart.
pub(super) fn to_mae_st(tensors: &HashMap<String, Tensor>) -> HashMap<String, Tensor> {
    let mut theirs = HashMap::new();
    for (name, tensor) in tensors {
        match name.contains("attn.qkv.") {
            true => {
                for (third, part) in THIRDS.iter().zip(tensor.chunk(3, 0)) {
                    theirs.insert(name.replace("attn.qkv.", third), part.contiguous());
                }
            }
            false => drop(theirs.insert(name.clone(), tensor.shallow_clone())),
        }
    }
    theirs
}
