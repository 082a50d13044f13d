//! The layout of M3AE's released weights (Flax), and its conversion to ours.
//!
//! The release is a pickle of a Flax train state. Ten lines of Python flatten its
//! `state.params["params"]` to a safetensors file with `/` between the parts of a name
//! (`docs/systems/m3ae.md`); [`from_released`] renames and transposes its tensors.

use std::collections::HashMap;

use tch::Tensor;

/// The name of a parameter of [`PairAutoencoder`](crate::PairAutoencoder) in the release, and
/// whether its matrix is stored transposed, as (in, out).
///
/// ```
/// use bauta_multimodal::released_name;
/// assert_eq!(
///     released_name("encoder.blocks.3.attn.qkv.weight"),
///     ("encoder/Block_3/Attention_0/Dense_0/kernel".to_owned(), true)
/// );
/// assert_eq!(released_name("cls_token"), ("cls_token".to_owned(), false));
/// ```
pub fn released_name(name: &str) -> (String, bool) {
    let mut parts: Vec<String> = Vec::new();
    let (path, leaf) = name.rsplit_once('.').unwrap_or(("", name));
    let mut words = path.split('.').filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        match word {
            "blocks" => parts.push(format!("Block_{}", words.next().unwrap_or_default())),
            "norm" | "norm1" => parts.push("LayerNorm_0".to_owned()),
            "norm2" => parts.push("LayerNorm_1".to_owned()),
            "attn" => parts.push("Attention_0".to_owned()),
            "qkv" => parts.push("Dense_0".to_owned()),
            "proj" => parts.push("Dense_1".to_owned()),
            "mlp" => parts.push("TransformerMLP_0".to_owned()),
            "decoder_image_output" | "decoder_text_output" => {
                parts.extend([word.to_owned(), "Dense_0".to_owned()]);
            }
            word => parts.push(word.to_owned()),
        }
    }
    let normed = parts.last().is_some_and(|part| part.starts_with("LayerNorm"));
    let embedded = parts.last().is_some_and(|part| part == "text_embedding");
    let (leaf, transposed) = match leaf {
        "weight" if normed => ("scale", false),
        "weight" if embedded => ("embedding", false),
        "weight" => ("kernel", true),
        leaf => (leaf, false),
    };
    parts.push(leaf.to_owned());
    (parts.join("/"), transposed)
}

/// Finds the parameters of these names among released tensors, renamed and transposed. Released
/// names can have the prefix `params/`. Missing parameters are left out.
pub fn from_released<'a>(
    names: impl IntoIterator<Item = &'a str>,
    released: &HashMap<String, Tensor>,
) -> HashMap<String, Tensor> {
    let found = names.into_iter().filter_map(|name| {
        let (theirs, transposed) = released_name(name);
        let tensor = released.get(&theirs).or_else(|| released.get(&format!("params/{theirs}")))?;
        let tensor = if transposed { tensor.transpose(0, 1).contiguous() } else { tensor.copy() };
        Some((name.to_owned(), tensor))
    });
    found.collect()
}

/// Converts parameters to the names and layout of the release; [`from_released`] restores them bit
/// for bit.
pub fn to_released<'a>(
    parameters: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
) -> HashMap<String, Tensor> {
    let renamed = parameters.into_iter().map(|(name, tensor)| {
        let (theirs, transposed) = released_name(name);
        let tensor = tensor.detach();
        (theirs, if transposed { tensor.transpose(0, 1).contiguous() } else { tensor.copy() })
    });
    renamed.collect()
}
