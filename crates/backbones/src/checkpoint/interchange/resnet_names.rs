//! Names of residual networks' tensors: torchvision's, which this crate uses, with prefixes in
//! files of siamese training; Hugging Face's; Detectron2's.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use tch::Tensor;

use crate::ModelError;

/// Maps a torchvision name to another naming scheme.
pub(super) type Names = fn(&str) -> String;

/// The tensor that identifies a residual network.
pub(super) const ANCHOR: &str = "layer1.0.conv1.weight";
/// The suffix of the names of batch norms' counts.
pub(super) const COUNT: &str = "num_batches_tracked";

/// torchvision's classifier.
pub(super) const CLASSIFIER: [&str; 2] = ["fc.weight", "fc.bias"];

const HUGGING_FACE: &str = "embedder.embedder.convolution.weight";
/// The prefix of Hugging Face's classifier, which is outside of its network.
const HEAD: &str = "classifier.1.";

/// Converts names to torchvision's.
///
/// Of MoCo's two encoders, the trained one (`encoder_q`) is kept, with a projector of several
/// layers; a single-layer projector would look like a classifier and is left out.
///
/// # Errors
/// [`ModelError::Format`] for several networks in one file.
pub(super) fn to_torchvision(
    path: &Path,
    tensors: HashMap<String, Tensor>,
) -> Result<HashMap<String, Tensor>, ModelError> {
    let front_of = |anchor: &str| -> BTreeSet<String> {
        let fronts = tensors.keys().filter_map(|name| name.strip_suffix(anchor));
        fronts.filter(|f| f.is_empty() || f.ends_with('.')).map(str::to_owned).collect()
    };
    let theirs = front_of(HUGGING_FACE);
    let fronts = if theirs.is_empty() { front_of(ANCHOR) } else { theirs.clone() };
    let learning = fronts.iter().find(|front| front.ends_with("encoder_q."));
    let front = match (learning, fronts.len()) {
        (Some(front), _) => front.clone(),
        (None, 0) => return Ok(tensors),
        (None, 1) => fronts.first().cloned().unwrap_or_default(),
        (None, _) => {
            let reason = format!(
                "it holds several networks, with the prefixes {fronts:?}; save only the one you \
                 want"
            );
            return Err(ModelError::Format { path: path.into(), reason });
        }
    };
    let named = tensors.into_iter().filter_map(|(name, tensor)| {
        if let Some(end) = name.strip_prefix(HEAD).filter(|_| !theirs.is_empty()) {
            return Some((format!("fc.{end}"), tensor));
        }
        let bare = name.strip_prefix(&front)?;
        let bare = if theirs.is_empty() { bare.to_owned() } else { from_hugging_face(bare)? };
        (learning.is_none() || !CLASSIFIER.contains(&bare.as_str())).then_some((bare, tensor))
    });
    Ok(named.collect())
}

/// `None` for a name without a counterpart in torchvision's network.
fn from_hugging_face(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("embedder.embedder.") {
        let rest = rest
            .strip_prefix("convolution.")
            .map(|end| format!("conv1.{end}"))
            .or_else(|| rest.strip_prefix("normalization.").map(|end| format!("bn1.{end}")));
        return rest;
    }
    let parts: Vec<&str> = name.split('.').collect();
    let number = |text: &str| text.parse::<usize>().ok();
    match parts[..] {
        ["encoder", "stages", stage, "layers", place, "shortcut", kind, end] => {
            let kind = if kind == "convolution" { 0 } else { 1 };
            Some(format!("layer{}.{place}.downsample.{kind}.{end}", number(stage)? + 1))
        }
        ["encoder", "stages", stage, "layers", place, "layer", layer, kind, end] => {
            let kind = if kind == "convolution" { "conv" } else { "bn" };
            let layer = number(layer)? + 1;
            Some(format!("layer{}.{place}.{kind}{layer}.{end}", number(stage)? + 1))
        }
        _ => None,
    }
}

