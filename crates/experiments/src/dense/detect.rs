//! `bauta detect`: boxes around objects, and COCO's average precision on the test split.

use anyhow::{Result, ensure};
use bauta_backbones::{ImageEncoder, ImageNormalization, Parameters};
use bauta_data::dense::{DenseBatch, DenseBatches, Object};
use bauta_eval::PictureLayout;
use bauta_eval::dense::{
    AveragePrecision, BoxBatch, Decoding, Detection, DetectionHead, TruthBox, paint_boxes,
};
use bauta_train::{Objective, TrainError};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use super::data::DenseSplits;
use super::settings::Settings;
use super::tuning::{Ready, Told, normalization, pixels, train};
use super::{DenseArguments, DenseData};

/// Test images on the picture.
const SHOWN: usize = 12;
/// Detections on the picture are at least so sure.
const SHOWN_SCORE: f64 = 0.3;

struct Detector {
    parameters: Parameters,
    encoder: Box<dyn ImageEncoder>,
    head: DetectionHead,
    normalization: ImageNormalization,
    frozen: bool,
}

/// Pixels [B, 3, H, W], u8, and each image's boxes.
struct Boxed {
    pixels: Tensor,
    boxes: Vec<Vec<(i64, [f64; 4])>>,
}

impl Boxed {
    /// Crowds are no single objects; nothing learns them.
    fn of(batch: &DenseBatch) -> Self {
        let boxes = |objects: &Vec<Object>| {
            let single = objects.iter().filter(|object| !object.crowd);
            single.map(|object| (i64::from(object.class), object.bbox)).collect()
        };
        Self { pixels: pixels(batch), boxes: batch.objects.iter().map(boxes).collect() }
    }
}

impl Detector {
    fn detections(&self, pixels: &Tensor, size: usize) -> Result<Vec<Vec<Detection>>, TrainError> {
        let images = self.normalization.normalize(pixels);
        let tokens = self.head.tokens(&*self.encoder, &images, true)?;
        let predicted = tch::no_grad(|| self.head.forward(&tokens));
        Ok(self.head.decode(&predicted, [size as i64; 2], &Decoding::default()))
    }
}

impl Objective for Detector {
    type Input = Boxed;

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn loss(&self, input: &Boxed) -> Result<Tensor, TrainError> {
        let images = self.normalization.normalize(&input.pixels);
        let tokens = self.head.tokens(&*self.encoder, &images, self.frozen)?;
        let truth = BoxBatch::new(&input.boxes, self.parameters.device());
        Ok(self.head.loss(&self.head.forward(&tokens), &truth).total())
    }

    fn config(&self) -> serde_json::Value {
        json!({})
    }

    fn tensors(&self, input: &Boxed) -> Vec<(&'static str, Tensor)> {
        let truth = BoxBatch::new(&input.boxes, Device::Cpu);
        let pixels = input.pixels.shallow_clone();
        vec![("pixels", pixels), ("boxes", truth.corners), ("classes", truth.classes)]
    }
}

/// See [`super::detect`].
pub fn detect(arguments: &DenseArguments) -> Result<()> {
    ensure!(
        arguments.data != DenseData::Ade20k,
        "ADE20K's folder has no boxes; detect takes composed-digits or coco"
    );
    let settings = Settings::new(&arguments.set)?;
    let mut ready = Ready::new(arguments, &settings)?;
    let splits = DenseSplits::open(arguments, &settings, ready.size)?;
    let names = splits.train.object_classes().to_vec();
    let mut root = ready.parameters.root();
    let head =
        DetectionHead::new(root.sub("head"), &*ready.encoder, settings.head_width, names.len())?;
    let detector = Detector {
        head,
        normalization: normalization(arguments, splits.train.statistics(), ready.device)?,
        parameters: ready.parameters,
        encoder: ready.encoder,
        frozen: arguments.frozen,
    };
    let cut = |source| DenseBatches::new(source, settings.batch_size, ready.size, ready.size);
    let (training, test) = (cut(splits.train.clone())?, cut(splits.test.clone())?);
    let (loss, seconds) = train(&detector, &training, Boxed::of, &settings, arguments.frozen)?;

    let mut precision = AveragePrecision::new(names.len())?;
    let mut picture = None;
    for at in 0..test.len() {
        let batch = test.in_order(at)?;
        let boxed = Boxed::of(&batch);
        let found = detector.detections(&boxed.pixels, ready.size)?;
        for (objects, found) in batch.objects.iter().zip(&found) {
            let truths: Vec<TruthBox> = objects.iter().map(truth).collect();
            precision.add(&truths, found)?;
        }
        if picture.is_none() {
            let shown = SHOWN.min(found.len());
            let sure = |all: &Vec<Detection>| -> Vec<Detection> {
                all.iter().filter(|one| one.score >= SHOWN_SCORE).copied().collect()
            };
            let sure: Vec<Vec<Detection>> = found[..shown].iter().map(sure).collect();
            let images = boxed.pixels.narrow(0, 0, shown as i64).to_kind(Kind::Float) / 255.0;
            let truth = BoxBatch::new(&boxed.boxes[..shown], Device::Cpu);
            picture = Some(paint_boxes(&images, &truth, &sure, &PictureLayout::default())?);
        }
    }
    let picture = &picture.expect("the test split has an image");
    let scores = precision.scores();
    let by_class = names.into_iter().zip(scores.ap_by_class.iter().copied()).collect();
    let (train, test) = (&*splits.train, &*splits.test);
    let (metrics, size, head) = (&scores.metrics(), ready.size, "anchor-free detection head");
    Told { task: "detect", head, train, test, loss, seconds, metrics, by_class, picture, size }
        .tell(arguments, &settings)
}

fn truth(object: &Object) -> TruthBox {
    TruthBox {
        class: object.class as usize,
        bbox: object.bbox,
        area: object.area,
        crowd: object.crowd,
    }
}
