//! The weights of a folder or a file, converted to timm's names.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use tch::Tensor;

use super::{beit_names, clip_names, names, prefixes};
use crate::ModelError;
use crate::checkpoint::{is_float, read_pth, read_tensors, regular_file};

/// Files of weights next to a `config.json`, of which the first that exists is read: as one file,
/// or as several files listed in an index.
const FILES: [(&str, Reader); 2] =
    [("model.safetensors", read_tensors), ("pytorch_model.bin", read_pth)];

type Reader = fn(&Path) -> Result<HashMap<String, Tensor>, ModelError>;

/// Reads a checkpoint without a `config.json`: a safetensors file or PyTorch's `.pth`, under timm's
/// or Hugging Face's names, and returns tensors under timm's names.
///
/// A common prefix of all names, such as `module.`, is removed.
///
/// # Errors
/// As [`super::ModelFolder::read`].
pub fn read_checkpoint(path: &Path) -> Result<HashMap<String, Tensor>, ModelError> {
    read_file_with(path, timm_names)
}

/// Converts the names of a file's tensors to those of a supported model.
type Names = fn(&Path, HashMap<String, Tensor>) -> Result<HashMap<String, Tensor>, ModelError>;

/// Reads a file's tensors under the names given by `names`.
pub(super) fn read_file_with(
    path: &Path,
    names: Names,
) -> Result<HashMap<String, Tensor>, ModelError> {
    let tensors = match path.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => read_tensors(path)?,
        Some("pth" | "pyth" | "pt" | "bin" | "ckpt" | "tar") => read_pth(path)?,
        _ => {
            let reason = "a file of weights must end in .safetensors, .pth, .pyth, .pt, .bin, \
                          .ckpt or .pth.tar";
            return Err(ModelError::Format { path: path.into(), reason: reason.into() });
        }
    };
    names(path, tensors)
}

/// Reads the weights of a folder under timm's names, and returns them with their file.
pub(super) fn read(folder: &Path) -> Result<(PathBuf, HashMap<String, Tensor>), ModelError> {
    read_with(folder, timm_names)
}

/// The same under the names given by `names`.
pub(super) fn read_with(
    folder: &Path,
    names: Names,
) -> Result<(PathBuf, HashMap<String, Tensor>), ModelError> {
    for (name, reader) in FILES {
        let path = folder.join(name);
        if path.is_file() {
            let tensors = names(&path, reader(&path)?)?;
            return Ok((path, tensors));
        }
        let index = folder.join(format!("{name}.index.json"));
        if index.is_file() {
            let tensors = names(&index, read_parts(folder, &index, reader)?)?;
            return Ok((index, tensors));
        }
    }
    let reason = "a model folder needs model.safetensors, but this one has none".to_owned();
    Err(ModelError::Format { path: folder.into(), reason })
}

/// An index of weights stored in several files.
#[derive(Deserialize)]
struct Index {
    /// The file of each tensor.
    weight_map: BTreeMap<String, String>,
}

/// Reads every file in an index; each tensor must be in the file that the index names.
fn read_parts(
    folder: &Path,
    index: &Path,
    reader: Reader,
) -> Result<HashMap<String, Tensor>, ModelError> {
    let refuse = |reason: String| ModelError::Format { path: index.into(), reason };
    let text = regular_file::read_text(index)?;
    let read = serde_json::from_str(&text).and_then(|said: Value| match said {
        Value::Object(_) => Index::deserialize(said),
        _ => Err(serde::de::Error::custom("it is not an object")),
    });
    let Index { weight_map } = read.map_err(|error| {
        refuse(format!(
            "the weights are split into several files, but this does not list them: {error}; it \
             must be an object whose `weight_map` gives the file of each tensor"
        ))
    })?;
    let mut files: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, file) in &weight_map {
        files.entry(file).or_default().push(name);
    }
    let mut tensors = HashMap::new();
    for (file, names) in files {
        if Path::new(file).file_name() != Some(file.as_ref()) {
            return Err(refuse(format!("`{file}` is not the name of a file in the same folder")));
        }
        let part = folder.join(file);
        if !part.exists() {
            return Err(refuse(format!(
                "it names {file}, which is not in {}; fetch that file too",
                folder.display()
            )));
        }
        let mut part = reader(&part)?;
        for name in names {
            let tensor = part
                .remove(name)
                .ok_or_else(|| refuse(format!("{name} is not in {file}, but is listed there")))?;
            tensors.insert(name.to_owned(), tensor);
        }
        if let Some(name) = part.keys().min() {
            return Err(refuse(format!(
                "{file} holds {name}, which the index does not list there; fetch all files again"
            )));
        }
    }
    Ok(tensors)
}

