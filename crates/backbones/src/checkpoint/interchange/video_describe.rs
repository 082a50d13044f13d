//! Inferring a video transformer's description from the shapes of weights that came without one.

use std::collections::HashMap;

use tch::Tensor;

use super::VideoModelConfig;
use super::describe::{known, sides_of};
use super::encoder_sizes::check_size;
use super::fit::depth;
use crate::{
    DecoderClassToken, ImportOptions, MaeDecoderConfig, ModelError, VideoConfig,
    VideoDecoderConfig, VideoPositions, VitConfig,
};

const EMBED: &str = "patch_embed.proj.weight";

/// Whether these are weights of a video transformer: they embed patches of several frames.
pub(super) fn is_video(tensors: &HashMap<String, Tensor>) -> bool {
    tensors.get(EMBED).is_some_and(|kernel| kernel.dim() == 5)
}

/// Describes weights under our names. If `options` do not give the decoder's heads, there are 16 in
/// mae_st's files, and they are 64 wide in PySlowFast's.
///
/// # Errors
/// [`ModelError::Config`] when a tensor that sizes are read from is missing, or when shapes and
/// `options` leave a size open.
pub(super) fn describe(
    tensors: &HashMap<String, Tensor>,
    options: ImportOptions,
) -> Result<VideoModelConfig, ModelError> {
    let sides = |name: &str| sides_of(tensors, name);
    let has = |name: &str| tensors.contains_key(name);
    let [dim, channels, patch_frames, patch, across] = known(&sides(EMBED)?, EMBED)?;
    if patch != across || patch == 0 {
        let message = format!("patches of {patch} × {across} pixels are not square");
        return Err(ModelError::Config(message));
    }
    let [height, width] = options.image_size.map_or([None; 2], |sides| sides.map(Some));
    for (what, size) in [
        ("the weights' width", Some(dim)),
        ("the weights' number of channels", Some(channels)),
        ("the weights' frames of a patch", Some(patch_frames)),
        ("the weights' patch size", Some(patch)),
        ("image_size", height),
        ("image_size", width),
        ("frames", options.frames),
    ] {
        size.map_or(Ok(()), |size| check_size(what, size)).map_err(ModelError::Config)?;
    }
    let rows_of = |name: &str| {
        let [_, rows, _] = known(&sides(name)?, name)?;
        check_size(&format!("the number of rows of {name}"), rows).map_err(ModelError::Config)?;
        Ok::<usize, ModelError>(rows)
    };
    let (positions, frames, places) = if has("pos_embed_spatial") {
        let (places, steps) = (rows_of("pos_embed_spatial")?, rows_of("pos_embed_temporal")?);
        (VideoPositions::Separable, steps * patch_frames, places)
    } else {
        let tokens = rows_of("pos_embed")? - 1;
        // The frame size gives the tokens per time step, and hence the number of steps.
        let per_step = options.image_size.map(|[height, width]| (height / patch) * (width / patch));
        let implied = per_step.map(|places| tokens / places.max(1) * patch_frames);
        let frames = options.frames.or(implied).unwrap_or(16);
        (VideoPositions::Joint, frames, tokens * patch_frames / frames.max(1))
    };
    let side = places.isqrt();
    let [image_height, image_width] = match options.image_size {
        Some(said) => said,
        None if side * side == places => [side * patch; 2],
        None => {
            return Err(ModelError::Config(format!(
                "{places} patches of a frame do not form a square; give the height and width of \
                 the frames (image_size)"
            )));
        }
    };
    let heads = options.heads.or(usual_heads(dim)).ok_or_else(|| {
        ModelError::Config(format!(
            "the width {dim} does not determine the number of heads; give it (heads)"
        ))
    })?;
    let [mlp_dim, _] = known(&sides("blocks.0.mlp.fc1.weight")?, "blocks.0.mlp.fc1")?;
    let depth = depth(tensors, "blocks.").map_err(ModelError::Config)?;
    let vit = VitConfig {
        image_height,
        image_width,
        channels,
        mlp_dim,
        qkv_bias: has("blocks.0.attn.qkv.bias"),
        ..VitConfig::new(0, patch, dim, depth, heads)
    };
    let encoder = VideoConfig {
        positions,
        class_token: has("cls_token"),
        final_norm: has("norm.weight"),
        ..VideoConfig::new(frames, patch_frames, vit)
    };
    let decoder = match has("decoder_embed.weight") {
        true => Some(decoder(tensors, &encoder, options.decoder_heads)?),
        false => None,
    };
    let config = VideoModelConfig::new(&encoder, decoder.as_ref());
    let slowfast = decoder.is_some_and(|d| d.class_token == DecoderClassToken::Encoder);
    Ok(VideoModelConfig {
        norm_pix_loss: options.norm_pix_loss,
        target_frames: if slowfast { super::TargetFrames::Stride } else { Default::default() },
        ..config
    })
}

fn decoder(
    tensors: &HashMap<String, Tensor>,
    encoder: &VideoConfig,
    heads: Option<usize>,
) -> Result<VideoDecoderConfig, ModelError> {
    let has = |name: &str| tensors.contains_key(name);
    let [dim, _] = known(&sides_of(tensors, "decoder_embed.weight")?, "decoder_embed")?;
    let [outputs, _] = known(&sides_of(tensors, "decoder_pred.weight")?, "decoder_pred")?;
    for (what, size) in [("decoder's width", dim), ("decoder's outputs", outputs)] {
        check_size(&format!("the weights' {what}"), size).map_err(ModelError::Config)?;
    }
    let depth = super::fit::depth(tensors, "decoder_blocks.").map_err(ModelError::Config)?;
    let own = has("decoder_cls_token");
    let usual = if own { 16 } else { (dim / 64).max(1) };
    let mae = MaeDecoderConfig {
        qkv_bias: encoder.vit.qkv_bias,
        ..MaeDecoderConfig::new(encoder.vit.dim, dim, depth, heads.unwrap_or(usual), outputs)
    };
    Ok(VideoDecoderConfig {
        mae,
        positions: match has("decoder_pos_embed") {
            true => VideoPositions::Joint,
            false => VideoPositions::Separable,
        },
        class_token: match own {
            true => DecoderClassToken::Own,
            false => DecoderClassToken::Encoder,
        },
    })
}

fn usual_heads(dim: usize) -> Option<usize> {
    match dim {
        384 | 768 => Some(dim / 64),
        1024 | 1280 => Some(16),
        _ => None,
    }
}
