//! The keys of Hugging Face's `config.json` common to all vision transformers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Sides;
use crate::{Activation, ModelError, VitConfig};

/// The keys of an encoder's sizes, which the files of all architectures share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncoderSizes {
    /// Side of square images in pixels, or `[height, width]`.
    pub image_size: Sides,
    /// Patch side in pixels; patches are square.
    pub patch_size: Sides,
    /// Image channels, C.
    pub num_channels: usize,
    /// Width, D.
    pub hidden_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Hidden width of the MLPs.
    pub intermediate_size: usize,
    /// Nonlinearity of the MLPs.
    pub hidden_act: Activation,
    /// Added to the variance in layer norms.
    pub layer_norm_eps: f64,
}

/// Most numbers of a tensor.
const MOST_NUMBERS: u128 = 1 << 40;

impl Default for EncoderSizes {
    /// Hugging Face's defaults for a plain ViT, a masked autoencoder and a BEiT.
    fn default() -> Self {
        Self {
            image_size: Sides::Square(224),
            patch_size: Sides::Square(16),
            num_channels: 3,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: Activation::Gelu,
            layer_norm_eps: 1e-12,
        }
    }
}

impl EncoderSizes {
    /// Upper limit of every size in a model that is read: pixels, channels, widths, blocks.
    pub const LARGEST: usize = 1 << 20;

    /// Describes an encoder, except for the bias of its qkv projections.
    pub fn new(encoder: &VitConfig) -> Self {
        Self {
            image_size: Sides::new(encoder.image_height, encoder.image_width),
            patch_size: Sides::Square(encoder.patch_size),
            num_channels: encoder.channels,
            hidden_size: encoder.dim,
            num_hidden_layers: encoder.depth,
            num_attention_heads: encoder.heads,
            intermediate_size: encoder.mlp_dim,
            hidden_act: encoder.activation,
            layer_norm_eps: encoder.layer_norm_eps,
        }
    }

    /// The described encoder, with a bias in its qkv projections.
    ///
    /// # Errors
    /// [`ModelError::Config`] when patches are not square.
    pub fn vit(&self) -> Result<VitConfig, ModelError> {
        Ok(VitConfig {
            image_height: self.image_size.height(),
            image_width: self.image_size.width(),
            channels: self.num_channels,
            patch_size: self.patch_size.square("patch_size")?,
            dim: self.hidden_size,
            depth: self.num_hidden_layers,
            heads: self.num_attention_heads,
            mlp_dim: self.intermediate_size,
            qkv_bias: true,
            layer_norm_eps: self.layer_norm_eps,
            activation: self.hidden_act,
        })
    }

    /// Names a key with an impossible value, if there is one.
    pub(super) fn check(&self) -> Result<(), String> {
        let (image, patch) = (self.image_size, self.patch_size);
        for (key, size) in [
            ("image_size", image.height()),
            ("image_size", image.width()),
            ("patch_size", patch.height()),
            ("patch_size", patch.width()),
            ("num_channels", self.num_channels),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
        ] {
            check_size(key, size)?;
        }
        patch.square("patch_size").map_err(|error| error.to_string())?;
        let eps = self.layer_norm_eps;
        if eps > 0.0 && eps <= 1.0 {
            return Ok(());
        }
        Err(format!("layer_norm_eps is {eps}, but must be above 0 and at most 1"))
    }
}

/// Refuses a size of 0 or above the limit.
pub(super) fn check_size(key: &str, size: usize) -> Result<(), String> {
    let largest = EncoderSizes::LARGEST;
    if (1..=largest).contains(&size) {
        return Ok(());
    }
    Err(format!("{key} is {size}, but must be at least 1 and at most {largest}"))
}

/// Refuses a tensor of these sizes that has more numbers than memory can hold, before it is
/// described to libtorch, which cannot count them.
pub(super) fn check_numbers(what: &str, sizes: &[usize]) -> Result<(), String> {
    let numbers = sizes.iter().fold(1_u128, |all, &size| all.saturating_mul(size as u128));
    if numbers <= MOST_NUMBERS {
        return Ok(());
    }
    Err(format!("{what} would have {numbers} numbers; at most {MOST_NUMBERS} are supported"))
}

/// Refuses a number of heads that does not divide the width, naming both keys with the prefix
/// `front`; `said` is the description as written.
pub(super) fn check_heads(
    said: &Value,
    front: &str,
    heads: usize,
    width: usize,
) -> Result<(), String> {
    if width.is_multiple_of(heads) {
        return Ok(());
    }
    let default = |key: &str| if said.get(key).is_none() { " (the default)" } else { "" };
    let [key, other] = ["num_attention_heads", "hidden_size"].map(|key| format!("{front}{key}"));
    Err(format!(
        "{key} is {heads}{}, which does not divide {other} {width}{}; write the {key} that the \
         model was trained with",
        default(&key),
        default(&other)
    ))
}
