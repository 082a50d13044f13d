//! Boxes as tensors: corners, overlaps and suppression, for whole batches.

use tch::{Kind, Tensor};

/// True boxes of a batch, padded to the longest list.
#[derive(Debug)]
pub struct BoxBatch {
    /// Left, top, right and bottom in pixels, [B, M, 4], M at least 1.
    pub corners: Tensor,
    /// Classes, [B, M], i64; -1 where there is no box.
    pub classes: Tensor,
}

impl BoxBatch {
    /// Pads each image's boxes (class, [left, top, width, height]).
    pub fn new(images: &[Vec<(i64, [f64; 4])>], device: tch::Device) -> Self {
        let longest = images.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let mut sides = Vec::with_capacity(images.len() * longest * 4);
        let mut classes = Vec::with_capacity(images.len() * longest);
        for image in images {
            for place in 0..longest {
                let (class, [left, top, width, height]) =
                    image.get(place).copied().unwrap_or((-1, [0.0; 4]));
                classes.push(class);
                sides.extend([left, top, left + width, top + height].map(|side| side as f32));
            }
        }
        let shape = [images.len() as i64, longest as i64];
        Self {
            corners: Tensor::from_slice(&sides).view([shape[0], shape[1], 4]).to_device(device),
            classes: Tensor::from_slice(&classes).view(shape).to_device(device),
        }
    }
}

/// Corners [B, N, 4] (left, top, right, bottom) from distances [B, N, 4] to the sides,
/// seen from locations [N, 2].
pub(super) fn corners(locations: &Tensor, distances: &Tensor) -> Tensor {
    let start = locations - distances.narrow(2, 0, 2);
    let end = locations + distances.narrow(2, 2, 2);
    Tensor::cat(&[start, end], 2)
}

/// Areas [...] of boxes [..., 4].
pub(super) fn areas(boxes: &Tensor) -> Tensor {
    let sides = (boxes.narrow(-1, 2, 2) - boxes.narrow(-1, 0, 2)).clamp_min(0.0);
    sides.select(-1, 0) * sides.select(-1, 1)
}

/// Area that pairs of boxes [..., 4] have in common (shapes broadcast).
pub(super) fn common(a: &Tensor, b: &Tensor) -> Tensor {
    let start = a.narrow(-1, 0, 2).maximum(&b.narrow(-1, 0, 2));
    let end = a.narrow(-1, 2, 2).minimum(&b.narrow(-1, 2, 2));
    areas(&Tensor::cat(&[start, end], -1))
}

/// Intersection over union of all pairs of an image's boxes [B, N, 4]: [B, N, N].
pub(super) fn overlaps(boxes: &Tensor) -> Tensor {
    let both = common(&boxes.unsqueeze(2), &boxes.unsqueeze(1));
    let areas = areas(boxes);
    let all = areas.unsqueeze(2) + areas.unsqueeze(1) - &both;
    both / all.clamp_min(1e-9)
}

/// Which of N boxes, sorted by descending score, greedy suppression removes, [B, N] (bool).
///
/// `rivals` [B, N, N] (bool, symmetric) says which pairs cannot both stay; a box that is
/// not a `candidate` [B, N] (bool) suppresses none. A box is removed when an earlier box that
/// stays is its rival. That rule has exactly one solution; applying it repeatedly to all boxes
/// at once settles at least one more box each time, so it reaches the result of going through
/// them one by one, usually after a few rounds.
pub fn suppressed(rivals: &Tensor, candidate: &Tensor) -> Tensor {
    // [B, i, j]: i comes before j and would suppress it.
    let before = rivals.to_kind(Kind::Float).triu(1);
    let mut out = candidate.zeros_like();
    for _ in 0..rivals.size()[1] {
        let stays = out.logical_not().logical_and(candidate).to_kind(Kind::Float);
        let next = stays.unsqueeze(1).matmul(&before).squeeze_dim(1).greater(0.0);
        if next == out {
            break;
        }
        out = next;
    }
    out
}
