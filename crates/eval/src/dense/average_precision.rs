//! Average precision of boxes, as COCO defines it (cocodataset.org, "Detection
//! evaluation").
//!
//! A detection is correct when its IoU with an unclaimed true box of its class reaches
//! the threshold; precision is read at 101 recalls and averaged over them, over
//! ten thresholds and over classes. The order of ties, crowds and areas follow
//! `pycocotools.cocoeval`, to the last digit of its floats.

mod matching;

use matching::{Matched, THRESHOLDS, match_image};

use super::objects::{Detection, TruthBox};
use crate::{EvalError, Metrics};

/// Number of recalls at which precision is read: 0, 0.01 … 1.
const RECALLS: usize = 101;
/// Limits of the number of detections per image and class.
const LIMITS: [usize; 3] = [1, 10, 100];
/// All, small, medium and large: areas from and to, both included.
const AREAS: [[f64; 2]; 4] =
    [[0.0, 1e10], [0.0, 32.0 * 32.0], [32.0 * 32.0, 96.0 * 96.0], [96.0 * 96.0, 1e10]];

/// Gathers images, then scores all their detections at once.
///
/// Each call of [`Self::add`] adds one image; among equal scores, those of
/// earlier images and then earlier detections come first.
#[derive(Debug)]
pub struct AveragePrecision {
    classes: usize,
    /// The matching of each image, by class and range of areas.
    matched: Vec<[Vec<Matched>; AREAS.len()]>,
}

impl AveragePrecision {
    /// Starts without images.
    ///
    /// # Errors
    /// [`EvalError::Setting`] when there is no class.
    pub fn new(classes: usize) -> Result<Self, EvalError> {
        if classes == 0 {
            let (name, expected) = ("number of classes", "at least 1");
            return Err(EvalError::Setting { name, value: 0.0, expected });
        }
        Ok(Self { classes, matched: (0..classes).map(|_| Default::default()).collect() })
    }

    /// Adds one image's true boxes and detections.
    ///
    /// # Errors
    /// [`EvalError::Setting`] for a class out of range, a box that is not finite or
    /// has negative sides, or a score that is not finite; nothing is added then.
    pub fn add(&mut self, truths: &[TruthBox], detections: &[Detection]) -> Result<(), EvalError> {
        for truth in truths {
            check(self.classes, truth.class, &truth.bbox, ("area of a true box", truth.area))?;
        }
        for found in detections {
            check(self.classes, found.class, &found.bbox, ("score of a detection", found.score))?;
        }
        for (class, by_area) in self.matched.iter_mut().enumerate() {
            let truths: Vec<&TruthBox> = truths.iter().filter(|t| t.class == class).collect();
            let mut found: Vec<&Detection> =
                detections.iter().filter(|d| d.class == class).collect();
            if truths.is_empty() && found.is_empty() {
                continue;
            }
            // Stable: ties stay in the order given.
            found.sort_by(|a, b| b.score.total_cmp(&a.score));
            found.truncate(LIMITS[LIMITS.len() - 1]);
            for (images, range) in by_area.iter_mut().zip(AREAS) {
                images.push(match_image(&truths, &found, range));
            }
        }
        Ok(())
    }

    /// Scores what has been added.
    pub fn scores(&self) -> DetectionScores {
        let curves: Vec<[Vec<Curve>; AREAS.len()]> = self
            .matched
            .iter()
            .map(|by_area| std::array::from_fn(|area| Curve::of(&by_area[area])))
            .collect();
        let precision = |area: usize, thresholds: std::ops::Range<usize>| {
            mean(
                curves
                    .iter()
                    .flat_map(|c| c[area].get(thresholds.clone()))
                    .flatten()
                    .map(|c| c.precision),
            )
        };
        let recall = |area: usize, limit: usize| {
            mean(self.matched.iter().flat_map(|by_area| recalls(&by_area[area], limit)))
        };
        let all = 0..THRESHOLDS;
        DetectionScores {
            ap: precision(0, all.clone()),
            ap50: precision(0, 0..1),
            ap75: precision(0, 5..6),
            ap_small: precision(1, all.clone()),
            ap_medium: precision(2, all.clone()),
            ap_large: precision(3, all),
            ar1: recall(0, LIMITS[0]),
            ar10: recall(0, LIMITS[1]),
            ar100: recall(0, LIMITS[2]),
            ar_small: recall(1, LIMITS[2]),
            ar_medium: recall(2, LIMITS[2]),
            ar_large: recall(3, LIMITS[2]),
            ap_by_class: curves
                .iter()
                .map(|by_area| mean(by_area[0].iter().map(|curve| curve.precision)))
                .collect(),
        }
    }
}

