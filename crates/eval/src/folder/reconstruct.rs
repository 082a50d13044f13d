//! A masked autoencoder's reconstructions of a user's own images or video.

mod video;

use std::fs;
use std::path::PathBuf;

use bauta_backbones::{Encode, ModelConfig, TokenIndices, VideoFolder, patch_tokens};
use bauta_data::DataError;
use bauta_data::video::Ffmpeg;
use bauta_files::write_whole;
use bauta_masking::{MaskPlan, RandomMask};
use tch::Device;

use super::feature_model::FeatureModel;
use super::forward::pixel_target;
use super::user_images::UserImages;
use crate::batch::host_tensor;
use crate::{EvalError, Exhibit};

/// The pictures to draw, and their folder.
#[derive(Clone, Debug)]
pub struct Reconstruct {
    /// The model folder.
    pub model: PathBuf,
    /// A folder of images; for a video model, a video file.
    pub root: PathBuf,
    /// The folder of the pictures.
    pub out: PathBuf,
    /// The fraction of tokens that is masked; the model's own if not given.
    pub ratio: Option<f64>,
    /// Seed of the masks.
    pub seed: u64,
    /// Maximum number of images, the first by path; for a video, of clips, at most six.
    pub count: usize,
    /// Device of the tensors.
    pub device: Device,
}

impl Reconstruct {
    /// Draws the reconstructions and returns a description of what it wrote.
    ///
    /// For a folder of images these are `reconstructions.png` (original, visible patches,
    /// prediction) and `attention.png` (original, attention, features of the patches as
    /// colours); for a video, which `ffmpeg` decodes, `reconstructions.png` and `moving.png`.
    ///
    /// # Errors
    /// When the model has no decoder of pixels, or a file cannot be read or written.
    pub fn run(&self, ffmpeg: &dyn Fn() -> Result<Ffmpeg, DataError>) -> Result<String, EvalError> {
        if VideoFolder::describes(&self.model) {
            return video::reconstruct(self, ffmpeg);
        }
        let Self { model, root, out, ratio, seed, count, device } = self;
        let refuse = |found: &str| {
            Err(EvalError::Unsuitable(format!(
                "{} holds {found}, which has no decoder to reconstruct with; a masked autoencoder \
                 is needed",
                model.display()
            )))
        };
        let read = FeatureModel::read(model)?;
        let FeatureModel::Transformer(folder) = &read else {
            return refuse("a residual network");
        };
        let ModelConfig::VitMae(config) = folder.config() else {
            return refuse(folder.config().describe());
        };
        if config.feature_size.is_some() {
            return Err(EvalError::Unsuitable(format!(
                "the decoder of {} predicts a teacher's features, not pixels; a masked autoencoder \
                 of pixels is needed",
                model.display()
            )));
        }
        let (_parameters, encoder, decoder) = folder.masked_autoencoder(*device)?;
        let (grid, sizes) = (encoder.grid(), encoder.config());
        let target = pixel_target(config, grid);
        let size = [sizes.image_height, sizes.image_width];
        let images = UserImages::open(&read, model, root, size, *device)?;
        let normalization = &images.normalization;
        let ratio = ratio.unwrap_or(config.mask_ratio);
        let strategy = RandomMask::new(grid, ratio)?;

        let all = images.source.len();
        let count = (*count).min(all);
        let batch = images.loader(count)?.batches(0..1, |batch| batch).next();
        let none = || EvalError::Unsuitable("there are no images".to_owned());
        let batch = batch.ok_or_else(none)??;
        let plan = MaskPlan::draw(&strategy, *seed, 0, &batch.indices)?;
        let indices = TokenIndices::new(&plan, *device);

        let _no_grad = tch::no_grad_guard();
        let pixels = host_tensor(&batch.pixels);
        let input = normalization.normalize(&pixels);
        let latent = encoder.encode(&input, Encode::visible(&indices))?;
        let prediction = target.to_images(&decoder.predict_all(&latent, &indices)?, &input)?;
        let prediction = normalization.to_pixels(&prediction);
        let pixels = normalization.drawn(&pixels);
        let attention = encoder.last_attention(&input)?;
        let patches = patch_tokens(&encoder.encode(&input, Encode::whole())?);
        let shown = [
            Exhibit::reconstructions(&pixels, &prediction, &indices.mask(), grid)?,
            Exhibit::attention(&pixels, &attention, &patches, grid)?,
        ];
        fs::create_dir_all(out).map_err(|source| EvalError::Write { path: out.clone(), source })?;
        for exhibit in &shown {
            let path = out.join(exhibit.file);
            write_whole(&path, &exhibit.bytes)
                .map_err(|source| EvalError::Write { path, source })?;
        }
        Ok(format!(
            "{count} of {all} images at ratio {ratio}, seed {seed}: reconstructions.png and \
             attention.png in {}",
            out.display()
        ))
    }
}
