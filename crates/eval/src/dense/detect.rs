//! Object detection: training of a head, and COCO's average precision on the test split.

use bauta_backbones::{ImageEncoder, ImageNormalization, ModelError, Parameters};
use bauta_data::dense::{DenseBatch, Object};
use bauta_train::{Loss, Objective, ObjectiveError};
use serde_json::json;
use tch::{Device, Tensor};

use super::average_precision::AveragePrecision;
use super::detector::{BoxBatch, Decoding, DetectionHead};
use super::objects::{Detection, TruthBox};
use super::pictures::paint_boxes;
use super::task::{DenseScores, DenseTask, Pass};
use crate::batch::host_tensor;
use crate::watch::go_on;
use crate::{EvalError, PictureLayout, TrainingRun};

/// Number of test images on the picture.
const SHOWN: usize = 12;
/// Lowest score of detections on the picture.
const SHOWN_SCORE: f64 = 0.3;

impl DenseTask<'_> {
    /// Trains a detection head of the given width, as the phase `detect` of a run, and measures it
    /// once: `box_ap`, `box_ap50` and COCO's other numbers.
    ///
    /// # Errors
    /// As [`Self::segment`].
    pub fn detect(&self, width: usize, run: TrainingRun<'_>) -> Result<DenseScores, EvalError> {
        let mut ready = self.ready()?;
        let names = self.train.object_classes().to_vec();
        let mut root = ready.parameters.root();
        let head = DetectionHead::new(root.sub("head"), &*ready.encoder, width, names.len())?;
        let mut detector = Detector {
            head,
            normalization: &self.normalization,
            encoder: &*ready.encoder,
            parameters: ready.parameters,
            pass: ready.pass,
        };
        let progress = self.train("detect", &mut detector, Boxed::of, run)?;

        run.watch.begin(&format!("measuring on {} images", self.test.len()));
        let mut precision = AveragePrecision::new(names.len())?;
        let mut picture = None;
        let mut batches = self.test_batches(Boxed::of)?;
        for batch in batches.by_ref() {
            go_on(run.watch.stop())?;
            let batch = batch?;
            let found = detector.detections(&batch.pixels, self.image_size)?;
            for (truths, found) in batch.objects.iter().zip(&found) {
                precision.add(truths, found)?;
            }
            if picture.is_none() {
                picture = Some(batch.paint(&found)?);
            }
        }
        let scores = precision.scores();
        Ok(DenseScores {
            metrics: scores.metrics(),
            by_class: names.into_iter().zip(scores.ap_by_class).collect(),
            picture: picture.ok_or_else(|| self.none_measured())?,
            final_loss: progress.final_loss.unwrap_or(f64::NAN),
            seconds: progress.seconds,
            skipped: progress.skipped,
            test_skipped: batches.skipped(),
        })
    }
}

/// An encoder and its detection head, in training.
struct Detector<'a> {
    parameters: Parameters,
    encoder: &'a dyn ImageEncoder,
    head: DetectionHead,
    normalization: &'a ImageNormalization,
    pass: Pass,
}

/// u8 pixels [B, 3, H, W], and each image's objects.
struct Boxed {
    pixels: Tensor,
    objects: Vec<Vec<TruthBox>>,
}

impl Boxed {
    fn of(batch: DenseBatch) -> Self {
        let truth = |object: &Object| TruthBox {
            class: object.class as usize,
            bbox: object.bbox,
            area: object.area,
            crowd: object.crowd,
        };
        let objects = batch.objects.iter().map(|objects| objects.iter().map(truth).collect());
        Self { pixels: host_tensor(&batch.pixels), objects: objects.collect() }
    }

    /// The boxes to learn in the first `images` images, without crowds, which are not single
    /// objects.
    fn boxes(&self, images: usize, device: Device) -> BoxBatch {
        let single = |objects: &Vec<TruthBox>| {
            let single = objects.iter().filter(|object| !object.crowd);
            single.map(|object| (object.class as i64, object.bbox)).collect()
        };
        let boxes: Vec<Vec<(i64, [f64; 4])>> = self.objects[..images].iter().map(single).collect();
        BoxBatch::new(&boxes, device)
    }

    /// Paints the first images with their true boxes and with the detections of high score.
    fn paint(&self, found: &[Vec<Detection>]) -> Result<crate::Picture, EvalError> {
        let shown = SHOWN.min(found.len());
        let sure = |all: &Vec<Detection>| -> Vec<Detection> {
            all.iter().filter(|one| one.score >= SHOWN_SCORE).copied().collect()
        };
        let sure: Vec<Vec<Detection>> = found[..shown].iter().map(sure).collect();
        let images = self.pixels.narrow(0, 0, shown as i64);
        paint_boxes(&images, &self.boxes(shown, Device::Cpu), &sure, &PictureLayout::default())
    }
}

impl Detector<'_> {
    fn detections(&self, pixels: &Tensor, size: usize) -> Result<Vec<Vec<Detection>>, ModelError> {
        let images = self.normalization.normalize(pixels);
        let tokens = Pass::Kept.ask(|how| self.encoder.encode(&images, how))?;
        let predicted = tch::no_grad(|| self.head.forward(&tokens));
        Ok(self.head.decode(&predicted, [size as i64; 2], &Decoding::default()))
    }
}

impl Objective for Detector<'_> {
    type Input = Boxed;

    fn loss(&mut self, input: &Boxed) -> Result<Loss, ObjectiveError> {
        let images = self.normalization.normalize(&input.pixels);
        let tokens = self.pass.ask(|how| self.encoder.encode(&images, how))?;
        let truth = input.boxes(input.objects.len(), self.parameters.device());
        let loss = self.head.loss(&self.head.forward(&tokens), &truth);
        let parts = [loss.classes, loss.boxes, loss.centreness];
        let names = ["classes", "boxes", "centreness"];
        Ok(Loss::sum(names.into_iter().zip(parts).map(|(name, part)| (name, 1.0, part))))
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn config(&self) -> serde_json::Value {
        json!({ "task": "detect" })
    }

    fn tensors(&self, input: &Boxed) -> Vec<(&'static str, Tensor)> {
        let truth = input.boxes(input.objects.len(), Device::Cpu);
        let pixels = input.pixels.shallow_clone();
        vec![("pixels", pixels), ("boxes", truth.corners), ("classes", truth.classes)]
    }
}
