//! Conversion between Hugging Face's parameter names and timm's, which this crate uses.
//!
//! They differ in two ways: in the words, and in that Hugging Face keeps queries, keys and values
//! in three tensors where timm has one, `qkv`, with the three stacked in that order. Names of
//! transformers 4 and 5 are read; those of 4, which every version reads, are written.

use std::collections::HashMap;

use tch::Tensor;

use crate::checkpoint::{Mismatch, is_float};

/// Parts outside the blocks: ours, theirs.
const PARTS: [(&str, &str); 11] = [
    ("cls_token", "vit.embeddings.cls_token"),
    ("pos_embed", "vit.embeddings.position_embeddings"),
    ("patch_embed.proj", "vit.embeddings.patch_embeddings.projection"),
    ("norm", "vit.layernorm"),
    ("pooler", "vit.pooler.dense"),
    ("head", "classifier"),
    ("mask_token", "decoder.mask_token"),
    ("decoder_embed", "decoder.decoder_embed"),
    ("decoder_pos_embed", "decoder.decoder_pos_embed"),
    ("decoder_norm", "decoder.decoder_norm"),
    ("decoder_pred", "decoder.decoder_pred"),
];

/// Names of the stacks of blocks: ours, theirs. The first of each kind is written.
const STACKS: [(&str, &str); 4] = [
    ("blocks", "vit.encoder.layer"),
    ("decoder_blocks", "decoder.decoder_layers"),
    ("blocks", "vit.layers"),
    // The name that transformers 5 writes for a decoder, though its modules have another.
    ("decoder_blocks", "decoder.decoder_encoder.layer"),
];

/// Parts of a block: ours, theirs. The first of each kind is written.
const BLOCK_PARTS: [(&str, &str); 8] = [
    ("norm1", "layernorm_before"),
    ("norm2", "layernorm_after"),
    ("attn.proj", "attention.output.dense"),
    ("mlp.fc1", "intermediate.dense"),
    ("mlp.fc2", "output.dense"),
    ("attn.proj", "attention.o_proj"),
    ("mlp.fc1", "mlp.fc1"),
    ("mlp.fc2", "mlp.fc2"),
];

/// The thirds of `attn.qkv`, in order, by the names of transformers 4 and 5.
const THIRDS: [[&str; 2]; 3] = [
    ["attention.attention.query", "attention.q_proj"],
    ["attention.attention.key", "attention.k_proj"],
    ["attention.attention.value", "attention.v_proj"],
];

/// Whether these are Hugging Face's names.
pub(super) fn is_hugging_face(tensors: &HashMap<String, Tensor>) -> bool {
    tensors.keys().any(|name| name.contains("embeddings.patch_embeddings."))
}

/// Converts Hugging Face's names to ours. Unknown names are kept.
///
/// # Errors
/// The names of queries, keys or values that lack their two companions.
pub(super) fn from_hugging_face(
    tensors: HashMap<String, Tensor>,
) -> Result<HashMap<String, Tensor>, Mismatch> {
    let mut ours = Renamed::default();
    for (name, tensor) in tensors {
        let (translated, third) = translate(&name).unwrap_or((name.clone(), None));
        ours.insert(&name, translated, third, tensor);
    }
    ours.finish(name_of_third)
}

/// Their name for a third of our `attn.qkv`.
pub(super) fn name_of_third(name: &str, third: usize) -> String {
    hugging_face_name(&name.replace("attn.qkv", THIRDS[third][0]))
}

/// Tensors under our names, collected while theirs are translated one by one.
#[derive(Default)]
pub(super) struct Renamed {
    whole: HashMap<String, Tensor>,
    stacked: HashMap<String, [Option<Tensor>; 3]>,
    /// Their names for tensors that also occur under another of their names.
    twice: Vec<String>,
}

impl Renamed {
    /// Adds a tensor, or a third of queries, keys and values, under our name.
    pub(super) fn insert(
        &mut self,
        theirs: &str,
        ours: String,
        third: Option<usize>,
        tensor: Tensor,
    ) {
        let former = match third {
            None => self.whole.insert(ours, tensor),
            Some(third) => self.stacked.entry(ours).or_default()[third].replace(tensor),
        };
        if former.is_some() {
            self.twice.push(theirs.to_owned());
        }
    }

    /// Returns all tensors; `theirs` gives their name for a third.
    ///
    /// # Errors
    /// As [`stack`], and the names of tensors that occur under two names.
    pub(super) fn finish(
        self,
        theirs: impl Fn(&str, usize) -> String,
    ) -> Result<HashMap<String, Tensor>, Mismatch> {
        let Self { mut whole, stacked, mut twice } = self;
        for (name, tensor) in stack(stacked, theirs)? {
            if whole.insert(name.clone(), tensor).is_some() {
                twice.push(name);
            }
        }
        twice.sort();
        let mismatch = Mismatch { unexpected: twice, ..Mismatch::default() };
        if mismatch.is_empty() { Ok(whole) } else { Err(mismatch) }
    }
}

