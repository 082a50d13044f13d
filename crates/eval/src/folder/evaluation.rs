//! The protocols on a model folder, and a report of the results.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bauta_backbones::{ImageEncoder, Pooling};
use bauta_data::{DatasetName, LoaderConfig, Source};
use serde::Serialize;
use tch::{Device, Tensor};

use super::feature_model::FeatureModel;
use super::images::normalization;
use super::said_framing::framing_of;
use crate::encoded::image_features;
use crate::json::write_json;
use crate::machine::device_name;
use crate::{EVALUATION_BATCH, EvalError, Evaluator, FeatureStore, Measurement, Protocols, Watch};

/// Maximum side of an image.
const LONGEST_SIDE: usize = 8192;
/// Maximum number of tokens of an image: 256 × 256.
const MOST_TOKENS: usize = 1 << 16;
/// Maximum number of tokens in one forward pass: images with many tokens have smaller batches.
pub(super) const TOKENS: usize = 64 * EVALUATION_BATCH;
/// Tokens that an image counts for in a residual network, whose first maps are large.
const RESIDUAL: usize = 196;

/// Protocols on the features of a model folder, with everything they need.
pub struct FolderEvaluation<'a> {
    /// The model folder, read.
    pub folder: &'a FeatureModel,
    /// Its location.
    pub model: &'a Path,
    /// The data set of the images.
    pub data: DatasetName,
    /// Labelled images to learn from.
    pub train: Arc<dyn Source>,
    /// Labelled images to measure on.
    pub test: Arc<dyn Source>,
    /// The protocols.
    pub evaluators: Vec<Box<dyn Evaluator>>,
    /// How an image's tokens are pooled into its feature.
    pub pooling: Pooling,
    /// Height and width that images are resized to.
    ///
    /// If not given: the model's size if its folder says how images are resized; otherwise the size
    /// of the data's images if they share one that divides into whole patches; otherwise the
    /// model's size.
    pub image_size: Option<[usize; 2]>,
    /// Also measure the pixels themselves and the same network at random weights.
    pub baselines: bool,
    /// Seed of the protocols' random choices and of the baseline's random weights.
    pub seed: u64,
    /// Device of the tensors.
    pub device: Device,
    /// Threads of libtorch and of the loader.
    pub threads: usize,
    /// Where features are stored while they are measured.
    pub store: FeatureStore,
}

/// The results, with everything they depend on.
#[derive(Clone, Debug, Serialize)]
pub struct EvaluationReport {
    pub(super) model: PathBuf,
    pub(super) data: &'static str,
    /// For videos, a description of the views of each video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) views: Option<String>,
    pub(super) image_size: [usize; 2],
    /// The image size of the model's position embeddings.
    pub(super) model_image_size: [usize; 2],
    #[serde(skip)]
    pub(super) interpolated: bool,
    pub(super) normalization: String,
    pub(super) training_images: usize,
    pub(super) test_images: usize,
    pub(super) version: &'static str,
    pub(super) device: String,
    pub(super) threads: usize,
    pub(super) seconds: f64,
    pub(super) results: Vec<Row>,
}

/// One number, and the features it was measured on.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    /// `model`, `raw_pixels` or `random_init`.
    pub(super) of: &'static str,
    pub(super) features: &'static str,
    #[serde(flatten)]
    pub(super) measurement: Measurement,
}

impl FolderEvaluation<'_> {
    /// Measures the model, and its baselines if requested.
    ///
    /// # Errors
    /// When folder, images and protocols do not fit each other, or the watch ends it.
    pub fn run(self, watch: &dyn Watch) -> Result<EvaluationReport, EvalError> {
        let start = Instant::now();
        let Self { folder, model, data, train, test, evaluators, pooling, store, .. } = self;
        let said = folder.describe(pooling)?;
        let Self { image_size, baselines, seed, device, threads, .. } = self;
        let own = folder.image_size();
        let framed = folder.preprocessing().map(|said| said.framing()).transpose()?.flatten();
        let [height, width] = match image_size {
            Some(size) => size,
            None if framed.is_some() => own,
            None => own_size(data, &*train, folder)?,
        };
        check_size([height, width], folder.multiple_of())?;
        let framing = framing_of(folder.preprocessing(), [height, width], image_size.is_some())
            .map_err(|error| error.at(model.display().to_string()))?;
        let (normalization, by) =
            normalization(model, &train.statistics(), train.sample_type(), device)?;
        let channels = train.channels();
        if normalization.channels() != channels {
            let found = normalization.channels();
            let message = format!(
                "the normalisation by {by} has {found} channels, but the images have {channels}"
            );
            return Err(EvalError::Unsuitable(message));
        }
        let sized = Some([height, width]);
        let (_parameters, encoder) = folder.encoder(device, sized).map_err(|error| {
            let place = format!(
                "{} on images of {height} × {width}; choose another image_size",
                model.display()
            );
            EvalError::from(error).at(place)
        })?;
        let tokens = encoder.transformer().map_or(RESIDUAL, |_| encoder.grid().tokens());
        let batch = (TOKENS / tokens).clamp(1, EVALUATION_BATCH);
        let loader = LoaderConfig::new(batch, height, width);
        let loader = LoaderConfig { seed, threads, framing, ..loader };
        let protocols = Protocols::new(evaluators, [&train, &test], loader, device, watch)?;
        let protocols = protocols.storing(store);

        let mut results = Vec::new();
        let mut add = |of, features, found: Vec<Measurement>| {
            results.extend(found.into_iter().map(|measurement| Row { of, features, measurement }));
        };
        let measure = |name, encoder: &dyn ImageEncoder| {
            protocols.measure(name, &|pixels: &Tensor| {
                Ok(image_features(encoder, &normalization, pooling, pixels)?)
            })
        };
        add("model", said, measure("model", &*encoder)?);
        if baselines {
            add("raw_pixels", "pixels", protocols.measure_raw_pixels()?);
            let (_parameters, untrained) = folder.untrained(seed, device, sized)?;
            add("random_init", said, measure("random init", &*untrained)?);
        }
        Ok(EvaluationReport {
            model: model.to_path_buf(),
            data: data.into(),
            views: None,
            image_size: [height, width],
            model_image_size: own,
            interpolated: folder.has_positions() && own != [height, width],
            normalization: by.to_string(),
            training_images: train.len(),
            test_images: test.len(),
            version: env!("CARGO_PKG_VERSION"),
            device: device_name(device),
            threads,
            seconds: start.elapsed().as_secs_f64(),
            results,
        })
    }
}

