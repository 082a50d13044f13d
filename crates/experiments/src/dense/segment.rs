//! `bauta segment`: a class for every pixel, and the mean IoU on the test split.

use anyhow::{Result, ensure};
use bauta_backbones::{ImageEncoder, ImageNormalization, Parameters};
use bauta_data::dense::{DenseBatch, DenseBatches, IGNORED};
use bauta_eval::PictureLayout;
use bauta_eval::dense::{
    ConfusionMatrix, SegmentationHead, SegmentationKind, paint_classes, segmentation_loss,
};
use bauta_train::{Objective, TrainError};
use serde_json::json;
use tch::{Kind, Tensor};

use super::data::DenseSplits;
use super::settings::Settings;
use super::tuning::{Ready, Told, normalization, pixels, train};
use super::{DenseArguments, DenseData, HeadName};

/// Test images on the picture.
const SHOWN: i64 = 12;

struct Segmenter {
    parameters: Parameters,
    encoder: Box<dyn ImageEncoder>,
    head: SegmentationHead,
    normalization: ImageNormalization,
    frozen: bool,
}

/// Pixels [B, 3, H, W] and labels [B, H, W], both u8.
struct Labelled {
    pixels: Tensor,
    labels: Tensor,
}

impl Labelled {
    fn of(batch: &DenseBatch) -> Self {
        let shape: Vec<i64> = batch.labels.shape().iter().map(|&side| side as i64).collect();
        let labels = batch.labels.as_slice().expect("batches are in standard layout");
        Self { pixels: pixels(batch), labels: Tensor::from_slice(labels).view(shape.as_slice()) }
    }
}

impl Segmenter {
    fn scores(&self, pixels: &Tensor) -> Result<Tensor, TrainError> {
        let images = self.normalization.normalize(pixels);
        let tokens = self.head.tokens(&*self.encoder, &images, self.frozen)?;
        Ok(self.head.forward(&*self.encoder, &tokens))
    }
}

impl Objective for Segmenter {
    type Input = Labelled;

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn loss(&self, input: &Labelled) -> Result<Tensor, TrainError> {
        let labels = input.labels.to_device(self.parameters.device()).to_kind(Kind::Int64);
        Ok(segmentation_loss(&self.scores(&input.pixels)?, &labels, i64::from(IGNORED)))
    }

    fn config(&self) -> serde_json::Value {
        json!({})
    }

    fn tensors(&self, input: &Labelled) -> Vec<(&'static str, Tensor)> {
        vec![("pixels", input.pixels.shallow_clone()), ("labels", input.labels.shallow_clone())]
    }
}

/// See [`super::segment`].
pub fn segment(arguments: &DenseArguments, head: HeadName) -> Result<()> {
    ensure!(
        arguments.data != DenseData::Coco,
        "COCO's instances have no class for every pixel; segment takes composed-digits or ade20k"
    );
    let settings = Settings::new(&arguments.set)?;
    let mut ready = Ready::new(arguments, &settings)?;
    let splits = DenseSplits::open(arguments, &settings, ready.size)?;
    let names = splits.train.pixel_classes().to_vec();
    let kind = match head {
        HeadName::Linear => SegmentationKind::Linear,
        HeadName::Upernet => SegmentationKind::UperNet { width: settings.head_width },
    };
    let mut root = ready.parameters.root();
    let place = root.sub("decode_head");
    let segmenter = Segmenter {
        head: SegmentationHead::new(place, &*ready.encoder, kind, names.len())?,
        normalization: normalization(arguments, splits.train.statistics(), ready.device)?,
        parameters: ready.parameters,
        encoder: ready.encoder,
        frozen: arguments.frozen,
    };
    let cut = |source| DenseBatches::new(source, settings.batch_size, ready.size, ready.size);
    let (training, test) = (cut(splits.train.clone())?, cut(splits.test.clone())?);
    let (loss, seconds) = train(&segmenter, &training, Labelled::of, &settings, arguments.frozen)?;

    let mut matrix = ConfusionMatrix::new(names.len(), Some(i64::from(IGNORED)), ready.device)?;
    let mut picture = None;
    for at in 0..test.len() {
        let batch = Labelled::of(&test.in_order(at)?);
        let predicted = tch::no_grad(|| segmenter.scores(&batch.pixels))?.argmax(1, false);
        matrix.add(&batch.labels, &predicted)?;
        if picture.is_none() {
            let shown = SHOWN.min(predicted.size()[0]);
            let first = |tensor: &Tensor| tensor.narrow(0, 0, shown);
            let images = first(&batch.pixels).to_kind(Kind::Float) / 255.0;
            let (truth, predicted) = (first(&batch.labels), first(&predicted));
            picture = Some(paint_classes(&images, &truth, &predicted, &PictureLayout::default())?);
        }
    }
    let picture = picture.expect("the test split has an image");
    let head = match head {
        HeadName::Linear => "linear head",
        HeadName::Upernet => "UPerNet head",
    };
    let (train, test) = (&*splits.train, &*splits.test);
    let by_class = names.into_iter().zip(matrix.ious()).collect();
    let (metrics, size) = (&matrix.metrics(), ready.size);
    let picture = &picture;
    Told { task: "segment", head, train, test, loss, seconds, metrics, by_class, picture, size }
        .tell(arguments, &settings)
}