/// Stacks queries, keys and values under one name each; `theirs` gives their name for a third.
///
/// # Errors
/// The names of queries, keys or values that lack their two companions or are not rows of
/// floating-point numbers.
fn stack(
    stacked: HashMap<String, [Option<Tensor>; 3]>,
    theirs: impl Fn(&str, usize) -> String,
) -> Result<HashMap<String, Tensor>, Mismatch> {
    let mut found = HashMap::new();
    let mut mismatch = Mismatch::default();
    for (name, thirds) in stacked {
        let present: Vec<&Tensor> = thirds.iter().flatten().collect();
        if let [query, key, value] = present[..]
            && query.size() == key.size()
            && key.size() == value.size()
        {
            let fits = |tensor: &&Tensor| tensor.dim() > 0 && is_float(tensor.kind());
            match present.iter().all(fits) {
                true => drop(found.insert(name, Tensor::cat(&present, 0))),
                false => mismatch.unexpected.extend((0..3).map(|third| theirs(&name, third))),
            }
            continue;
        }
        for (third, tensor) in thirds.iter().enumerate() {
            let full = theirs(&name, third);
            match tensor {
                None => mismatch.missing.push(full),
                Some(tensor) => {
                    let wanted = present[0].size();
                    if tensor.size() != wanted {
                        mismatch.misshaped.push((full, tensor.size(), wanted));
                    }
                }
            }
        }
    }
    mismatch.missing.sort();
    mismatch.unexpected.sort();
    if mismatch.is_empty() { Ok(found) } else { Err(mismatch) }
}

/// Converts one of their names: our name, and which third of our tensor it is.
pub(super) fn translate(name: &str) -> Option<(String, Option<usize>)> {
    // `ViTModel` saves its parts without the prefix `vit.` of the models that contain it.
    let bare = ["embeddings.", "encoder.layer.", "layers.", "layernorm.", "pooler."];
    let prefixed;
    let name = if bare.iter().any(|start| name.starts_with(start)) {
        prefixed = format!("vit.{name}");
        &prefixed
    } else {
        name
    };
    let (module, field) = match name.rsplit_once('.') {
        Some((module, "weight")) => (module, ".weight"),
        Some((module, "bias")) => (module, ".bias"),
        _ => (name, ""),
    };
    if let Some((ours, _)) = PARTS.iter().find(|(_, theirs)| *theirs == module) {
        return Some((format!("{ours}{field}"), None));
    }
    let (stack, rest) = STACKS
        .iter()
        .find_map(|(ours, theirs)| Some((ours, module.strip_prefix(theirs)?.strip_prefix('.')?)))?;
    let (index, part) = rest.split_once('.')?;
    let third = THIRDS.iter().position(|names| names.contains(&part));
    let part = match third {
        Some(_) => "attn.qkv",
        None => BLOCK_PARTS.iter().find(|(_, theirs)| *theirs == part)?.0,
    };
    Some((format!("{stack}.{index}.{part}{field}"), third))
}

/// Converts our names to Hugging Face's; `bare` leaves out the prefix `vit.`, as `ViTModel` does.
/// Unknown names are kept.
pub(super) fn to_hugging_face(
    tensors: &HashMap<String, Tensor>,
    bare: bool,
) -> HashMap<String, Tensor> {
    let finish = |name: String| match name.strip_prefix("vit.") {
        Some(rest) if bare => rest.to_owned(),
        _ => name,
    };
    let mut theirs = HashMap::new();
    for (name, tensor) in tensors {
        if let Some((front, field)) = name.split_once("attn.qkv")
            && tensor.size().first().is_some_and(|rows| *rows > 0 && rows % 3 == 0)
        {
            let thirds = tensor.chunk(3, 0);
            for ([word, _], third) in THIRDS.iter().zip(thirds) {
                let name = hugging_face_name(&format!("{front}{word}{field}"));
                theirs.insert(finish(name), third);
            }
        } else {
            theirs.insert(finish(hugging_face_name(name)), tensor.shallow_clone());
        }
    }
    theirs
}

