//! A description of weights that came without one, from their shapes.

use std::collections::HashMap;

use tch::Tensor;

use super::{ModelConfig, VitMaeConfig, VitModelConfig};
use crate::{MaeDecoderConfig, ModelError, VitConfig};

/// What the shapes of MAE's and timm's weights do not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsaid {
    /// Attention heads of the encoder; else those of the known width: 192, 384,
    /// 768, 1024, 1280.
    pub heads: Option<usize>,
    /// Attention heads of the decoder; else 16.
    pub decoder_heads: Option<usize>,
    /// Image height and width in pixels; else square.
    pub image_size: Option<[usize; 2]>,
    /// Whether the decoder predicts pixels standardised within each patch.
    pub norm_pix_loss: bool,
}

/// Describes weights under timm's names: a masked autoencoder if they hold a
/// decoder, else a plain ViT. Norms add 1e-6, as in timm and MAE.
///
/// # Errors
/// [`ModelError::Config`] where a name is missing that sizes are read from, or
/// shapes leave open what `unsaid` does not say.
pub fn describe(
    tensors: &HashMap<String, Tensor>,
    unsaid: Unsaid,
) -> Result<ModelConfig, ModelError> {
    let sides = |name: &str| -> Result<Vec<usize>, ModelError> {
        let tensor = tensors.get(name).ok_or_else(|| {
            ModelError::Config(format!("the weights hold no {name}, so they are no ViT's"))
        })?;
        Ok(tensor.size().iter().map(|&side| side as usize).collect())
    };
    let [dim, channels, patch, across] = known(&sides("patch_embed.proj.weight")?, "patch_embed")?;
    if patch != across {
        return Err(ModelError::Config(format!("patches of {patch} × {across} are not square")));
    }
    let [_, rows, _] = known(&sides("pos_embed")?, "pos_embed")?;
    let [image_height, image_width] = image_size(rows.saturating_sub(1), patch, unsaid.image_size)?;
    let [mlp_dim, _] = known(&sides("blocks.0.mlp.fc1.weight")?, "blocks.0.mlp.fc1")?;
    let heads = unsaid.heads.or(usual_heads(dim)).ok_or_else(|| {
        ModelError::Config(format!(
            "a width of {dim} does not say the number of heads; give --heads"
        ))
    })?;
    let encoder = VitConfig {
        image_height,
        image_width,
        channels,
        mlp_dim,
        qkv_bias: tensors.contains_key("blocks.0.attn.qkv.bias"),
        ..VitConfig::new(0, patch, dim, depth(tensors, "blocks."), heads)
    };
    if !tensors.contains_key("decoder_embed.weight") {
        let classes = match tensors.get("head.weight") {
            Some(_) => Some(sides("head.weight")?[0]),
            None => None,
        };
        return Ok(ModelConfig::Vit(VitModelConfig::new(&encoder, classes)));
    }
    let [decoder_dim, _] = known(&sides("decoder_embed.weight")?, "decoder_embed")?;
    let [decoder_mlp, _] =
        known(&sides("decoder_blocks.0.mlp.fc1.weight")?, "decoder_blocks.0.mlp.fc1")?;
    let decoder_depth = depth(tensors, "decoder_blocks.");
    let decoder_heads = unsaid.decoder_heads.unwrap_or(16);
    let outputs = encoder.patch_values();
    let decoder = MaeDecoderConfig {
        mlp_dim: decoder_mlp,
        ..MaeDecoderConfig::new(dim, decoder_dim, decoder_depth, decoder_heads, outputs)
    };
    let config = VitMaeConfig::new(&encoder, &decoder, 0.75, unsaid.norm_pix_loss);
    Ok(ModelConfig::VitMae(config))
}

fn known<const N: usize>(sides: &[usize], name: &str) -> Result<[usize; N], ModelError> {
    sides.try_into().map_err(|_| {
        ModelError::Config(format!("{name} has the shape {sides:?}, which is no ViT's"))
    })
}

/// Number of blocks: one more than the greatest index.
fn depth(tensors: &HashMap<String, Tensor>, stack: &str) -> usize {
    let index = |name: &String| name.strip_prefix(stack)?.split_once('.')?.0.parse::<usize>().ok();
    tensors.keys().filter_map(index).max().map_or(0, |last| last + 1)
}

fn usual_heads(dim: usize) -> Option<usize> {
    match dim {
        192 | 384 | 768 => Some(dim / 64),
        1024 | 1280 => Some(16),
        _ => None,
    }
}

fn image_size(
    tokens: usize,
    patch: usize,
    said: Option<[usize; 2]>,
) -> Result<[usize; 2], ModelError> {
    if let Some([height, width]) = said {
        if patch > 0 && (height / patch) * (width / patch) == tokens {
            return Ok([height, width]);
        }
        return Err(ModelError::Config(format!(
            "an image of {height} × {width} has not the {tokens} patches of pos_embed"
        )));
    }
    let side = tokens.isqrt();
    if side * side == tokens && tokens > 0 {
        return Ok([side * patch; 2]);
    }
    Err(ModelError::Config(format!("{tokens} patches are no square; give --image-size H W")))
}
