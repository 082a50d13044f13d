//! Inferring a configuration from the shapes of weights that came without one.

use std::collections::HashMap;

use tch::Tensor;

use super::beit_names::{FIRST_TABLE, TABLE};
use super::encoder_sizes::check_size;
use super::fit::{self, depth};
use super::{BeitModelConfig, ClipModelConfig, ModelConfig, VitMaeConfig, VitModelConfig};
use crate::{BeitConfig, ClipVisionConfig, MaeDecoderConfig, ModelError, VitConfig};

/// Sizes that the shapes of MAE's and timm's weights do not determine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Attention heads of the encoder; by default those of the known widths: 192, 384, 768, 1024,
    /// 1280. A CLIP tower has 16 at the widths 1280, 1408 and 1664, and others are 64 wide.
    pub heads: Option<usize>,
    /// Attention heads of the decoder; by default 16.
    pub decoder_heads: Option<usize>,
    /// Image height and width in pixels; by default, images are square.
    pub image_size: Option<[usize; 2]>,
    /// Frames of a clip, for video weights with one joint table of positions; by default inferred
    /// from `image_size`, or 16.
    pub frames: Option<usize>,
    /// Whether the decoder predicts pixels normalised within each patch.
    pub norm_pix_loss: bool,
}

/// Describes weights under timm's names: a masked autoencoder if they contain a decoder, a BEiT if
/// they contain tables of position biases, a CLIP tower if they contain a norm before the blocks,
/// else a plain ViT.
///
/// The epsilon of norms is 1e-6, as in timm and MAE, or 1e-5 in a CLIP tower. The activation is
/// GELU, or QuickGELU in a CLIP tower, as in OpenAI's; many of OpenCLIP's have GELU.
///
/// # Errors
/// [`ModelError::Config`] when a tensor that sizes are read from is missing, when shapes and
/// `options` leave a size open, or when tensors have shapes that do not belong to one model.
pub fn describe(
    tensors: &HashMap<String, Tensor>,
    options: ImportOptions,
) -> Result<ModelConfig, ModelError> {
    let config = described(tensors, options)?;
    fit::check(&config, tensors).map_err(ModelError::Config)?;
    Ok(config)
}

fn described(
    tensors: &HashMap<String, Tensor>,
    options: ImportOptions,
) -> Result<ModelConfig, ModelError> {
    let sides = |name: &str| sides_of(tensors, name);
    let [height, width] = options.image_size.map_or([None; 2], |sides| sides.map(Some));
    for (argument, said) in [
        ("heads", options.heads),
        ("decoder_heads", options.decoder_heads),
        ("image_size", height),
        ("image_size", width),
    ] {
        said.map_or(Ok(()), |size| check_size(argument, size)).map_err(ModelError::Config)?;
    }
    let shape = Shape::of(tensors)?;
    if let Some(table) = [TABLE, FIRST_TABLE].into_iter().find(|name| tensors.contains_key(*name)) {
        return beit(tensors, shape, options, table).map(ModelConfig::Beit);
    }
    let [_, rows, _] = known(&sides("pos_embed")?, "pos_embed")?;
    let image_size = image_size(rows.saturating_sub(1), shape.patch, options.image_size)?;
    if tensors.contains_key("norm_pre.weight") {
        let tower = clip(tensors, shape, image_size, options)?;
        return Ok(ModelConfig::Clip(ClipModelConfig::new(&tower)));
    }
    let dim = shape.dim;
    let heads = options.heads.or(usual_heads(dim)).ok_or_else(|| {
        ModelError::Config(format!(
            "the width {dim} does not determine the number of heads; give it (heads)"
        ))
    })?;
    let qkv_bias = tensors.contains_key("blocks.0.attn.qkv.bias");
    let encoder = VitConfig { qkv_bias, ..shape.vit(image_size, heads) };
    if !tensors.contains_key("decoder_embed.weight") {
        let classes = outputs(tensors, "head.weight")?;
        return Ok(ModelConfig::Vit(VitModelConfig::new(&encoder, classes)));
    }
    let [decoder_dim, _] = known(&sides("decoder_embed.weight")?, "decoder_embed")?;
    let [decoder_mlp, _] =
        known(&sides("decoder_blocks.0.mlp.fc1.weight")?, "decoder_blocks.0.mlp.fc1")?;
    let decoder_depth = depth(tensors, "decoder_blocks.").map_err(ModelError::Config)?;
    let decoder_heads = options.decoder_heads.unwrap_or(16);
    let outputs = encoder.patch_values();
    let decoder = MaeDecoderConfig {
        mlp_dim: decoder_mlp,
        ..MaeDecoderConfig::new(dim, decoder_dim, decoder_depth, decoder_heads, outputs)
    };
    let config = VitMaeConfig::new(&encoder, &decoder, 0.75, options.norm_pix_loss);
    Ok(ModelConfig::VitMae(config))
}