fn hugging_face_name(name: &str) -> String {
    let (module, field) = match name.rsplit_once('.') {
        Some((module, "weight")) => (module, ".weight"),
        Some((module, "bias")) => (module, ".bias"),
        _ => (name, ""),
    };
    if let Some((_, theirs)) = PARTS.iter().find(|(ours, _)| *ours == module) {
        return format!("{theirs}{field}");
    }
    let Some((stack, rest)) = STACKS
        .iter()
        .find_map(|(ours, theirs)| Some((theirs, module.strip_prefix(ours)?.strip_prefix('.')?)))
    else {
        return name.to_owned();
    };
    let (index, part) = rest.split_once('.').unwrap_or((rest, ""));
    let part = BLOCK_PARTS.iter().find(|(ours, _)| *ours == part).map_or(part, |(_, t)| t);
    format!("{stack}.{index}.{part}{field}")
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn filled(shape: &[i64], value: f64) -> Tensor {
        Tensor::full(shape, value, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn names_of_every_version_are_read() {
        let ours = |name: &str| translate(name).unwrap();
        assert_eq!(ours("vit.embeddings.cls_token"), ("cls_token".into(), None));
        assert_eq!(ours("embeddings.position_embeddings"), ("pos_embed".into(), None));
        assert_eq!(
            ours("vit.encoder.layer.11.attention.attention.key.bias"),
            ("blocks.11.attn.qkv.bias".into(), Some(1))
        );
        assert_eq!(
            ours("layers.3.attention.v_proj.weight"),
            ("blocks.3.attn.qkv.weight".into(), Some(2))
        );
        assert_eq!(
            ours("decoder.decoder_encoder.layer.0.output.dense.weight"),
            ("decoder_blocks.0.mlp.fc2.weight".into(), None)
        );
        assert_eq!(ours("decoder.decoder_norm.bias"), ("decoder_norm.bias".into(), None));
        assert_eq!(ours("classifier.weight"), ("head.weight".into(), None));
        assert_eq!(translate("vit.encoder.layer.0.rotary"), None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let ours: HashMap<String, Tensor> = [
            ("cls_token", filled(&[1, 1, 2], 0.0)),
            ("patch_embed.proj.bias", filled(&[2], 1.0)),
            (
                "blocks.0.attn.qkv.weight",
                Tensor::arange(12, (Kind::Float, Device::Cpu)).view([6, 2]),
            ),
            ("blocks.10.mlp.fc1.bias", filled(&[8], 2.0)),
            ("decoder_blocks.0.norm2.weight", filled(&[4], 3.0)),
            ("mask_token", filled(&[1, 1, 4], 4.0)),
        ]
        .map(|(name, tensor)| (name.to_owned(), tensor))
        .into();
        let theirs = to_hugging_face(&ours, false);
        assert_eq!(theirs.len(), 8);
        let key = &theirs["vit.encoder.layer.0.attention.attention.key.weight"];
        assert_eq!(Vec::<f32>::try_from(key.flatten(0, -1)).unwrap(), [4.0, 5.0, 6.0, 7.0]);
        assert!(theirs.contains_key("decoder.decoder_layers.0.layernorm_after.weight"));
        let back = from_hugging_face(theirs).unwrap();
        assert_eq!(back.len(), ours.len());
        for (name, tensor) in &ours {
            assert_eq!(back[name], *tensor, "{name}");
        }
    }

    #[test]
    fn a_tensor_under_two_names_is_refused() {
        for names in [
            ["vit.embeddings.cls_token", "embeddings.cls_token"],
            ["vit.embeddings.cls_token", "cls_token"],
            ["vit.encoder.layer.0.output.dense.bias", "layers.0.mlp.fc2.bias"],
        ] {
            let tensors = names.map(|name| (name.to_owned(), filled(&[1], 0.0)));
            let mismatch = from_hugging_face(tensors.into()).unwrap_err();
            assert_eq!(mismatch.unexpected.len(), 1);
        }
        let name = |word| format!("layers.0.attention.{word}_proj.bias");
        let mut tensors: HashMap<String, Tensor> =
            ["q", "k", "v"].map(|word| (name(word), filled(&[2], 0.0))).into();
        tensors.insert("blocks.0.attn.qkv.bias".into(), filled(&[6], 0.0));
        let mismatch = from_hugging_face(tensors).unwrap_err();
        assert_eq!(mismatch.unexpected, ["blocks.0.attn.qkv.bias"]);
    }

    #[test]
    fn lone_thirds_are_named() {
        let name = |word| format!("vit.encoder.layer.0.attention.attention.{word}.bias");
        let two =
            [("query", 2), ("value", 3)].map(|(word, side)| (name(word), filled(&[side], 0.0)));
        let mismatch = from_hugging_face(two.into()).unwrap_err();
        assert_eq!(mismatch.missing, [name("key")]);
        assert_eq!(mismatch.misshaped.len(), 1);
        let scalars = ["query", "key", "value"].map(|word| (name(word), Tensor::from(1_f32)));
        let mismatch = from_hugging_face(scalars.into()).unwrap_err();
        assert_eq!(mismatch.unexpected, [name("key"), name("query"), name("value")]);
        let odd = [("blocks.0.attn.qkv.bias".to_owned(), Tensor::from(1_f32))];
        assert_eq!(to_hugging_face(&odd.into(), false).len(), 1);
    }
}
