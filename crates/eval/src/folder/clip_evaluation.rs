//! The protocols on a model folder with a clip encoder.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bauta_backbones::{ClipEncoder, ClipFolder, ImageNormalization, Moments};
use bauta_data::video::{ClipSampling, ClipSource, Views};
use bauta_data::{LoaderConfig, OnError};
use tch::{Device, Tensor};

use super::evaluation::{EvaluationReport, Row, TOKENS};
use crate::machine::device_name;
use crate::{ClipProtocols, EncodeError, EvalError, Evaluator, Measurement, Watch};

/// Protocols on a clip encoder's features of labelled videos, with everything they need.
pub struct ClipFolderEvaluation<'a> {
    /// The model folder, read.
    pub folder: &'a ClipFolder,
    /// Its location.
    pub model: &'a Path,
    /// The name of the data set.
    pub data: &'static str,
    /// Labelled videos to learn from.
    pub train: Arc<dyn ClipSource>,
    /// Labelled videos to measure on.
    pub test: Arc<dyn ClipSource>,
    /// Index of the only label set to measure; all if not given.
    pub label: Option<usize>,
    /// The protocols.
    pub evaluators: Vec<Box<dyn Evaluator>>,
    /// How the frames of a clip are chosen; their number is the model's.
    pub sampling: ClipSampling,
    /// The views of each video, over which features are averaged.
    pub views: Views,
    /// What to do with a video that cannot be decoded.
    pub on_error: OnError,
    /// Also measure the pixels themselves and the same network at random weights.
    pub baselines: bool,
    /// Seed of the protocols' random choices and of the baseline's random weights.
    pub seed: u64,
    /// Device of the tensors.
    pub device: Device,
    /// Threads of libtorch and of the loader.
    pub threads: usize,
}

impl ClipFolderEvaluation<'_> {
    /// Measures the model, and its baselines if requested.
    ///
    /// # Errors
    /// When folder, videos and protocols do not fit each other, or the watch ends it.
    pub fn run(self, watch: &dyn Watch) -> Result<EvaluationReport, EvalError> {
        let start = Instant::now();
        let Self { folder, model, data, views, seed, device, threads, .. } = self;
        check_clip_channels(folder, model, &*self.train)?;
        let [mean, deviation] = folder.statistics();
        let normalization = ImageNormalization::new(mean, deviation, device)?;
        let (_parameters, encoder) = folder.encoder(device)?;
        let [frames, height, width] = encoder.clip();
        let batch = (TOKENS / (encoder.places() * views.count())).max(1);
        let loader = LoaderConfig::new(batch, height, width);
        let (training_videos, test_videos) = (self.train.len(), self.test.len());
        let protocols = ClipProtocols {
            evaluators: self.evaluators,
            sources: [self.train, self.test],
            label: self.label,
            sampling: self.sampling,
            views,
            loader: LoaderConfig { seed, threads, on_error: self.on_error, ..loader },
            device,
            watch,
        };
        if protocols.sets().next().is_none() {
            return Err(EvalError::Unsuitable(format!(
                "the videos of {data} have no labels of two classes or more, but every protocol \
                 needs them; put them into one subfolder per class"
            )));
        }
        protocols.check()?;

        let mut results = Vec::new();
        let mut add = |of, features, found: Vec<Measurement>| {
            results.extend(found.into_iter().map(|measurement| Row { of, features, measurement }));
        };
        let measure = |name, encoder: &ClipEncoder| {
            protocols.measurements(name, &|pixels: &Tensor| -> Result<Tensor, EncodeError> {
                Ok(encoder.features(&normalization.normalize(pixels), Moments::Running, None)?)
            })
        };
        let said = encoder.describe();
        add("model", said, measure("model", &encoder)?);
        if self.baselines {
            add("raw_pixels", "pixels", protocols.raw_pixel_measurements()?);
            let (_parameters, untrained) = folder.untrained(seed, device)?;
            add("random_init", said, measure("random init", &untrained)?);
        }
        let Views { clips, crops } = views;
        Ok(EvaluationReport {
            model: model.to_path_buf(),
            data,
            views: Some(format!("{clips} × {crops} views of {frames} frames")),
            image_size: [height, width],
            model_image_size: [height, width],
            interpolated: false,
            normalization: "the model's config.json".to_owned(),
            training_images: training_videos,
            test_images: test_videos,
            version: env!("CARGO_PKG_VERSION"),
            device: device_name(device),
            threads,
            seconds: start.elapsed().as_secs_f64(),
            results,
        })
    }
}

/// Refuses videos whose number of channels differs from the model's.
///
/// # Errors
/// [`EvalError::Unsuitable`] with both numbers.
pub(crate) fn check_clip_channels(
    folder: &ClipFolder,
    model: &Path,
    videos: &dyn ClipSource,
) -> Result<(), EvalError> {
    let (found, wanted) = (videos.channels(), folder.channels());
    if found == wanted {
        return Ok(());
    }
    Err(EvalError::Unsuitable(format!(
        "{} takes clips of {wanted} channels, the videos have {found}",
        model.display()
    )))
}
