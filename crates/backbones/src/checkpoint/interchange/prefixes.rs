//! Prefixes of all names in a checkpoint whose model was part of another: `module.`, `backbone.`,
//! `encoder.`, `student.`, in any order and number.
//!
//! Every supported model has a patch embedding. The name of its weight shows the prefix of the
//! others.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use tch::Tensor;

/// Names of the patch embedding's weight or of the class token, in timm and MAE, in Hugging Face's
/// ViT and BEiT, in Hugging Face's CLIP and in OpenAI's CLIP.
const ANCHORS: [&str; 4] = [
    "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.weight",
    "embeddings.class_embedding",
    "class_embedding",
];

/// Prefixes of an anchor that belong to its own naming scheme.
const OWN: [&str; 4] = ["vit.", "beit.", "vision_model.", "visual."];

/// Removes the common prefix of the names. Tensors without it, such as a projection on top of a
/// backbone, are left out with a warning.
///
/// # Errors
/// When there are several models; the error names their prefixes.
pub(super) fn strip(
    path: &Path,
    tensors: HashMap<String, Tensor>,
) -> Result<HashMap<String, Tensor>, String> {
    let fronts: BTreeSet<String> = tensors.keys().filter_map(|name| front(name)).collect();
    if fronts.is_empty() || fronts.contains("") {
        return Ok(tensors);
    }
    let mut fronts = fronts.into_iter();
    let (Some(front), None) = (fronts.next(), fronts.next()) else {
        let several = tensors.keys().filter_map(|name| self::front(name)).collect::<BTreeSet<_>>();
        let several = several.iter().map(|front| format!("`{front}`")).collect::<Vec<_>>();
        return Err(format!(
            "it holds several models, with the prefixes {}; save only the one you want",
            several.join(", ")
        ));
    };
    let mut stripped = HashMap::with_capacity(tensors.len());
    let mut elsewhere = BTreeSet::new();
    for (name, tensor) in tensors {
        match name.strip_prefix(&front) {
            Some(bare) => drop(stripped.insert(bare.to_owned(), tensor)),
            None => drop(elsewhere.insert(name)),
        }
    }
    tracing::info!("{}: the prefix `{front}` is removed from the names", path.display());
    if !elsewhere.is_empty() {
        let first: Vec<&str> = elsewhere.iter().take(5).map(String::as_str).collect();
        let more = if elsewhere.len() > first.len() { ", …" } else { "" };
        tracing::warn!(
            "{}: ignored, because without the prefix `{front}`: {}{more} ({} tensors)",
            path.display(),
            first.join(", "),
            elsewhere.len()
        );
    }
    Ok(stripped)
}

/// The part of a name before an anchor that does not belong to its own naming scheme.
fn front(name: &str) -> Option<String> {
    let front = ANCHORS.iter().find_map(|anchor| name.strip_suffix(anchor))?;
    if !front.is_empty() && !front.ends_with('.') {
        return None;
    }
    // timm's own names have no prefix: a `vit.` there is a part of another model.
    if name.ends_with(ANCHORS[0]) {
        return Some(front.to_owned());
    }
    let outer = OWN.iter().find_map(|own| front.strip_suffix(own)).unwrap_or(front);
    Some(outer.to_owned())
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    fn stripped(names: &[&str]) -> Result<Vec<String>, String> {
        let tensor = || Tensor::zeros([1], (Kind::Float, Device::Cpu));
        let tensors = names.iter().map(|name| ((*name).to_owned(), tensor())).collect();
        let mut names: Vec<String> = strip(Path::new("w.pth"), tensors)?.into_keys().collect();
        names.sort_unstable();
        Ok(names)
    }

    #[test]
    fn any_prefix_of_a_single_model_is_taken_off() {
        for front in
            ["module.", "backbone.", "encoder.", "module.student.backbone.", "model.", "vit."]
        {
            let theirs = ["patch_embed.proj.weight", "blocks.0.norm1.bias"];
            let theirs = theirs.map(|name| format!("{front}{name}"));
            assert_eq!(
                stripped(&theirs.each_ref().map(String::as_str)).unwrap(),
                ["blocks.0.norm1.bias", "patch_embed.proj.weight"]
            );
        }
    }

    #[test]
    fn names_that_belong_to_a_naming_stay() {
        let projection = "embeddings.patch_embeddings.projection.weight";
        for (front, own) in [("module.", "vit."), ("", "beit."), ("a.b.", ""), ("", "")] {
            let names = [format!("{front}{own}{projection}"), format!("{front}decoder.mask_token")];
            let mut wanted = vec!["decoder.mask_token".to_owned(), format!("{own}{projection}")];
            wanted.sort_unstable();
            assert_eq!(stripped(&names.each_ref().map(String::as_str)).unwrap(), wanted);
        }
        let clip =
            ["tower.vision_model.embeddings.class_embedding", "tower.visual_projection.weight"];
        let wanted = ["vision_model.embeddings.class_embedding", "visual_projection.weight"];
        assert_eq!(stripped(&clip).unwrap(), wanted);
        assert_eq!(
            stripped(&["module.visual.class_embedding"]).unwrap(),
            ["visual.class_embedding"]
        );
        assert_eq!(stripped(&["visual.class_embedding"]).unwrap(), ["visual.class_embedding"]);
        // A student next to a model without a prefix, as in checkpoints of our own runs.
        let own = ["patch_embed.proj.weight", "teacher.patch_embed.proj.weight"];
        assert_eq!(stripped(&own).unwrap(), own);
        assert_eq!(stripped(&["fc.weight"]).unwrap(), ["fc.weight"]);
        assert_eq!(
            stripped(&["my_patch_embed.proj.weight"]).unwrap(),
            ["my_patch_embed.proj.weight"]
        );
    }

    #[test]
    fn what_stands_elsewhere_is_left_out_and_several_models_are_named() {
        let names = ["backbone.patch_embed.proj.weight", "projection_head.weight"];
        assert_eq!(stripped(&names).unwrap(), ["patch_embed.proj.weight"]);
        let refused =
            stripped(&["student.patch_embed.proj.weight", "teacher.patch_embed.proj.weight"]);
        let refused = refused.unwrap_err();
        assert!(
            refused.contains("with the prefixes `student.`, `teacher.`; save only"),
            "{refused}"
        );
    }
}
