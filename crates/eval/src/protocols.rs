//! Quality of features: protocols on the test split.
//!
//! The measured features are given by a name and a function from pixels to features.
//! So a run's trained model, a model folder and the baselines (the pixels themselves,
//! the same network at its initial weights) are measured by the same code.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bauta_data::{Loader, LoaderConfig, Source};
use serde::Serialize;
use tch::{Device, Kind, Tensor};

use crate::batch::host_tensor;
use crate::encoded::encode_into;
use crate::watch::go_on;
use crate::{EncodedData, EncodedSplit, EvalError, Evaluator, FeatureStore, Metrics, Watch};

/// The error of a caller's function from pixels to features.
pub type EncodeError = Box<dyn std::error::Error + Send + Sync>;

/// Number of images in one forward pass of a frozen encoder.
pub const EVALUATION_BATCH: usize = 500;

/// One number and everything it depends on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measurement {
    /// The protocol's name.
    pub protocol: String,
    /// A description of the settings that it depends on.
    pub settings: String,
    /// The metric's name.
    pub metric: String,
    /// Its value.
    pub value: f64,
    /// Number of labelled training images that the protocol learnt from.
    pub training_images: usize,
    /// Number of images that it was measured on.
    pub test_images: i64,
    /// The split of these images.
    pub split: &'static str,
    /// Seed of all random choices.
    pub seed: u64,
}

impl FromIterator<Measurement> for Metrics {
    fn from_iter<I: IntoIterator<Item = Measurement>>(measurements: I) -> Self {
        measurements.into_iter().map(|measured| (measured.metric, measured.value)).collect()
    }
}

/// Protocols, images and reading options: everything except the measured network.
pub struct Protocols<'a> {
    evaluators: Vec<Box<dyn Evaluator>>,
    train: Arc<dyn Source>,
    test: Arc<dyn Source>,
    loader: LoaderConfig,
    device: Device,
    watch: &'a dyn Watch,
    store: FeatureStore,
}

impl<'a> Protocols<'a> {
    /// Protocols that learn from the first source and are measured on the second, with each of
    /// the evaluators in turn.
    ///
    /// The loader's settings give the size of images and batches and the seed of the evaluators;
    /// its order has no effect.
    ///
    /// # Errors
    /// As [`check_suitable`].
    pub fn new(
        evaluators: Vec<Box<dyn Evaluator>>,
        [train, test]: [&Arc<dyn Source>; 2],
        loader: LoaderConfig,
        device: Device,
        watch: &'a dyn Watch,
    ) -> Result<Self, EvalError> {
        check_suitable(&evaluators, &**train)?;
        let (train, test) = (Arc::clone(train), Arc::clone(test));
        let store = FeatureStore::default();
        Ok(Self { evaluators, train, test, loader, device, watch, store })
    }

    /// Computes and keeps features as `store` says; by default, this process keeps all in memory.
    pub fn storing(self, store: FeatureStore) -> Self {
        Self { store, ..self }
    }

    /// Measures the features [B, D] that `encode` computes from u8 pixels [B, C, H, W]. With
    /// several processes only rank 0 measures; the others compute their share of the features and
    /// return nothing.
    ///
    /// # Errors
    /// When images cannot be read or encoded, features are not finite, or the watch ends it.
    pub fn measure(
        &self,
        name: &str,
        encode: &dyn Fn(&Tensor) -> Result<Tensor, EncodeError>,
    ) -> Result<Vec<Measurement>, EvalError> {
        // Without evaluators, no features are needed.
        if self.evaluators.is_empty() {
            return Ok(Vec::new());
        }
        let split = |source| self.encode(name, source, encode).map_err(|error| error.at(name));
        let (Some(train), Some(test)) = (split(&self.train)?, split(&self.test)?) else {
            return Ok(Vec::new());
        };
        let data = EncodedData::new(train, test, self.train.classes().len())?;
        let mut found = Vec::new();
        for evaluator in &self.evaluators {
            go_on(self.watch.stop())?;
            self.watch.begin(&format!("{}: {name}", evaluator.name()));
            let training_images = evaluator.labelled(&data.training_counts())?;
            let metrics = evaluator.evaluate_until(&data, self.loader.seed, self.watch.stop())?;
            found.extend(metrics.into_iter().map(|(metric, value)| Measurement {
                protocol: evaluator.name().to_owned(),
                settings: evaluator.settings(),
                metric,
                value,
                training_images,
                test_images: data.test().samples(),
                split: "test",
                seed: self.loader.seed,
            }));
        }
        Ok(found)
    }

    /// Measures the pixels themselves, [B, C · H · W]: the simplest baseline.
    ///
    /// # Errors
    /// As [`Self::measure`].
    pub fn measure_raw_pixels(&self) -> Result<Vec<Measurement>, EvalError> {
        let flat =
            |pixels: &Tensor| Ok(pixels.to_device(self.device).to_kind(Kind::Float).flatten(1, -1));
        self.measure("raw pixels", &flat)
    }

