//! Looking at a model folder through a user's own images: features and reconstructions.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bauta_backbones::checkpoint::write_tensors_with;
use bauta_backbones::masking::{MaskPlan, RandomMask};
use bauta_backbones::{
    ImageNormalization, ModelConfig, ModelFolder, TokenIndices, class_token, mean_of_patches,
};
use bauta_data::{DatasetName, Loader, LoaderConfig, OnError, Source, Split};
use bauta_eval::{AttentionMaps, PictureLayout, Reconstructions, join_batches};
use bauta_recipe::Features;
use tch::{Device, Kind, Tensor};

use crate::forward::pixel_target;
use crate::systems::pixels;

/// Images in one pass.
const BATCH: usize = 64;

/// Writes features of a folder of images: `features` [N, D], f32, in the order of
/// the paths, which the file's metadata lists as JSON under `files`.
///
/// Images are cut to the model's size by a centre crop. Says what it wrote.
///
/// # Errors
/// When model or images cannot be read or the file not be written.
pub fn embed(model: &Path, input: &Path, output: &Path, features: Features) -> Result<String> {
    let folder = ModelFolder::read(model)?;
    let (_parameters, encoder) = folder.image_encoder(Device::Cpu, None)?;
    let source = images(input, encoder.channels())?;
    let normalization = normalization(model, &*source)?;
    let [height, width] = encoder.image_size();
    let config =
        LoaderConfig { on_error: OnError::Stop, ..LoaderConfig::new(BATCH, height, width) };
    let loader = Loader::for_evaluation(Arc::clone(&source), config)?;
    let batches = loader.batches(0..loader.steps_per_epoch(), |batch| batch);
    let found = join_batches(batches.map(|batch| -> Result<Tensor> {
        let images = normalization.normalize(&pixels(&batch?));
        let tokens = tch::no_grad(|| encoder.tokens(&images))?;
        Ok(match features {
            Features::Cls => class_token(&tokens),
            Features::Mean => mean_of_patches(&tokens),
        })
    }))?;
    let names: Vec<String> = (0..source.len()).map(|index| source.describe(index)).collect();
    let metadata = HashMap::from([("files".to_owned(), serde_json::to_string(&names)?)]);
    write_tensors_with(output, [("features", &found)], metadata)?;
    let [images, width] = [found.size()[0], found.size()[1]];
    let what = features.describe();
    Ok(format!("{images} images, {width} values each ({what}), in {}", output.display()))
}

/// What is drawn of a masked autoencoder, and where.
#[derive(Clone, Debug)]
pub struct Reconstruct {
    /// The model folder.
    pub model: PathBuf,
    /// A folder of images.
    pub input: PathBuf,
    /// The folder of the pictures.
    pub output: PathBuf,
    /// The fraction of tokens that is hidden; the model's own if not given.
    pub ratio: Option<f64>,
    /// Seed of the masks.
    pub seed: u64,
    /// At most so many images, the first by their paths.
    pub count: usize,
}

/// Draws, for a folder of images, `reconstructions.png` (original, what the
/// encoder saw, prediction) and `attention.png`. Says what it wrote.
///
/// # Errors
/// When the model has no decoder, or a file cannot be read or written.
pub fn reconstruct(options: &Reconstruct) -> Result<String> {
    let folder = ModelFolder::read(&options.model)?;
    let ModelConfig::VitMae(config) = folder.config() else {
        bail!(
            "{} holds {}, which reconstructs nothing; this wants a masked autoencoder",
            options.model.display(),
            folder.config().describe()
        );
    };
    let (_parameters, encoder, decoder) = folder.masked_autoencoder(Device::Cpu)?;
    let (grid, channels) = (encoder.grid(), encoder.config().channels);
    ensure!([1, 3].contains(&channels), "images of {channels} channels cannot be drawn");
    let target = pixel_target(config, grid);
    let source = images(&options.input, channels)?;
    let normalization = normalization(&options.model, &*source)?;
    let ratio = options.ratio.unwrap_or(config.mask_ratio);
    let strategy = RandomMask::new(grid, ratio)?;

    let count = options.count.min(source.len());
    let config = LoaderConfig {
        on_error: OnError::Stop,
        ..LoaderConfig::new(count, encoder.config().image_height, encoder.config().image_width)
    };
    let loader = Loader::for_evaluation(Arc::clone(&source), config)?;
    let batch = loader.batches(0..1, |batch| batch).next().context("there are no images")??;
    let plan = MaskPlan::draw(&strategy, options.seed, 0, &batch.indices)?;
    let indices = TokenIndices::new(&plan, Device::Cpu);

    let _no_grad = tch::no_grad_guard();
    let pixels = pixels(&batch);
    let images = normalization.normalize(&pixels);
    let latent = encoder.forward_visible(&images, &indices)?;
    let prediction = target.to_images(&decoder.predict_all(&latent, &indices)?, &images)?;
    let prediction = normalization.to_pixels(&prediction);
    let attention = encoder.last_attention(&images)?;
    let originals = pixels.to_kind(Kind::Float) / 255.0;
    fs::create_dir_all(&options.output)
        .with_context(|| format!("cannot make the folder {}", options.output.display()))?;
    let layout = PictureLayout::default();
    let drawn = Reconstructions::new(&originals, &prediction, &indices.mask(), grid)?;
    drawn.paint(&layout).write_png(&options.output.join("reconstructions.png"))?;
    let maps = AttentionMaps::new(&originals, &attention, grid)?;
    maps.paint(&layout).write_png(&options.output.join("attention.png"))?;
    Ok(format!(
        "{count} of {} images at ratio {}, seed {}: reconstructions.png and attention.png in {}",
        source.len(),
        ratio,
        options.seed,
        options.output.display()
    ))
}

fn images(input: &Path, channels: usize) -> Result<Arc<dyn Source>> {
    let source = bauta_data::open(DatasetName::Folder, Split::Train, input)?;
    let found = source.channels();
    ensure!(found == channels, "images have {found} channels, the model wants {channels}");
    Ok(source)
}

/// As the model's `preprocessor_config.json` says, or by the images' own statistics.
fn normalization(model: &Path, source: &dyn Source) -> Result<ImageNormalization> {
    Ok(match ModelFolder::preprocessing(model)? {
        Some(said) => ImageNormalization::new(&said.image_mean, &said.image_std, Device::Cpu)?,
        None => {
            let statistics = source.statistics();
            tracing::info!(
                "{}: no preprocessor_config.json; images are normalised by mean {:?} and deviation {:?}",
                model.display(),
                statistics.mean,
                statistics.std
            );
            ImageNormalization::new(statistics.mean, statistics.std, Device::Cpu)?
        }
    })
}
