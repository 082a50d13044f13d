//! Assignment of objects to locations, and the three losses of FCOS.

use tch::{Kind, Reduction, Tensor};

use super::boxes::{BoxBatch, areas, common, corners};
use super::predictions::Predictions;

/// Weight of objects against background, and focus on hard examples (Lin et al. 2017).
const ALPHA: f64 = 0.25;
const GAMMA: f64 = 2.0;

/// The target of each location.
pub(super) struct Assigned {
    /// Class of its object, [B, N]; -1 for background.
    pub(super) classes: Tensor,
    /// Corners of its object's box, [B, N, 4].
    pub(super) corners: Tensor,
    /// How central it lies in the box, [B, N] in [0, 1].
    pub(super) centreness: Tensor,
}

impl Assigned {
    /// A location learns the smallest of the boxes that contain it and whose centre is no
    /// further than `radius` away in either direction.
    pub(super) fn new(locations: &Tensor, truth: &BoxBatch, radius: f64) -> Self {
        // [B, N, M, 2]: from each location to each box.
        let (batch, boxes) = truth.classes.size2().expect("classes are [B, M]");
        let at = locations.unsqueeze(1);
        let start = &at - truth.corners.narrow(2, 0, 2).unsqueeze(1);
        let end = truth.corners.narrow(2, 2, 2).unsqueeze(1) - &at;
        let far = (&start - &end).abs() * 0.5;
        let sides = Tensor::cat(&[start, end], 3);
        let inside = sides.amin([3_i64].as_slice(), false).greater(0.0);
        let near = far.amax([3_i64].as_slice(), false).less_equal(radius);
        let real = truth.classes.greater_equal(0).unsqueeze(1);
        let fits = inside.logical_and(&near).logical_and(&real);
        let sizes = areas(&truth.corners).unsqueeze(1).expand_as(&fits);
        let sizes = sizes.where_scalarother(&fits, f64::INFINITY);
        let (smallest, chosen) = sizes.min_dim(2, false);
        let object = smallest.isfinite();

        let flat = chosen.unsqueeze(2);
        let corners = truth.corners.gather(1, &flat.expand([-1, -1, 4], false), false);
        let classes = truth.classes.gather(1, &chosen, false);
        let own = sides.gather(2, &flat.unsqueeze(3).expand([batch, -1, 1, 4], false), false);
        debug_assert!(boxes > 0);
        let own = own.squeeze_dim(2).clamp_min(0.0);
        let share = |a: i64, b: i64| {
            let (a, b) = (own.select(2, a), own.select(2, b));
            a.minimum(&b) / a.maximum(&b).clamp_min(1e-6)
        };
        Self {
            classes: classes.where_scalarother(&object, -1),
            corners,
            centreness: (share(0, 2) * share(1, 3)).sqrt(),
        }
    }
}

/// The three parts of a detector's loss, on the device.
#[derive(Debug)]
pub struct DetectionLoss {
    /// Focal loss of the classes over the number of locations with an object.
    pub classes: Tensor,
    /// 1 - GIoU (Rezatofighi et al. 2019), weighted by centreness.
    pub boxes: Tensor,
    /// Cross-entropy of the centreness.
    pub centreness: Tensor,
}

impl DetectionLoss {
    pub(super) fn new(predicted: &Predictions, wanted: &Assigned, locations: &Tensor) -> Self {
        let object = wanted.classes.greater_equal(0).to_kind(Kind::Float);
        let objects = object.sum(Kind::Float).clamp_min(1.0);
        let classes = predicted.classes.size()[2];
        // Background is an additional class, whose column is dropped.
        let labels = wanted.classes.remainder(classes + 1).one_hot(classes + 1);
        let labels = labels.narrow(2, 0, classes).to_kind(Kind::Float);

        let weights = &wanted.centreness * &object;
        let found = corners(locations, &predicted.distances);
        let lost = -(generalized_overlap(&found, &wanted.corners) - 1.0) * &weights;
        let none = None::<&Tensor>;
        let entropy = predicted.centreness.binary_cross_entropy_with_logits(
            &wanted.centreness,
            none,
            none,
            Reduction::None,
        );
        Self {
            classes: focal(&predicted.classes, &labels) / &objects,
            boxes: lost.sum(Kind::Float) / weights.sum(Kind::Float).clamp_min(1e-6),
            centreness: (entropy * &object).sum(Kind::Float) / &objects,
        }
    }

    /// The sum of the three parts.
    pub fn total(&self) -> Tensor {
        &self.classes + &self.boxes + &self.centreness
    }
}

/// Sum of the focal loss of scores (before the sigmoid) against labels 0 and 1.
fn focal(scores: &Tensor, labels: &Tensor) -> Tensor {
    let none = None::<&Tensor>;
    let entropy = scores.binary_cross_entropy_with_logits(labels, none, none, Reduction::None);
    let probability = scores.sigmoid();
    let missed = labels + &probability - labels * &probability * 2.0;
    let weight = labels * (2.0 * ALPHA - 1.0) + (1.0 - ALPHA);
    (entropy * weight * missed.pow_tensor_scalar(GAMMA)).sum(Kind::Float)
}

/// GIoU of pairs of boxes [..., 4]: IoU minus the share of the smallest box around both that
/// belongs to neither.
fn generalized_overlap(a: &Tensor, b: &Tensor) -> Tensor {
    let both = common(a, b);
    let all = areas(a) + areas(b) - &both;
    let start = a.narrow(-1, 0, 2).minimum(&b.narrow(-1, 0, 2));
    let end = a.narrow(-1, 2, 2).maximum(&b.narrow(-1, 2, 2));
    let around = areas(&Tensor::cat(&[start, end], -1)).clamp_min(1e-6);
    &both / all.clamp_min(1e-6) - (&around - &all) / &around
}
