//! Semantic segmentation: training of a head, and the mean IoU on the test split.

use bauta_backbones::{ImageEncoder, ImageNormalization, ModelError, Parameters};
use bauta_data::dense::{DenseBatch, IGNORED};
use bauta_train::{Loss, Objective, ObjectiveError};
use serde_json::json;
use tch::{Kind, Tensor};

use super::iou::ConfusionMatrix;
use super::pictures::paint_classes;
use super::segmentation::{SegmentationHead, SegmentationKind, segmentation_loss};
use super::task::{DenseScores, DenseTask, Pass};
use crate::batch::host_tensor;
use crate::watch::go_on;
use crate::{EvalError, PictureLayout, TrainingRun};

/// Number of test images on the picture.
const SHOWN: i64 = 12;

impl DenseTask<'_> {
    /// Trains a segmentation head, as the phase `segment` of a run, and measures it once:
    /// `miou` and `pixel_accuracy`.
    ///
    /// # Errors
    /// When model, head and images do not fit each other, an image cannot be read, or the
    /// watch ends it ([`EvalError::TrainingStopped`] with a checkpoint to resume from).
    pub fn segment(
        &self,
        kind: SegmentationKind,
        run: TrainingRun<'_>,
    ) -> Result<DenseScores, EvalError> {
        let mut ready = self.ready()?;
        let names = self.train.pixel_classes().to_vec();
        let mut root = ready.parameters.root();
        let place = root.sub("decode_head");
        let mut segmenter = Segmenter {
            head: SegmentationHead::new(place, &*ready.encoder, kind, names.len())?,
            normalization: &self.normalization,
            encoder: &*ready.encoder,
            parameters: ready.parameters,
            pass: ready.pass,
        };
        let progress = self.train("segment", &mut segmenter, Labelled::of, run)?;

        run.watch.begin(&format!("measuring on {} images", self.test.len()));
        let ignored = Some(i64::from(IGNORED));
        let mut matrix = ConfusionMatrix::new(names.len(), ignored, self.device)?;
        let mut picture = None;
        let mut batches = self.test_batches(Labelled::of)?;
        for batch in batches.by_ref() {
            go_on(run.watch.stop())?;
            let Labelled { pixels, labels } = batch?;
            let predicted =
                tch::no_grad(|| segmenter.scores(&pixels, Pass::Kept))?.argmax(1, false);
            matrix.add(&labels, &predicted)?;
            if picture.is_none() {
                let shown = SHOWN.min(predicted.size()[0]);
                let [images, truth, predicted] =
                    [&pixels, &labels, &predicted].map(|tensor| tensor.narrow(0, 0, shown));
                let layout = PictureLayout::default();
                picture = Some(paint_classes(&images, &truth, &predicted, &layout)?);
            }
        }
        Ok(DenseScores {
            metrics: matrix.metrics(),
            by_class: names.into_iter().zip(matrix.ious()).collect(),
            picture: picture.ok_or_else(|| self.none_measured())?,
            final_loss: progress.final_loss.unwrap_or(f64::NAN),
            seconds: progress.seconds,
            skipped: progress.skipped,
            test_skipped: batches.skipped(),
        })
    }
}

/// An encoder and its segmentation head, in training.
struct Segmenter<'a> {
    parameters: Parameters,
    encoder: &'a dyn ImageEncoder,
    head: SegmentationHead,
    normalization: &'a ImageNormalization,
    pass: Pass,
}

/// Pixels [B, 3, H, W] and labels [B, H, W], both u8.
struct Labelled {
    pixels: Tensor,
    labels: Tensor,
}

impl Labelled {
    fn of(batch: DenseBatch) -> Self {
        Self { pixels: host_tensor(&batch.pixels), labels: host_tensor(&batch.labels) }
    }
}

impl Segmenter<'_> {
    /// Scores [B, K, H, W] of the classes.
    fn scores(&self, pixels: &Tensor, pass: Pass) -> Result<Tensor, ModelError> {
        let images = self.normalization.normalize(pixels);
        let tokens = pass.ask(|how| self.head.tokens(self.encoder, &images, how))?;
        Ok(self.head.forward(self.encoder, &tokens))
    }
}

impl Objective for Segmenter<'_> {
    type Input = Labelled;

    fn loss(&mut self, input: &Labelled) -> Result<Loss, ObjectiveError> {
        let labels = input.labels.to_device(self.parameters.device()).to_kind(Kind::Int64);
        let scores = self.scores(&input.pixels, self.pass)?;
        Ok(segmentation_loss(&scores, &labels, i64::from(IGNORED)).into())
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn config(&self) -> serde_json::Value {
        json!({ "task": "segment" })
    }

    fn tensors(&self, input: &Labelled) -> Vec<(&'static str, Tensor)> {
        vec![("pixels", input.pixels.shallow_clone()), ("labels", input.labels.shallow_clone())]
    }
}
