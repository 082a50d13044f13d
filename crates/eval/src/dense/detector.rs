//! An anchor-free detection head on the tokens of an encoder (FCOS, Tian et al. 2019).
//!
//! Every token predicts scores of the classes, the distances from the token's centre to the
//! four sides of its object's box, and how central it lies in the box. Unlike FCOS, there
//! is one level, the token grid, so a location learns boxes of any size.

mod boxes;
mod loss;
mod predictions;

use bauta_backbones::{ImageEncoder, Init, Linear, ModelError, Scope, patch_tokens};
use tch::{Kind, Tensor};

pub use boxes::{BoxBatch, suppressed};
pub use loss::DetectionLoss;
pub use predictions::Predictions;

use super::convolution::{ConvNorm, Convolution};
use super::objects::Detection;
use super::segmentation::on_grid;
use boxes::{corners, overlaps};
use loss::Assigned;

/// Settings for turning predictions into detections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decoding {
    /// Predictions below this score are left out.
    pub score: f64,
    /// A box that overlaps a higher-scoring one of its class by more is left out.
    pub overlap: f64,
    /// Number of an image's highest-scoring predictions passed to suppression.
    pub candidates: i64,
}

impl Default for Decoding {
    fn default() -> Self {
        Self { score: 0.05, overlap: 0.6, candidates: 100 }
    }
}

/// Two towers of convolutions over the token grid, and three predictions.
#[derive(Debug)]
pub struct DetectionHead {
    project: Linear,
    class_tower: Vec<ConvNorm>,
    box_tower: Vec<ConvNorm>,
    classes: Convolution,
    /// Bias of the class scores, which starts at the prior of rare objects.
    class_bias: Tensor,
    distances: Convolution,
    centreness: Convolution,
    /// Centres of the locations in pixels, x and y, [N, 2].
    locations: Tensor,
    grid: [i64; 2],
    stride: f64,
}

impl DetectionHead {
    /// Adds the parameters of a head of the given width for `classes` classes.
    ///
    /// # Errors
    /// [`ModelError::Config`] for a width that is not a multiple of 8.
    pub fn new(
        mut scope: Scope<'_>,
        encoder: &dyn ImageEncoder,
        width: usize,
        classes: usize,
    ) -> Result<Self, ModelError> {
        if width == 0 || !width.is_multiple_of(8) {
            let message = format!("a head has width {width}; it must be a multiple of 8");
            return Err(ModelError::Config(message));
        }
        let (rows, columns) = (encoder.grid().height(), encoder.grid().width());
        // Side of a patch, or of the pixels under one cell of a residual network's map.
        let side = encoder.image_size()[0].div_ceil(rows) as f32;
        let middles: Vec<f32> = (0..rows * columns)
            .flat_map(|at| [at % columns, at / columns].map(|place| (place as f32 + 0.5) * side))
            .collect();
        let project = Linear::new(scope.sub("project"), encoder.dim(), width, true);
        let device = project.weight.device();
        let mut tower = |name: &str| -> Vec<ConvNorm> {
            (0..2)
                .map(|i| ConvNorm::new(scope.sub(format_args!("{name}.{i}")), width, width, 3))
                .collect()
        };
        let (class_tower, box_tower) = (tower("cls_tower"), tower("bbox_tower"));
        // A location holds an object with probability 0.01 at first (focal loss, §4.1).
        let prior = Init::Constant(-(99.0_f32.ln()));
        Ok(Self {
            project,
            class_tower,
            box_tower,
            classes: Convolution::new(scope.sub("cls_logits"), width, classes, 3, false),
            class_bias: scope.sub("cls_logits").add("bias", &[classes as i64, 1, 1], prior),
            distances: Convolution::new(scope.sub("bbox_pred"), width, 4, 3, true),
            centreness: Convolution::new(scope.sub("centerness"), width, 1, 3, true),
            locations: Tensor::from_slice(&middles).view([-1, 2]).to_device(device),
            grid: [rows as i64, columns as i64],
            stride: f64::from(side),
        })
    }