/// Converts names to timm's. Warns of weights that are not finite, and refuses those of unsupported
/// architectures.
fn timm_names(
    path: &Path,
    tensors: HashMap<String, Tensor>,
) -> Result<HashMap<String, Tensor>, ModelError> {
    let mut bad: Vec<&str> = tensors
        .iter()
        .filter(|(_, tensor)| {
            is_float(tensor.kind()) && tensor.isfinite().all().int64_value(&[]) == 0
        })
        .map(|(name, _)| name.as_str())
        .collect();
    if !bad.is_empty() {
        bad.sort_unstable();
        tracing::warn!("{}: values are NaN or infinite in {}", path.display(), bad.join(", "));
    }
    let refuse = |reason: String| ModelError::Format { path: path.into(), reason };
    let mut tensors = prefixes::strip(path, tensors).map_err(refuse)?;
    let renamed = if clip_names::is_foreign(&tensors) {
        clip_names::to_ours(tensors)
    } else if beit_names::is_beit(&tensors) {
        beit_names::to_ours(tensors)
    } else if names::is_hugging_face(&tensors) {
        drop_masked_modeling(path, &mut tensors);
        names::from_hugging_face(tensors)
    } else {
        Ok(tensors)
    };
    let mut tensors =
        renamed.map_err(|mismatch| ModelError::Mismatch { path: path.into(), mismatch })?;
    drop_zero_bias_of_projection(&mut tensors).map_err(refuse)?;
    match foreign_tokens(&tensors) {
        Some(reason) => Err(refuse(reason)),
        None => Ok(tensors),
    }
}

/// Removes tensors that a plain ViT of Hugging Face's needs only for masked patches: the mask
/// token, which has no effect where nothing is masked, and the decoder of
/// `ViTForMaskedImageModeling`.
fn drop_masked_modeling(path: &Path, tensors: &mut HashMap<String, Tensor>) {
    let token = ["vit.embeddings.mask_token", "embeddings.mask_token"];
    let Some(token) = token.into_iter().find(|name| tensors.remove(*name).is_some()) else {
        return;
    };
    let mut dropped = vec![token];
    let decoder = ["decoder.0.weight", "decoder.0.bias"];
    dropped.extend(decoder.into_iter().filter(|name| tensors.remove(*name).is_some()));
    tracing::info!(
        "{}: {} left out, because only masked patches need them and this ViT has none",
        path.display(),
        dropped.join(", ")
    );
}

/// Removes `head.bias` from a CLIP tower under timm's names: timm adds a bias of zeros to the
/// projection, which has none.
///
/// # Errors
/// When the bias is not zero, as that of a fine-tuned classifier.
fn drop_zero_bias_of_projection(tensors: &mut HashMap<String, Tensor>) -> Result<(), String> {
    if !tensors.contains_key("norm_pre.weight") {
        return Ok(());
    }
    match tensors.remove("head.bias") {
        Some(bias) if bias.count_nonzero(None).int64_value(&[]) > 0 => {
            Err("its head.bias is not zero, but the projection of a CLIP tower has no bias; a \
             fine-tuned classifier is not read: remove head.weight and head.bias"
                .to_owned())
        }
        _ => Ok(()),
    }
}

/// The reason why a model has unsupported tokens other than those of patches, if there is one.
/// Supported models have one class token and no other.
fn foreign_tokens(tensors: &HashMap<String, Tensor>) -> Option<String> {
    let others = [
        ("dist_token", "a distillation token (DeiT)"),
        ("embeddings.distillation_token", "a distillation token (DeiT)"),
        ("reg_token", "register tokens"),
        ("register_tokens", "register tokens"),
        ("embeddings.register_tokens", "register tokens"),
    ];
    for (end, what) in others {
        let other = tensors.keys().find(|name| {
            name.strip_suffix(end).is_some_and(|front| front.is_empty() || front.ends_with('.'))
        });
        if let Some(name) = other {
            return Some(format!(
                "it has {what}, `{name}`, beside the class token, which is not supported; use \
                 weights of the same model without it"
            ));
        }
    }
    let has = |name| tensors.contains_key(name);
    if has("patch_embed.proj.weight") && has("blocks.0.mlp.fc1.weight") && !has("cls_token") {
        return Some(
            "it has no class token (cls_token), which every model here needs; models of patch \
             tokens alone (timm's `gap` models, SigLIP, I-JEPA) are not supported"
                .to_owned(),
        );
    }
    None
}

#[cfg(test)]
mod tests;
