//! A video masked autoencoder's reconstructions of clips from a user's video file.

use std::fs;
use std::sync::Arc;

use bauta_backbones::{Encode, ImageNormalization, TokenIndices, VideoFolder};
use bauta_data::video::{
    ClipLoader, ClipSampling, ClipSource, Ffmpeg, VideoFiles, VideoOptions, Views,
};
use bauta_data::{DataError, LoaderConfig, OnError};
use bauta_masking::{MaskPlan, RandomMask};
use bauta_targets::{ClipTarget, target_frames};
use tch::Kind;

use super::Reconstruct;
use crate::batch::host_tensor;
use crate::{ClipReconstructions, EvalError, Picture};

/// Maximum number of clips of a video that are shown.
const MOST_CLIPS: usize = 6;

/// Milliseconds that each frame of the animation is shown.
const DELAY: u16 = 250;

/// Draws `reconstructions.png`, all predicted frames of clips spread evenly over the video,
/// and `moving.png`.
///
/// A clip spans as many seconds as MAE-ST's: every fourth frame at 30 frames per second. For a
/// model of greyscale frames, the channels are averaged.
pub(super) fn reconstruct(
    options: &Reconstruct,
    ffmpeg: &dyn Fn() -> Result<Ffmpeg, DataError>,
) -> Result<String, EvalError> {
    let Reconstruct { model, root, out, ratio, seed, count, device } = options;
    let folder = VideoFolder::read(model)?;
    let config = folder.config();
    let (_parameters, encoder, decoder) = folder.autoencoder(*device)?;
    let (grid, vit) = (encoder.grid(), &encoder.config().vit);
    let channels = vit.channels;
    if ![1, 3].contains(&channels) {
        let message = format!("clips of {channels} channels cannot be drawn");
        return Err(EvalError::Unsuitable(message));
    }
    let chosen =
        target_frames(config.target_frames, config.num_frames, config.num_predicted_frames);
    let target = ClipTarget::new(grid, channels, &chosen, config.norm_pix_loss, *device)?;
    let normalization = ImageNormalization::new(&config.image_mean, &config.image_std, *device)?;
    let ratio = ratio.unwrap_or(config.mask_ratio);
    let strategy = RandomMask::new(grid, ratio)?;

    let source = VideoFiles::files(vec![root.clone()], ffmpeg()?, &VideoOptions::default())?;
    let source: Arc<dyn ClipSource> = Arc::new(source);
    let views = Views { clips: (*count).clamp(1, MOST_CLIPS), crops: 1 };
    let sampling = ClipSampling { frames: config.num_frames, ..ClipSampling::default() };
    let loader = LoaderConfig {
        on_error: OnError::Stop,
        ..LoaderConfig::new(1, vit.image_height, vit.image_width)
    };
    let loader = ClipLoader::for_evaluation(source, sampling, views, loader)?;
    let batch = loader.batches(0..1, |batch| batch).next();
    let batch = batch.ok_or_else(|| EvalError::Unsuitable("there is no video".to_owned()))??;
    let plan = MaskPlan::draw(&strategy, *seed, 0, &batch.samples)?;
    let indices = TokenIndices::new(&plan, *device);

    let _no_grad = tch::no_grad_guard();
    let mut pixels = host_tensor(&batch.pixels);
    if channels == 1 && pixels.size()[1] != 1 {
        let mean = pixels.to_kind(Kind::Float).mean_dim([1_i64].as_slice(), true, None);
        pixels = mean.round().to_kind(Kind::Uint8);
    }
    let clips = normalization.normalize(&pixels);
    let latent = encoder.encode(&clips, Encode::visible(&indices))?;
    let predicted = target.to_frames(&decoder.predict_all(&latent, &indices)?, &clips)?;
    let mask = target.mask_of_frames(&indices.mask(), vit.patch_size);
    let shown = ClipReconstructions::new(
        &target.choose(&pixels),
        &normalization.to_pixels(&predicted),
        &mask,
    )?;
    fs::create_dir_all(out).map_err(|source| EvalError::Write { path: out.clone(), source })?;
    shown.sheet(64).write_png(&out.join("reconstructions.png"))?;
    Picture::write_moving(&shown.frames(128), DELAY, &out.join("moving.png"))?;
    Ok(format!(
        "{} clips of {} at ratio {ratio}, seed {seed}: reconstructions.png and moving.png in {}",
        views.clips,
        root.display(),
        out.display()
    ))
}
