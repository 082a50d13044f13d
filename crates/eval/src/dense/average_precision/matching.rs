//! Matching of one image's detections to the true boxes of their class.
//!
//! Matching is greedy, highest score first; each detection takes the free box that it overlaps
//! most. A box that does not count (a crowd, or of another size) is taken only
//! if no box that counts matches, and a crowd can be taken repeatedly.

use crate::dense::objects::{Detection, TruthBox};

/// Number of IoU thresholds: 0.50, 0.55 … 0.95.
pub(super) const THRESHOLDS: usize = 10;

/// Threshold `i` of ten, in the floats of numpy's `linspace(0.5, 0.95, 10)`.
fn threshold(i: usize) -> f64 {
    if i + 1 == THRESHOLDS { 0.95 } else { i as f64 * ((0.95 - 0.5) / 9.0) + 0.5 }
}

/// The matching of one image, class and range of areas.
#[derive(Debug)]
pub(super) struct Matched {
    /// Scores of the detections, highest first.
    pub(super) scores: Vec<f64>,
    /// By threshold, whether each detection is right; `None` where it does not count.
    pub(super) found: [Vec<Option<bool>>; THRESHOLDS],
    /// Number of true boxes that are to be found.
    pub(super) wanted: usize,
}

/// Matches detections, highest score first, with true boxes of areas in `range`.
pub(super) fn match_image(
    truths: &[&TruthBox],
    detections: &[&Detection],
    range: [f64; 2],
) -> Matched {
    let within = |area: f64| (range[0]..=range[1]).contains(&area);
    let counts = |truth: &TruthBox| !truth.crowd && within(truth.area);
    // Boxes that count come first; the order is stable otherwise.
    let mut truths = truths.to_vec();
    truths.sort_by_key(|truth| !counts(truth));
    let wanted = truths.iter().filter(|truth| counts(truth)).count();
    let overlaps: Vec<Vec<f64>> = detections
        .iter()
        .map(|found| truths.iter().map(|truth| overlap(&found.bbox, truth)).collect())
        .collect();
    let found = std::array::from_fn(|t| {
        let mut taken = vec![false; truths.len()];
        let claims = overlaps.iter().zip(detections).map(|(overlaps, detection)| {
            // Rounding can make a full overlap slightly smaller than 1.
            let mut best = threshold(t).min(1.0 - 1e-10);
            let mut claimed = None;
            for (place, &overlap) in overlaps.iter().enumerate() {
                if taken[place] && !truths[place].crowd {
                    continue;
                }
                if place >= wanted && claimed.is_some_and(|claimed| claimed < wanted) {
                    break;
                }
                if overlap >= best {
                    (best, claimed) = (overlap, Some(place));
                }
            }
            match claimed {
                Some(place) => {
                    taken[place] = true;
                    (place < wanted).then_some(true)
                }
                None => within(detection.bbox[2] * detection.bbox[3]).then_some(false),
            }
        });
        claims.collect()
    });
    Matched { scores: detections.iter().map(|found| found.score).collect(), found, wanted }
}

/// Intersection over union; for a crowd, intersection over the detection's area.
fn overlap(found: &[f64; 4], truth: &TruthBox) -> f64 {
    let side = |axis: usize| {
        let end = (found[axis] + found[axis + 2]).min(truth.bbox[axis] + truth.bbox[axis + 2]);
        (end - found[axis].max(truth.bbox[axis])).max(0.0)
    };
    let both = side(0) * side(1);
    if both <= 0.0 {
        return 0.0;
    }
    let own = found[2] * found[3];
    let all = if truth.crowd { own } else { own + truth.bbox[2] * truth.bbox[3] - both };
    both / all
}
