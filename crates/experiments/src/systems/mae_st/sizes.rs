//! Sizes of the networks that a recipe describes, as the libraries' own types.

use anyhow::Result;
use bauta_backbones::{
    DecoderClassToken, MaeDecoderConfig, TargetFrames, VideoConfig, VideoDecoderConfig,
    VideoModelConfig, VideoPositions, VitConfig,
};
use bauta_recipe::{ClassToken, MaeSt as Settings, PredictedFrames, SpacetimePositions};

use super::Clips;

/// The networks of a recipe on these clips.
pub(super) fn config(settings: &Settings, clips: &Clips) -> Result<VideoModelConfig> {
    let (model, table) = (&settings.model, &settings.decoder);
    let statistics = clips.train.statistics();
    let vit = VitConfig {
        image_height: clips.loader.height,
        image_width: clips.loader.width,
        channels: clips.train.channels(),
        mlp_dim: (model.mlp_ratio * model.dim as f64) as usize,
        ..VitConfig::new(0, model.patch_size, model.dim, model.depth, model.heads)
    };
    let encoder = VideoConfig {
        positions: positions(model.positions),
        ..VideoConfig::new(settings.data.clip.frames, model.patch_frames, vit)
    };
    let steps = encoder.grid()?.time();
    let predicted = settings.target.count.unwrap_or(steps);
    let outputs = predicted / steps * encoder.vit.patch_values();
    let decoder = VideoDecoderConfig {
        mae: MaeDecoderConfig::new(model.dim, table.dim, table.depth, table.heads, outputs),
        positions: positions(table.positions),
        class_token: match table.class_token {
            ClassToken::Own => DecoderClassToken::Own,
            ClassToken::Encoder => DecoderClassToken::Encoder,
        },
    };
    Ok(VideoModelConfig {
        target_frames: match settings.target.frames {
            PredictedFrames::Linspace => TargetFrames::Linspace,
            PredictedFrames::Stride => TargetFrames::Stride,
        },
        norm_pix_loss: settings.target.normalizes(),
        mask_ratio: settings.mask.last_ratio(),
        image_mean: statistics.mean.to_vec(),
        image_std: statistics.std.to_vec(),
        ..VideoModelConfig::new(&encoder, Some(&decoder))
    })
}

fn positions(named: SpacetimePositions) -> VideoPositions {
    match named {
        SpacetimePositions::Separable => VideoPositions::Separable,
        SpacetimePositions::Joint => VideoPositions::Joint,
        SpacetimePositions::SineCosine => VideoPositions::SineCosine,
    }
}
