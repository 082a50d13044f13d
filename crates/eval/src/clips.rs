//! Quality of clip features: protocols on each label set of the test videos, as
//! [`Protocols`](crate::Protocols) measure image features.

use std::sync::Arc;

use bauta_data::LoaderConfig;
use bauta_data::video::{ClipLoader, ClipSampling, ClipSource, LabelSet, Views};
use tch::{Device, Kind, Tensor};

use crate::batch::host_tensor;
use crate::watch::go_on;
use crate::{
    EncodeError, EncodedData, EncodedSplit, EvalError, Evaluator, Measurement, Metrics, Watch,
};

/// The clips to measure, and the protocols.
pub struct ClipProtocols<'a> {
    /// Evaluators that learn from the training videos and are measured on the test videos.
    pub evaluators: Vec<Box<dyn Evaluator>>,
    /// The training and the test videos.
    pub sources: [Arc<dyn ClipSource>; 2],
    /// Index of the only label set to measure; all if not given.
    pub label: Option<usize>,
    /// How the frames of a clip are chosen.
    pub sampling: ClipSampling,
    /// The views of each video, over which features are averaged.
    pub views: Views,
    /// Size of the frames, videos per batch, threads; its seed is also that of the evaluators.
    pub loader: LoaderConfig,
    /// The device for features and measurements.
    pub device: Device,
    /// The observer of the progress.
    pub watch: &'a dyn Watch,
}

/// Features of a split, and its labels in each set.
struct Encoded {
    features: Tensor,
    labels: Vec<Vec<i64>>,
}

impl ClipProtocols<'_> {
    /// Refuses videos that an evaluator cannot learn from, before anything is trained.
    ///
    /// # Errors
    /// The evaluator's own error, with its name and that of the label set.
    pub fn check(&self) -> Result<(), EvalError> {
        let train = &self.sources[0];
        for (place, set) in self.sets() {
            let mut counts = vec![0; set.classes.len()];
            (0..train.len()).for_each(|video| counts[train.label(video, place) as usize] += 1);
            for evaluator in &self.evaluators {
                let told = |error: EvalError| {
                    error.at(format!("protocol {} on {}", evaluator.name(), set.name))
                };
                evaluator.labelled(&counts).map_err(told)?;
            }
        }
        Ok(())
    }

    /// The label sets with at least two classes, or the chosen one.
    pub fn sets(&self) -> impl Iterator<Item = (usize, &LabelSet)> {
        let sets = self.sources[0].label_sets().iter().enumerate();
        sets.filter(|(place, set)| {
            set.classes.len() >= 2 && self.label.is_none_or(|label| label == *place)
        })
    }

    /// Measures the features [N, D] that `encode` computes from u8 clips [N, C, T, H, W]. A
    /// metric's name starts with that of its label set, as in `direction_knn_top1`.
    ///
    /// # Errors
    /// When videos cannot be read or encoded, features are not finite, or the watch ends it.
    pub fn measure(
        &self,
        name: &str,
        encode: &dyn Fn(&Tensor) -> Result<Tensor, EncodeError>,
    ) -> Result<Metrics, EvalError> {
        Ok(self.measurements(name, encode)?.into_iter().collect())
    }

    /// Like [`Self::measure`], but each number comes with everything it depends on.
    ///
    /// # Errors
    /// As [`Self::measure`].
    pub fn measurements(
        &self,
        name: &str,
        encode: &dyn Fn(&Tensor) -> Result<Tensor, EncodeError>,
    ) -> Result<Vec<Measurement>, EvalError> {
        let split = |source: &Arc<dyn ClipSource>| {
            self.encode(name, source, encode).map_err(|error| error.at(name))
        };
        let [train, test] = self.sources.each_ref().map(split);
        let (train, test) = (train?, test?);
        let mut measurements = Vec::new();
        for (place, set) in self.sets() {
            let labelled = |split: &Encoded| {
                let labels = Tensor::from_slice(&split.labels[place]);
                EncodedSplit::new(split.features.shallow_clone(), labels)
            };
            let data = EncodedData::new(labelled(&train)?, labelled(&test)?, set.classes.len())?;
            for evaluator in &self.evaluators {
                go_on(self.watch.stop())?;
                self.watch.begin(&format!("{} of {}: {name}", evaluator.name(), set.name));
                let training_images = evaluator.labelled(&data.training_counts())?;
                let found = evaluator.evaluate_until(&data, self.loader.seed, self.watch.stop())?;
                measurements.extend(found.into_iter().map(|(metric, value)| Measurement {
                    protocol: evaluator.name().to_owned(),
                    settings: evaluator.settings(),
                    metric: format!("{}_{metric}", set.name),
                    value,
                    training_images,
                    test_images: data.test().samples(),
                    split: "test",
                    seed: self.loader.seed,
                }));
            }
        }
        Ok(measurements)
    }

    /// Measures the pixels themselves, [N, C · T · H · W]: the simplest baseline.
    ///
    /// # Errors
    /// As [`Self::measure`].
    pub fn measure_raw_pixels(&self) -> Result<Metrics, EvalError> {
        Ok(self.raw_pixel_measurements()?.into_iter().collect())
    }

    /// Like [`Self::measure_raw_pixels`], but each number comes with everything it depends on.
    ///
    /// # Errors
    /// As [`Self::measure`].
    pub fn raw_pixel_measurements(&self) -> Result<Vec<Measurement>, EvalError> {
        let flat =
            |pixels: &Tensor| Ok(pixels.to_device(self.device).to_kind(Kind::Float).flatten(1, -1));
        self.measurements("raw pixels", &flat)
    }

    /// Encodes the videos of a source in its own order.
    fn encode(
        &self,
        name: &str,
        source: &Arc<dyn ClipSource>,
        encode: &dyn Fn(&Tensor) -> Result<Tensor, EncodeError>,
    ) -> Result<Encoded, EvalError> {
        let videos = source.len();
        self.watch.begin(&format!("features of {videos} videos: {name}"));
        let config = self.loader.clone();
        let loader = ClipLoader::for_evaluation(
            Arc::clone(source),
            self.sampling.clone(),
            self.views,
            config,
        )?;
        let steps = videos.div_ceil(self.loader.batch_size) as u64;
        let mut features = Vec::new();
        let mut labels = vec![Vec::new(); source.label_sets().len()];
        let batches = loader
            .batches(0..steps, |batch| (host_tensor(&batch.pixels), batch.labels, batch.per_video));
        for batch in batches {
            go_on(self.watch.stop())?;
            let (pixels, of_batch, per_video) = batch?;
            let found = tch::no_grad(|| encode(&pixels)).map_err(EvalError::Encoder)?;
            let (clips, width) = (pixels.size()[0], *found.size().last().unwrap_or(&0));
            if found.size() != [clips, width] {
                let expected = format!("[{clips}, D]");
                let what = "encoded clips";
                return Err(EvalError::Shape { what, found: found.size(), expected });
            }
            // The views of a video are consecutive; their mean represents it.
            let views = found.view([-1, per_video as i64, width]);
            features.push(views.mean_dim([1_i64].as_slice(), false, Kind::Float));
            labels.iter_mut().zip(of_batch).for_each(|(all, new)| all.extend(new));
        }
        if features.is_empty() {
            let expected = "at least one video".to_owned();
            return Err(EvalError::Shape { what: "features", found: vec![0], expected });
        }
        Ok(Encoded { features: Tensor::cat(&features, 0), labels })
    }
}
