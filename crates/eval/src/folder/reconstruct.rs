//! What a masked autoencoder makes of a user's own images or video.

mod video;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use bauta_backbones::{Encode, ModelConfig, ModelFolder, TokenIndices, VideoFolder};
use bauta_data::video::Ffmpeg;
use bauta_data::{DataError, Loader};
use bauta_masking::{MaskPlan, RandomMask};
use tch::Device;

use super::forward::pixel_target;
use super::images::{loader_config, normalization, open};
use crate::batch::host_tensor;
use crate::{AttentionMaps, EvalError, PictureLayout, Reconstructions};

/// What is drawn of a masked autoencoder, and where.
#[derive(Clone, Debug)]
pub struct Reconstruct {
    /// The model folder.
    pub model: PathBuf,
    /// A folder of images; of a model of video, a file of video.
    pub input: PathBuf,
    /// The folder of the pictures.
    pub output: PathBuf,
    /// The fraction of tokens that is hidden; the model's own if not given.
    pub ratio: Option<f64>,
    /// Seed of the masks.
    pub seed: u64,
    /// At most so many images, the first by their paths; of a video, at most six clips.
    pub count: usize,
}

/// Draws, for a folder of images, `reconstructions.png` (original, what the
/// encoder saw, prediction) and `attention.png`; for a video, which `ffmpeg` decodes,
/// `reconstructions.png` and `moving.png`. Says what it wrote.
///
/// # Errors
/// When the model has no decoder, or a file cannot be read or written.
pub fn reconstruct(
    options: &Reconstruct,
    ffmpeg: &dyn Fn() -> Result<Ffmpeg, DataError>,
) -> Result<String, EvalError> {
    if VideoFolder::describes(&options.model) {
        return video::reconstruct(options, ffmpeg);
    }
    let Reconstruct { model, input, output, ratio, seed, count } = options;
    let folder = ModelFolder::read(model)?;
    let ModelConfig::VitMae(config) = folder.config() else {
        return Err(EvalError::Unsuitable(format!(
            "{} holds {}, which reconstructs nothing; this wants a masked autoencoder",
            model.display(),
            folder.config().describe()
        )));
    };
    let (_parameters, encoder, decoder) = folder.masked_autoencoder(Device::Cpu)?;
    let (grid, channels) = (encoder.grid(), encoder.config().channels);
    if ![1, 3].contains(&channels) {
        let message = format!("images of {channels} channels cannot be drawn");
        return Err(EvalError::Unsuitable(message));
    }
    let target = pixel_target(config, grid);
    let source = open(input, channels)?;
    let (normalization, _) = normalization(model, source.statistics(), Device::Cpu)?;
    let ratio = ratio.unwrap_or(config.mask_ratio);
    let strategy = RandomMask::new(grid, ratio)?;

    let count = (*count).min(source.len());
    let size = [encoder.config().image_height, encoder.config().image_width];
    let loader = Loader::for_evaluation(Arc::clone(&source), loader_config(count, size))?;
    let batch = loader.batches(0..1, |batch| batch).next();
    let batch = batch.ok_or_else(|| EvalError::Unsuitable("there are no images".to_owned()))??;
    let plan = MaskPlan::draw(&strategy, *seed, 0, &batch.indices)?;
    let indices = TokenIndices::new(&plan, Device::Cpu);

    let _no_grad = tch::no_grad_guard();
    let pixels = host_tensor(&batch.pixels);
    let images = normalization.normalize(&pixels);
    let latent = encoder.encode(&images, Encode::visible(&indices))?;
    let prediction = target.to_images(&decoder.predict_all(&latent, &indices)?, &images)?;
    let prediction = normalization.to_pixels(&prediction);
    let attention = encoder.last_attention(&images)?;
    fs::create_dir_all(output)
        .map_err(|source| EvalError::Write { path: output.clone(), source })?;
    let layout = PictureLayout::default();
    let drawn = Reconstructions::new(&pixels, &prediction, &indices.mask(), grid)?;
    drawn.paint(&layout).write_png(&output.join("reconstructions.png"))?;
    let maps = AttentionMaps::new(&pixels, &attention, grid)?;
    maps.paint(&layout).write_png(&output.join("attention.png"))?;
    Ok(format!(
        "{count} of {} images at ratio {ratio}, seed {seed}: reconstructions.png and \
         attention.png in {}",
        source.len(),
        output.display()
    ))
}