fn check(
    classes: usize,
    class: usize,
    bbox: &[f64; 4],
    (name, number): (&'static str, f64),
) -> Result<(), EvalError> {
    if class >= classes {
        let (name, expected) = ("class of a box", "below the number of classes");
        return Err(EvalError::Setting { name, value: class as f64, expected });
    }
    let side = |value: &&f64| !value.is_finite() || **value < 0.0;
    let bad = bbox[..2].iter().find(|v| !v.is_finite()).or_else(|| bbox[2..].iter().find(side));
    if let Some(&value) = bad {
        let (name, expected) = ("side of a box", "finite, and width and height not negative");
        return Err(EvalError::Setting { name, value, expected });
    }
    if !number.is_finite() {
        return Err(EvalError::Setting { name, value: number, expected: "finite" });
    }
    Ok(())
}

/// The twelve numbers of COCO's table, each `None` if there is no true box to find.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DetectionScores {
    /// Mean precision over thresholds, recalls and classes: COCO's main figure.
    pub ap: Option<f64>,
    /// Mean precision at IoU 0.5.
    pub ap50: Option<f64>,
    /// Mean precision at IoU 0.75.
    pub ap75: Option<f64>,
    /// Mean precision for objects up to 32² pixels.
    pub ap_small: Option<f64>,
    /// Mean precision for objects of 32² to 96² pixels.
    pub ap_medium: Option<f64>,
    /// Mean precision for objects from 96² pixels on.
    pub ap_large: Option<f64>,
    /// Mean recall with one detection per image and class.
    pub ar1: Option<f64>,
    /// Mean recall with ten detections.
    pub ar10: Option<f64>,
    /// Mean recall with a hundred detections.
    pub ar100: Option<f64>,
    /// Mean recall with a hundred detections for small objects.
    pub ar_small: Option<f64>,
    /// Mean recall with a hundred detections for medium objects.
    pub ar_medium: Option<f64>,
    /// Mean recall with a hundred detections for large objects.
    pub ar_large: Option<f64>,
    /// Mean precision of each class.
    pub ap_by_class: Vec<Option<f64>>,
}

impl DetectionScores {
    /// The table under its names, `box_ap`, `box_ap50` …, without undefined values.
    pub fn metrics(&self) -> Metrics {
        [
            ("box_ap", self.ap),
            ("box_ap50", self.ap50),
            ("box_ap75", self.ap75),
            ("box_ap_small", self.ap_small),
            ("box_ap_medium", self.ap_medium),
            ("box_ap_large", self.ap_large),
            ("box_ar1", self.ar1),
            ("box_ar10", self.ar10),
            ("box_ar100", self.ar100),
            ("box_ar_small", self.ar_small),
            ("box_ar_medium", self.ar_medium),
            ("box_ar_large", self.ar_large),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

/// The precision-recall curve of a class at one threshold.
struct Curve {
    /// Mean over the 101 recalls.
    precision: f64,
}

impl Curve {
    /// The curves of all thresholds; empty where there is nothing to find.
    fn of(images: &[Matched]) -> Vec<Self> {
        let wanted: usize = images.iter().map(|image| image.wanted).sum();
        if wanted == 0 {
            return Vec::new();
        }
        let mut order: Vec<(usize, usize)> = (0..images.len())
            .flat_map(|image| (0..images[image].scores.len()).map(move |place| (image, place)))
            .collect();
        order.sort_by(|a, b| images[b.0].scores[b.1].total_cmp(&images[a.0].scores[a.1]));
        (0..THRESHOLDS)
            .map(|t| {
                let outcomes = order.iter().map(|&(image, place)| images[image].found[t][place]);
                Self { precision: mean_precision(outcomes, wanted) }
            })
            .collect()
    }
}

/// Mean precision at the 101 recalls; `outcomes` says, from the highest score to the lowest,
/// whether each detection is right, wrong, or does not count.
fn mean_precision(outcomes: impl Iterator<Item = Option<bool>>, wanted: usize) -> f64 {
    let (mut right, mut wrong) = (0.0_f64, 0.0_f64);
    let (mut recall, mut precision) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Some(true) => right += 1.0,
            Some(false) => wrong += 1.0,
            None => {}
        }
        recall.push(right / wanted as f64);
        precision.push(right / (wrong + right + f64::EPSILON));
    }
    // The best precision at this recall or a higher one.
    for place in (1..precision.len()).rev() {
        precision[place - 1] = precision[place].max(precision[place - 1]);
    }
    let at = |i: usize| {
        let asked = if i + 1 == RECALLS { 1.0 } else { i as f64 * 0.01 };
        precision.get(recall.partition_point(|&r| r < asked)).copied().unwrap_or(0.0)
    };
    (0..RECALLS).map(at).sum::<f64>() / RECALLS as f64
}

/// The recall at each threshold with at most `limit` detections per image; empty where
/// there is nothing to find.
fn recalls(images: &[Matched], limit: usize) -> Vec<f64> {
    let wanted: usize = images.iter().map(|image| image.wanted).sum();
    if wanted == 0 {
        return Vec::new();
    }
    let right = |t: usize| {
        let first = |image: &Matched| {
            image.found[t].iter().take(limit).filter(|&&found| found == Some(true)).count()
        };
        images.iter().map(first).sum::<usize>()
    };
    (0..THRESHOLDS).map(|t| right(t) as f64 / wanted as f64).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}
