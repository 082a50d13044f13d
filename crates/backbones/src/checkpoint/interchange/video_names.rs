//! Parameter names of video transformers: conversion of those of MAE-ST's two code bases and of
//! Hugging Face's VideoMAE to ours, which are mae_st's with queries, keys and values in one tensor.

use std::collections::HashMap;
use std::path::Path;

use tch::Tensor;

use super::names::{self, Renamed};
use super::prefixes;
use crate::ModelError;
use crate::checkpoint::Mismatch;

/// The thirds of `attn.qkv`, in order, which mae_st keeps in separate tensors.
const THIRDS: [&str; 3] = ["attn.q.", "attn.k.", "attn.v."];

/// Converts names to ours.
///
/// # Errors
/// [`ModelError::Format`] for several models in one file, [`ModelError::Mismatch`] for queries,
/// keys or values without the others.
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

/// The encoder of a VideoMAE.
///
/// The biases of queries and values get the same names for all versions, and keys get a bias of
/// zero, which no version stores. A reader that does not know the other names would silently lose
/// the biases.
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
        // A classifier's norm applies to the tokens' mean, as the norm of our features does.
        let name = name.replace("fc_norm.", "layernorm.");
        if let Some(front) = name.strip_suffix("attention.query.bias") {
            let key = format!("{front}attention.key.bias");
            renamed.entry(key).or_insert_with(|| tensor.zeros_like());
        }
        renamed.insert(name, tensor);
    }
    renamed
}

/// Converts mae_st's and PySlowFast's names to ours.
fn from_mae_st(tensors: HashMap<String, Tensor>) -> Result<HashMap<String, Tensor>, Mismatch> {
    // The decoder's norm is the last entry in PySlowFast's list of blocks.
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

/// Converts one of PySlowFast's names to mae_st's; other names are kept.
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

/// Converts our names to those of mae_st's code, with separate queries, keys and values.
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