    /// Predictions at every location, from tokens [B, 1 + L, D].
    pub fn forward(&self, tokens: &Tensor) -> Predictions {
        let map = on_grid(&self.project.forward(&patch_tokens(tokens)), self.grid);
        let climb = |tower: &[ConvNorm]| {
            tower.iter().fold(map.shallow_clone(), |map, conv| conv.forward(&map))
        };
        let (of_class, of_box) = (climb(&self.class_tower), climb(&self.box_tower));
        let rows = |map: Tensor| map.flatten(2, 3).transpose(1, 2);
        Predictions {
            classes: rows(self.classes.forward(&of_class) + &self.class_bias),
            // exp gives positive distances; the clamp prevents overflow in early steps.
            distances: rows(self.distances.forward(&of_box)).clamp_max(6.0).exp() * self.stride,
            centreness: rows(self.centreness.forward(&of_box)).squeeze_dim(2),
        }
    }

    /// Focal loss of the classes, GIoU loss of the boxes and cross-entropy of the
    /// centreness, each normalised over the locations that have an object.
    pub fn loss(&self, predicted: &Predictions, truth: &BoxBatch) -> DetectionLoss {
        let assigned = Assigned::new(&self.locations, truth, 1.5 * self.stride);
        DetectionLoss::new(predicted, &assigned, &self.locations)
    }

    /// Turns predictions into each image's detections, highest score first, within
    /// images of `size` (height, width).
    pub fn decode(
        &self,
        predicted: &Predictions,
        size: [i64; 2],
        decoding: &Decoding,
    ) -> Vec<Vec<Detection>> {
        let classes = predicted.classes.size()[2];
        let quality = predicted.centreness.sigmoid().unsqueeze(2);
        let scores = (predicted.classes.sigmoid() * quality).sqrt().flatten(1, 2);
        let kept = decoding.candidates.min(scores.size()[1]);
        let (scores, places) = scores.topk(kept, 1, true, true);
        let location = places.divide_scalar_mode(classes, "floor");
        let class = places.remainder(classes);
        let boxes = corners(&self.locations, &predicted.distances);
        let boxes = boxes.gather(1, &location.unsqueeze(2).expand([-1, -1, 4], false), false);
        let limit = [size[1], size[0], size[1], size[0]].map(|side| side as f32);
        let limit = Tensor::from_slice(&limit).to_device(boxes.device());
        let boxes = boxes.clamp_min(0.0).minimum(&limit);

        // Boxes of one class that overlap too much.
        let rivals = overlaps(&boxes)
            .greater(decoding.overlap)
            .logical_and(&class.unsqueeze(1).eq_tensor(&class.unsqueeze(2)));
        let candidate = scores.greater_equal(decoding.score);
        let keep = suppressed(&rivals, &candidate).logical_not().logical_and(&candidate);
        read(&keep, &class, &boxes, &scores)
    }
}

/// The detections that are kept, image by image.
fn read(keep: &Tensor, class: &Tensor, boxes: &Tensor, scores: &Tensor) -> Vec<Vec<Detection>> {
    let wanted = "a flat tensor of this kind";
    let keep_size = keep.size();
    let keep: Vec<bool> = keep.flatten(0, -1).try_into().expect(wanted);
    let class: Vec<i64> = class.flatten(0, -1).try_into().expect(wanted);
    let numbers = |tensor: &Tensor| -> Vec<f64> {
        tensor.to_kind(Kind::Double).flatten(0, -1).try_into().expect(wanted)
    };
    let (boxes, scores) = (numbers(boxes), numbers(scores));
    let per_image = keep_size[1] as usize;
    let detection = |at: usize| {
        let [left, top, right, bottom] = std::array::from_fn(|side| boxes[4 * at + side]);
        let bbox = [left, top, (right - left).max(0.0), (bottom - top).max(0.0)];
        Detection { class: class[at] as usize, bbox, score: scores[at] }
    };
    (0..keep_size[0] as usize)
        .map(|image| {
            let places = image * per_image..(image + 1) * per_image;
            places.filter(|&at| keep[at]).map(detection).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests;
