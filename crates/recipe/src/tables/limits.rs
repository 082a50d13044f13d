//! Units and limits of numbers: greater values are mistakes, and would otherwise exhaust memory or
//! never end.

use crate::reading::{Violation, at_least_one, ensure, must_be};

/// The unit and the greatest value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The dotted key.
    pub key: &'static str,
    /// The greatest value that it takes.
    pub most: u64,
    /// The unit, in the plural; empty for a plain number.
    pub unit: &'static str,
}

/// The limit of a key, if it has one.
///
/// ```
/// let limit = bauta_recipe::limit("train.batch_size").unwrap();
/// assert_eq!((limit.most, limit.unit), (65_536, "images"));
/// assert_eq!(bauta_recipe::limit("seed"), None);
/// ```
pub fn limit(key: &str) -> Option<Limit> {
    LIMITS.iter().copied().find(|limit| limit.key == key)
}

const fn most(key: &'static str, most: u64, unit: &'static str) -> Limit {
    Limit { key, most, unit }
}

/// Every limit, by table.
pub const LIMITS: &[Limit] = &[
    most("data.image_size", 8192, "pixels"),
    most("data.shrink", 8192, "pixels"),
    most("data.objects", 256, "objects"),
    most("data.repeats", 64, "clips"),
    most("data.clip.frames", 1024, "frames"),
    most("data.clip.stride", 10_000, "frames"),
    most("data.test_limit", 10_000_000, "images"),
    most("model.patch_frames", 1024, "frames"),
    most("model.patch_size", 1024, "pixels"),
    most("model.dim", 16_384, ""),
    most("model.depth", 1000, "blocks"),
    most("model.heads", 1024, "heads"),
    most("model.mlp_ratio", 64, ""),
    most("model.width", 4096, "channels"),
    most("siamese.dim", 16_384, ""),
    most("siamese.hidden", 16_384, ""),
    most("siamese.queue", 16_777_216, "keys"),
    most("siamese.splits", 1024, "parts"),
    most("mask.grid", 1024, "cells"),
    most("decoder.dim", 16_384, ""),
    most("decoder.depth", 1000, "blocks"),
    most("decoder.heads", 1024, "heads"),
    most("head.width", 4096, "channels"),
    most("mask.min_block", 65_536, "tokens"),
    most("teacher.depth", 1000, "blocks"),
    most("teacher.image_size", 8192, "pixels"),
    most("stages.count", 100, "stages"),
    most("train.epochs", 1_000_000, "epochs"),
    most("train.steps", 100_000_000, "steps"),
    most("train.batch_size", 65_536, "images"),
    most("train.accumulate", 10_000, "forward passes"),
    most("train.threads", 1024, "threads"),
    most("eval.every", 1_000_000, "epochs"),
    most("eval.features_in_memory", 1_000_000_000, "megabytes"),
    most("eval.knn.k", 100_000, "neighbours"),
    most("eval.linear.epochs", 10_000, "epochs"),
    most("eval.linear.batch_size", 1_000_000, "features"),
    most("eval.few_shot.shots", 100_000, "images"),
    most("eval.few_shot.draws", 10_000, "draws"),
    most("eval.semi.epochs", 10_000, "epochs"),
    most("eval.semi.batch_size", 1_000_000, "features"),
    most("eval.pictures.count", 1000, "images"),
    most("eval.views.clips", 100, "clips"),
    most("eval.views.crops", 100, "crops"),
    most("eval.finetune.epochs", 100_000, "epochs"),
    most("eval.finetune.batch_size", 65_536, "images"),
    most("eval.finetune.mixup", 100, ""),
    most("eval.finetune.cutmix", 100, ""),
    most("eval.finetune.blocks", 1000, "blocks"),
];

/// Maximum number of pixels of one forward pass: 65,536 images of 256 × 256.
const MOST_PIXELS: usize = 1 << 32;

/// Maximum number of weights in the blocks of one network.
const MOST_WEIGHTS: f64 = 1e10;

/// Maximum number of tokens of an image: 256 × 256.
pub(crate) const MOST_TOKENS: usize = 1 << 16;

/// Checks a count: at least 1, and within its limit.
pub(crate) fn count(key: &str, value: usize) -> Result<(), Violation> {
    at_least_one(key, value)?;
    within_limit(key, value as f64)
}

/// Checks a number against its limit alone.
pub(crate) fn within_limit(key: &str, value: f64) -> Result<(), Violation> {
    let Some(Limit { most, unit, .. }) = limit(key) else { return Ok(()) };
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    must_be(value <= most as f64, key, value, &format!("at most {most}{unit}"))
}

/// Checks that one forward pass of the images needs a reasonable amount of memory.
pub(crate) fn check_batch(
    key: &str,
    images: usize,
    height: usize,
    width: usize,
) -> Result<(), Violation> {
    let pixels = images.saturating_mul(height).saturating_mul(width);
    ensure(pixels <= MOST_PIXELS, &[key, "data.image_size"], || {
        format!(
            "{key} {images} of {height} × {width} pixels is {pixels} pixels in one forward pass; \
             it must be at most {MOST_PIXELS}: use smaller batches and raise train.accumulate"
        )
    })
}

/// Checks that a transformer's blocks, each with 4 D² weights of attention and 2 D² · `mlp_ratio`
/// of the perceptron, need a reasonable amount of memory.
pub(crate) fn check_weights(
    table: &str,
    dim: usize,
    depth: usize,
    mlp_ratio: f64,
) -> Result<(), Violation> {
    let weights = depth as f64 * (dim as f64).powi(2) * (4.0 + 2.0 * mlp_ratio);
    let keys = [&*format!("{table}.dim"), &*format!("{table}.depth"), "model.mlp_ratio"];
    ensure(weights <= MOST_WEIGHTS, &keys, || {
        format!(
            "{table}.dim {dim} and {table}.depth {depth} make {weights:.1e} weights; \
             they must be at most {MOST_WEIGHTS:.0e}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_of_a_key_that_exists_and_stands_once() {
        let mut known = crate::known_keys();
        known.extend(crate::reading::describe::<crate::DenseSettings>().into_iter().map(|k| k.key));
        for (index, limit) in LIMITS.iter().enumerate() {
            assert!(known.iter().any(|key| key == limit.key), "{}", limit.key);
            assert!(LIMITS[..index].iter().all(|earlier| earlier.key != limit.key));
        }
    }
}