/// A BEiT with one `table` for all blocks and optionally a head for masked patches, or with one
/// table in each block and optionally a classifier.
fn beit(
    tensors: &HashMap<String, Tensor>,
    shape: Shape,
    options: ImportOptions,
    table: &str,
) -> Result<BeitModelConfig, ModelError> {
    let [rows, heads] = known(&sides_of(tensors, table)?, table)?;
    let image_size = match options.image_size {
        Some(said) => said,
        None => {
            let distances = rows.saturating_sub(3);
            let side = distances.isqrt();
            if side * side != distances || side % 2 == 0 {
                return Err(ModelError::Config(format!(
                    "a table of {rows} position biases does not belong to a square grid; give the \
                     height and width of the images (image_size)"
                )));
            }
            [side.div_ceil(2) * shape.patch; 2]
        }
    };
    let scaled = tensors.contains_key("blocks.0.gamma_1");
    let vit = shape.vit(image_size, heads);
    let absolute_positions = tensors.contains_key("pos_embed");
    let encoder = BeitConfig { vit, layer_scale: scaled.then_some(0.1), absolute_positions };
    let config = if table == TABLE {
        BeitModelConfig::new(&encoder, outputs(tensors, "lm_head.weight")?)
    } else {
        let mean = tensors.contains_key("fc_norm.weight");
        BeitModelConfig::fine_tuned(&encoder, outputs(tensors, "head.weight")?, mean)
    };
    let use_mask_token = tensors.contains_key("mask_token");
    Ok(BeitModelConfig { use_mask_token, ..config })
}

/// A CLIP tower. In OpenAI's published models heads are 64 wide; OpenCLIP's H, g and G, of the
/// widths 1280, 1408 and 1664, have 16.
fn clip(
    tensors: &HashMap<String, Tensor>,
    shape: Shape,
    image_size: [usize; 2],
    options: ImportOptions,
) -> Result<ClipVisionConfig, ModelError> {
    let dim = shape.dim;
    let projection = outputs(tensors, "head.weight")?;
    let usual = match dim {
        1280 | 1408 | 1664 => Some(16),
        _ => dim.is_multiple_of(64).then_some(dim / 64),
    };
    let heads = options.heads.or(usual).ok_or_else(|| {
        ModelError::Config(format!(
            "the width {dim} is not a multiple of 64; give the number of heads (heads)"
        ))
    })?;
    let vit = shape.vit(image_size, heads);
    Ok(ClipVisionConfig { projection, ..ClipVisionConfig::new(vit) })
}

/// Sizes read from the shapes of weights of any kind.
#[derive(Clone, Copy)]
struct Shape {
    dim: usize,
    channels: usize,
    patch: usize,
    mlp_dim: usize,
    depth: usize,
}

impl Shape {
    fn of(tensors: &HashMap<String, Tensor>) -> Result<Self, ModelError> {
        let embed = sides_of(tensors, "patch_embed.proj.weight")?;
        let [dim, channels, patch, across] = known(&embed, "patch_embed")?;
        if patch != across {
            let message = format!("patches of {patch} × {across} are not square");
            return Err(ModelError::Config(message));
        }
        let mlp = sides_of(tensors, "blocks.0.mlp.fc1.weight")?;
        let [mlp_dim, _] = known(&mlp, "blocks.0.mlp.fc1")?;
        let depth = depth(tensors, "blocks.").map_err(ModelError::Config)?;
        for (what, size) in [
            ("width", dim),
            ("number of channels", channels),
            ("patch size", patch),
            ("width of the MLPs", mlp_dim),
        ] {
            check_size(&format!("the weights' {what}"), size).map_err(ModelError::Config)?;
        }
        Ok(Self { dim, channels, patch, mlp_dim, depth })
    }

    /// The encoder of these shapes, for images of [height, width].
    fn vit(self, [image_height, image_width]: [usize; 2], heads: usize) -> VitConfig {
        let Self { dim, channels, patch, mlp_dim, depth } = self;
        let plain = VitConfig::new(0, patch, dim, depth, heads);
        VitConfig { image_height, image_width, channels, mlp_dim, ..plain }
    }
}

pub(super) fn sides_of(
    tensors: &HashMap<String, Tensor>,
    name: &str,
) -> Result<Vec<usize>, ModelError> {
    let tensor = tensors.get(name).ok_or_else(|| {
        ModelError::Config(format!(
            "the weights contain no {name}, so they are not of a ViT; their first tensors are {}",
            first_names(tensors)
        ))
    })?;
    Ok(tensor.size().iter().map(|&side| side as usize).collect())
}

/// The first names in alphabetical order, for a message.
fn first_names(tensors: &HashMap<String, Tensor>) -> String {
    let mut names: Vec<&str> = tensors.keys().map(String::as_str).collect();
    names.sort_unstable();
    names.truncate(3);
    names.join(", ")
}

pub(super) fn known<const N: usize>(sides: &[usize], name: &str) -> Result<[usize; N], ModelError> {
    sides.try_into().map_err(|_| {
        ModelError::Config(format!("{name} has the shape {sides:?}, which no ViT has"))
    })
}

/// The number of rows of a head, if there is one.
fn outputs(tensors: &HashMap<String, Tensor>, head: &str) -> Result<Option<usize>, ModelError> {
    if !tensors.contains_key(head) {
        return Ok(None);
    }
    let [rows, _] = known(&sides_of(tensors, head)?, head)?;
    Ok(Some(rows))
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
            "pos_embed has {tokens} positions, but an image of {height} × {width} has {} patches of \
             {patch} × {patch}",
            (height / patch.max(1)) * (width / patch.max(1))
        )));
    }
    let side = tokens.isqrt();
    if side * side == tokens && tokens > 0 {
        return Ok([side * patch; 2]);
    }
    Err(ModelError::Config(format!(
        "{tokens} patches do not form a square; give the height and width of the images \
         (image_size)"
    )))
}