/// Refuses images of unreasonable size before anything is allocated.
fn check_size([height, width]: [usize; 2], patch: [usize; 2]) -> Result<(), EvalError> {
    let sides = 1..=LONGEST_SIDE;
    let message = if !sides.contains(&height) || !sides.contains(&width) {
        format!("each side must be from 1 to {LONGEST_SIDE} pixels")
    } else if patch != [1, 1] && (height / patch[0]) * (width / patch[1]) > MOST_TOKENS {
        format!("patches of {} × {} pixels may be at most {MOST_TOKENS}", patch[0], patch[1])
    } else {
        return Ok(());
    };
    Err(EvalError::Unsuitable(format!("image_size is {height} × {width}; {message}")))
}

/// The size that images are resized to if none is given.
fn own_size(
    data: DatasetName,
    images: &dyn Source,
    model: &FeatureModel,
) -> Result<[usize; 2], EvalError> {
    let own = model.image_size();
    if data.package().is_some() {
        let size = images.size(0)?;
        if size.iter().zip(model.multiple_of()).all(|(&side, of)| side.is_multiple_of(of)) {
            return Ok(size);
        }
    }
    tracing::info!("images are brought to the model's own size, {} × {}", own[0], own[1]);
    Ok(own)
}

impl EvaluationReport {
    /// Writes everything as JSON atomically.
    ///
    /// # Errors
    /// [`EvalError::Write`] when the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), EvalError> {
        write_json(self, path)
    }

    /// The numbers, by model and metric.
    pub fn values(&self) -> impl Iterator<Item = (&str, &str, f64)> {
        self.results.iter().map(|Row { of, measurement, .. }| {
            (*of, measurement.metric.as_str(), measurement.value)
        })
    }
}

/// A table for the terminal: what all numbers share, then one line per number.
impl fmt::Display for EvaluationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [height, width] = self.image_size;
        let [own_height, own_width] = self.model_image_size;
        let samples = if self.views.is_some() { "videos" } else { "images" };
        write!(f, "{} on {}, {samples} of {height} × {width}", self.model.display(), self.data)?;
        if let Some(views) = &self.views {
            write!(f, ", {views}")?;
        }
        if self.interpolated {
            write!(f, " (positions interpolated from {own_height} × {own_width})")?;
        }
        writeln!(f, "\npixels normalised by {}\n", self.normalization)?;
        writeln!(
            f,
            "{:9} {:22} {:>7}  {:11} {:24} {:>8} {:>8} {:>5}",
            "protocol", "metric", "value", "of", "features", "train", "test", "seed"
        )?;
        for Row { of, features, measurement } in &self.results {
            let Measurement { protocol, metric, value, training_images, test_images, seed, .. } =
                measurement;
            writeln!(
                f,
                "{protocol:9} {metric:22} {value:7.4}  {of:11} {features:24} {training_images:8} \
                 {test_images:8} {seed:5}"
            )?;
        }
        writeln!(
            f,
            "\ntrain: labelled training {samples} used; test: {samples} of the test split"
        )?;
        let mut said = Vec::new();
        for Row { measurement, .. } in &self.results {
            let line = format!("{}: {}", measurement.protocol, measurement.settings);
            if !said.contains(&line) {
                writeln!(f, "{line}")?;
                said.push(line);
            }
        }
        let cores = if self.threads == 1 { "thread" } else { "threads" };
        writeln!(f, "{:.0} s on {}, {} {cores}", self.seconds, self.device, self.threads)
    }
}