    /// Encodes a source in its own order, from centre crops.
    fn encode(
        &self,
        name: &str,
        source: &Arc<dyn Source>,
        encode: &dyn Fn(&Tensor) -> Result<Tensor, EncodeError>,
    ) -> Result<Option<EncodedSplit>, EvalError> {
        self.watch.begin(&format!("features of {} images: {name}", source.len()));
        let Self { loader, device, store, .. } = self;
        let encoding = Encoding { loader, device: *device, stop: self.watch.stop(), store };
        encoding.split(source, true, encode)
    }
}

/// How the features of a split are computed.
pub(crate) struct Encoding<'a> {
    pub(crate) loader: &'a LoaderConfig,
    pub(crate) device: Device,
    pub(crate) stop: &'a AtomicBool,
    pub(crate) store: &'a FeatureStore,
}

impl Encoding<'_> {
    /// Encodes a source in its own order, from centre crops; images without a class count as class
    /// 0 if they need not be `labelled`. With several processes, only rank 0 gets the features.
    pub(crate) fn split(
        &self,
        source: &Arc<dyn Source>,
        labelled: bool,
        encode: &dyn Fn(&Tensor) -> Result<Tensor, EncodeError>,
    ) -> Result<Option<EncodedSplit>, EvalError> {
        let loader = Loader::for_evaluation(Arc::clone(source), self.loader.clone())?;
        let steps = self.store.batches(loader.steps_per_epoch());
        let batches = loader.batches(steps, |batch| (host_tensor(&batch.pixels), batch.labels));
        let encoded = batches.map(|batch| -> Result<(Tensor, Vec<i64>), EvalError> {
            go_on(self.stop)?;
            let (pixels, labels) = batch?;
            let none = || (!labelled).then(|| vec![0; pixels.size()[0] as usize]);
            let labels = labels.or_else(none).ok_or_else(|| {
                EvalError::Unsuitable("the images have no labels to measure features by".to_owned())
            })?;
            Ok((tch::no_grad(|| encode(&pixels)).map_err(EvalError::Encoder)?, labels))
        });
        let mut rows = self.store.rows();
        let labels = encode_into(&mut rows, encoded, self.device, Tensor::shallow_clone)?;
        self.store.gather(rows, labels)
    }
}

/// Refuses evaluators that need more labels than the training images have, before anything
/// is trained or encoded.
///
/// # Errors
/// The evaluator's own error, with its name and that of the class that lacks images.
pub fn check_suitable(
    evaluators: &[Box<dyn Evaluator>],
    train: &dyn Source,
) -> Result<(), EvalError> {
    let counts = counts(train);
    for evaluator in evaluators {
        evaluator.labelled(&counts).map_err(|error| {
            let class = match &error {
                EvalError::TooFew { class, .. } => format!(", class {}", train.classes()[*class]),
                _ => String::new(),
            };
            error.at(format!("protocol {}{class}", evaluator.name()))
        })?;
    }
    Ok(())
}

/// Refuses training and test images that no protocol can use: each protocol needs labels of two
/// classes or more, and images of all classes in both splits.
///
/// `limits` are the limits on the number of images of each split.
///
/// # Errors
/// [`EvalError::Unsuitable`], which says what to do about the images of `data`.
pub fn check_labels(
    data: &str,
    [train, test]: [&dyn Source; 2],
    limits: [Option<usize>; 2],
) -> Result<(), EvalError> {
    let classes = train.classes().len();
    if classes == 1 {
        return Err(EvalError::Unsuitable(format!(
            "the images of {data} have only one class, {}; a protocol needs at least two",
            train.classes()[0]
        )));
    }
    for ((split, source), limit) in [("training", train), ("test", test)].into_iter().zip(limits) {
        if source.classes().len() != classes || source.label(0).is_none() {
            return Err(EvalError::Unsuitable(format!(
                "the {split} images of {data} have no labels, but every protocol needs them; put \
                 the images into one subfolder per class"
            )));
        }
        let missing = missing_classes(source);
        if !missing.is_empty() {
            let remedy = match limit {
                Some(limit) => format!("raise the limit of {limit} images"),
                None => "add images of them, or leave the classes out".to_owned(),
            };
            return Err(EvalError::Unsuitable(format!(
                "the {split} images of {data} lack {} of {classes} classes: {}; {remedy}",
                missing.len(),
                missing.join(", ")
            )));
        }
    }
    Ok(())
}

/// Warns of classes without training or without test images.
pub fn warn_of_missing_classes(train: &dyn Source, test: &dyn Source) {
    for (split, source) in [("training", train), ("test", test)] {
        let missing = missing_classes(source);
        if !missing.is_empty() {
            tracing::warn!("the {split} images lack classes: {}", missing.join(", "));
        }
    }
}

/// The names of the classes without images in a source.
pub fn missing_classes(source: &dyn Source) -> Vec<&str> {
    let counts = counts(source).into_iter();
    counts.zip(source.classes()).filter(|(n, _)| *n == 0).map(|(_, name)| name.as_str()).collect()
}

/// Number of images of each class.
fn counts(source: &dyn Source) -> Vec<usize> {
    let mut counts = vec![0; source.classes().len()];
    for label in (0..source.len()).filter_map(|index| source.label(index)) {
        counts[label as usize] += 1;
    }
    counts
}
