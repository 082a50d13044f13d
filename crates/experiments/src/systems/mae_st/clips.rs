//! The videos of a run, and batches of clips with masks of their own.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bauta_backbones::TokenIndices;
use bauta_data::video::{
    ClipAugment, ClipBatch, ClipDataset, ClipLoader, ClipSampling, ClipSource, ClipSubset, Ffmpeg,
    Views, open_clips,
};
use bauta_data::{Inputs, LoaderConfig};
use bauta_eval::host_tensor;
use bauta_libtorch::on_one_thread;
use bauta_masking::{MaskPlan, MaskStrategy};
use bauta_recipe::{ClipEval, MaeSt as Settings, Train};
use tch::{Device, Tensor};

/// Maximum number of batches of clips that are prepared ahead: one video can cost many times as
/// much to decode as another, which a short queue does not even out.
const AHEAD: usize = 16;

/// Bytes of pixels that they can take, if that allows more than the usual queue.
const BYTES_AHEAD: usize = 256 << 20;

/// The videos of a run: both splits, and how clips are cut from them.
pub struct Clips {
    /// The training videos.
    pub train: Arc<dyn ClipSource>,
    /// The test videos, if there are any.
    pub test: Option<Arc<dyn ClipSource>>,
    /// Seed, batch size, size of the frames, and threads.
    pub loader: LoaderConfig,
    /// Which frames a clip has.
    pub sampling: ClipSampling,
    /// Clips that are cut from each video in a step.
    pub repeats: usize,
    /// The measurements on them.
    pub eval: ClipEval,
    /// Device of the tensors.
    pub device: Device,
    /// The mask strategy of each epoch, the last one from there on.
    strategies: Vec<Arc<dyn MaskStrategy>>,
    augment: ClipAugment,
}

/// Clips with their masked tokens, on the device.
#[derive(Debug)]
pub struct MaskedClips {
    /// u8 pixels [N, C, T, H, W].
    pub pixels: Tensor,
    /// Which of their tokens are masked.
    pub indices: TokenIndices,
}

impl Clips {
    /// Opens the videos of a recipe.
    ///
    /// # Errors
    /// When they are missing or incomplete.
    pub fn open(
        settings: &Settings,
        train: &Train,
        seed: u64,
        threads: usize,
        device: Device,
    ) -> Result<Self> {
        let data = &settings.data;
        let cache = bauta_data::cache_root()?;
        let roots = folders(data.name, data.root.as_deref(), &cache)?;
        let ffmpeg = || Ffmpeg::find(&cache);
        let splits = open_clips(data.name, &roots, &ffmpeg, &data.options())?;
        splits.notes.iter().for_each(|note| tracing::info!("{note}"));
        let size = data.image_size;
        let loader = LoaderConfig::new(train.batch_size, size.height(), size.width());
        let frames = train.batch_size * data.repeats * data.clip.frames;
        let batch = (3 * frames * size.height() * size.width()).max(1);
        let queue = (BYTES_AHEAD / batch).clamp(loader.queue, AHEAD);
        Ok(Self {
            train: spread(splits.train, data.limit),
            test: splits.test,
            loader: LoaderConfig { seed, threads, on_error: data.on_error, queue, ..loader },
            sampling: data.clip.clone(),
            repeats: data.repeats,
            eval: settings.eval.clone(),
            device,
            strategies: settings.mask.build_all(settings.grid()?, train.epochs)?,
            augment: data.augment.clone().unwrap_or_else(|| data.name.usual_augment()),
        })
    }

    /// Batches in an epoch of the training videos.
    pub(super) fn batches_per_epoch(&self) -> u64 {
        (self.train.len() / self.loader.batch_size) as u64
    }

    /// Training clips, before masking.
    ///
    /// # Errors
    /// When there are fewer videos than a batch holds, or a setting is out of its range.
    pub fn training(&self) -> Result<ClipLoader> {
        let (source, config) = (Arc::clone(&self.train), self.loader.clone());
        let (sampling, augment) = (self.sampling.clone(), self.augment.clone());
        Ok(ClipLoader::new(source, sampling, augment, self.repeats, config)?)
    }