/// The name in Hugging Face's `ResNetModel`.
pub(super) fn hugging_face(name: &str) -> String {
    if let Some(end) = name.strip_prefix("fc.") {
        return format!("{HEAD}{end}");
    }
    let parts: Vec<&str> = name.split('.').collect();
    let kind = |text: &str| if text.starts_with("conv") { "convolution" } else { "normalization" };
    let less_one = |text: &str| text.parse::<usize>().map_or(0, |number| number.saturating_sub(1));
    match parts[..] {
        [first, end] => format!("embedder.embedder.{}.{end}", kind(first)),
        [stage, place, "downsample", part, end] => {
            let kind = if part == "0" { "convolution" } else { "normalization" };
            let stage = less_one(&stage["layer".len()..]);
            format!("encoder.stages.{stage}.layers.{place}.shortcut.{kind}.{end}")
        }
        [stage, place, layer, end] => {
            let number = less_one(layer.trim_start_matches(char::is_alphabetic));
            let stage = less_one(&stage["layer".len()..]);
            let kind = kind(layer);
            format!("encoder.stages.{stage}.layers.{place}.layer.{number}.{kind}.{end}")
        }
        _ => name.to_owned(),
    }
}

/// The name in Hugging Face's `ResNetForImageClassification`.
pub(super) fn hugging_face_classifier(name: &str) -> String {
    let named = hugging_face(name);
    if named.starts_with(HEAD) { named } else { format!("resnet.{named}") }
}

/// The name that MoCo's converter gives for Detectron2: `stem.` before names outside the stages,
/// stages numbered from 2, norms as parts of their convolutions.
pub(super) fn detectron2(name: &str) -> String {
    let named = match name.strip_prefix("layer") {
        None => format!("stem.{name}"),
        Some(rest) => {
            let (stage, rest) = rest.split_once('.').unwrap_or((rest, ""));
            format!("res{}.{rest}", stage.parse::<usize>().map_or(0, |stage| stage + 1))
        }
    };
    let named = [1, 2, 3].iter().fold(named, |name, layer| {
        name.replace(&format!("bn{layer}."), &format!("conv{layer}.norm."))
    });
    named.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::{Parameters, ResNet, ResNetConfig, ResNetDepth, Stem};

    fn names(names: &[&str]) -> Result<Vec<String>, ModelError> {
        let tensor = || Tensor::zeros([1], (Kind::Float, Device::Cpu));
        let tensors = names.iter().map(|name| ((*name).to_owned(), tensor())).collect();
        let mut names: Vec<String> =
            to_torchvision(Path::new("w.pth"), tensors)?.into_keys().collect();
        names.sort_unstable();
        Ok(names)
    }

    #[test]
    fn the_encoder_that_learns_is_taken_of_mocos_files() {
        let moco = [
            "module.encoder_q.layer1.0.conv1.weight",
            "module.encoder_q.fc.0.weight",
            "module.encoder_k.layer1.0.conv1.weight",
            "module.queue",
        ];
        assert_eq!(names(&moco).unwrap(), ["fc.0.weight", "layer1.0.conv1.weight"]);
        let plain = ["layer1.0.conv1.weight", "encoder_k.layer1.0.conv1.weight"];
        let refused = names(&plain).unwrap_err().to_string();
        assert!(refused.contains("it holds several networks"), "{refused}");
        assert_eq!(names(&["blocks.0.a"]).unwrap(), ["blocks.0.a"]);
    }

    #[test]
    fn names_go_to_hugging_face_and_back_and_to_detectron2() {
        for depth in [ResNetDepth::Eighteen, ResNetDepth::Fifty] {
            let mut parameters = Parameters::sketch();
            let config = ResNetConfig { depth, stem: Stem::Large, width: 4, channels: 3 };
            ResNet::new(parameters.root(), config).unwrap();
            let theirs: BTreeSet<String> =
                parameters.iter().map(|parameter| hugging_face(&parameter.name)).collect();
            assert_eq!(theirs.len(), parameters.iter().count());
            for parameter in &parameters {
                let name = hugging_face(&parameter.name);
                assert_eq!(from_hugging_face(&name).as_ref(), Some(&parameter.name));
            }
        }
        assert_eq!(
            hugging_face("layer3.1.bn2.running_var"),
            "encoder.stages.2.layers.1.layer.1.normalization.running_var"
        );
        for (ours, theirs) in [
            ("conv1.weight", "stem.conv1.weight"),
            ("bn1.bias", "stem.conv1.norm.bias"),
            ("layer1.0.downsample.1.weight", "res2.0.shortcut.norm.weight"),
            ("layer4.2.bn3.running_mean", "res5.2.conv3.norm.running_mean"),
        ] {
            assert_eq!(detectron2(ours), theirs);
        }
    }
}