    /// Training batches as inputs of a phase, masks drawn on the loader's threads.
    ///
    /// # Errors
    /// As [`Self::training`].
    pub(super) fn inputs(&self) -> Result<impl FnMut(Range<u64>) -> Inputs<MaskedClips> + use<>> {
        let (loader, masks) = (self.training()?, self.masks());
        Ok(move |steps: Range<u64>| loader.batches(steps, on_one_thread(masks.clone())))
    }

    /// Draws the masks of training batches, by the strategy of their epoch.
    pub fn masks(&self) -> impl Fn(ClipBatch) -> MaskedClips + Clone + Send + Sync + use<> {
        self.masks_by(&self.strategies)
    }

    /// The first test videos' clips with masks of epoch 0, or training videos' if none are held
    /// out; `None` if the recipe asks for no pictures.
    ///
    /// # Errors
    /// When videos cannot be read.
    pub(super) fn shown(&self) -> Result<Option<MaskedClips>> {
        let source = self.test.as_ref().unwrap_or(&self.train);
        let count = self.eval.pictures.count.min(source.len());
        if count == 0 {
            return Ok(None);
        }
        let config = LoaderConfig { batch_size: count, ..self.loader.clone() };
        let (source, sampling) = (Arc::clone(source), self.sampling.clone());
        let loader = ClipLoader::for_evaluation(source, sampling, Views::ONE, config)?;
        let last = &self.strategies[self.strategies.len() - 1..];
        Ok(loader.batches(0..1, self.masks_by(last)).next().transpose()?)
    }

    /// The plan of one clip, for its counts.
    pub(super) fn sample_plan(&self) -> Result<MaskPlan> {
        Ok(MaskPlan::draw(&*self.strategies[self.strategies.len() / 2], self.loader.seed, 0, &[0])?)
    }

    fn masks_by(
        &self,
        strategies: &[Arc<dyn MaskStrategy>],
    ) -> impl Fn(ClipBatch) -> MaskedClips + Clone + Send + Sync + use<> {
        let strategies = strategies.to_vec();
        let (seed, device) = (self.loader.seed, self.device);
        move |batch: ClipBatch| {
            // Each clip has its own number, so the repeats of a video have different masks.
            let strategy = &strategies[(batch.epoch as usize).min(strategies.len() - 1)];
            let plan = MaskPlan::draw(&**strategy, seed, batch.epoch, &batch.samples)
                .expect("recipes name strategies that mask a fixed number of tokens");
            MaskedClips {
                pixels: host_tensor(&batch.pixels).to_device(device),
                indices: TokenIndices::new(&plan, device),
            }
        }
    }
}

/// At most `limit` videos, spread over the source.
pub(super) fn spread(source: Arc<dyn ClipSource>, limit: Option<usize>) -> Arc<dyn ClipSource> {
    match limit {
        Some(limit) => Arc::new(ClipSubset::spread(source, limit)),
        None => source,
    }
}

/// The folders of a data set of videos: the user's, or those in the cache.
///
/// # Errors
/// When they are incomplete in the cache, or the user must name one.
pub(super) fn folders(
    name: ClipDataset,
    root: Option<&Path>,
    cache: &Path,
) -> Result<Vec<PathBuf>> {
    if let Some(root) = root {
        return Ok(vec![root.to_owned()]);
    }
    let packages = name.packages();
    ensure!(!packages.is_empty(), "{name} reads your own folder; give it with --set data.root=DIR");
    let located = packages.into_iter().map(|package| {
        bauta_data::locate(package, cache).with_context(|| {
            format!(
                "{name} is incomplete in the data cache; run `cargo xtask run` or `cargo xtask \
                 data fetch`"
            )
        })
    });
    located.collect()
}
