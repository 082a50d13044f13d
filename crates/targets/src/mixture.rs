//! Mixtures of two images and the losses that separate them (i-MAE §3).
//!
//! A mixture is x = λ·x₁ + (1 − λ)·x₂ of normalised images. The image with the smaller
//! share is *subordinate*, the other *dominant*; the first branch always predicts the
//! subordinate one, whichever image that is.

use bauta_backbones::TokenIndices;
use tch::Tensor;

use crate::{FeatureLoss, PixelTarget, TargetError};

/// Mixes images of one shape: λ·`first` + (1 − λ)·`second`, with λ in [0, 1].
///
/// Mixtures of u8 pixels are f32 in [0, 255]; since normalisation is affine, it can be applied
/// before or after mixing.
///
/// # Errors
/// [`TargetError::Shape`] when the shapes differ.
pub fn mix(first: &Tensor, second: &Tensor, lambda: f64) -> Result<Tensor, TargetError> {
    same_shape(second, first)?;
    Ok(first * lambda + second * (1.0 - lambda))
}

/// The default partner of each image of a batch [B, ..]: the next image, and the first for the
/// last.
///
/// ```
/// use bauta_targets::next_in_batch;
/// use tch::Tensor;
/// let batch = Tensor::from_slice(&[1_u8, 2, 3]);
/// assert_eq!(next_in_batch(&batch), Tensor::from_slice(&[2_u8, 3, 1]));
/// ```
pub fn next_in_batch(images: &Tensor) -> Tensor {
    images.roll([-1], [0])
}

/// Orders two values as [subordinate, dominant], where λ is the share of the first.
///
/// With λ = 0.5 the first is subordinate, as in the released code.
///
/// ```
/// use bauta_targets::by_weight;
/// assert_eq!(by_weight("first", "second", 0.3), ["first", "second"]);
/// assert_eq!(by_weight("first", "second", 0.7), ["second", "first"]);
/// ```
pub fn by_weight<T>(first: T, second: T, lambda: f64) -> [T; 2] {
    if lambda <= 0.5 { [first, second] } else { [second, first] }
}

/// The image loss of each branch separately, one scalar per prediction.
///
/// Each branch has its prediction [B, M, P] of masked tokens and its source, normalised
/// images [B, C, H, W], the subordinate one first.
///
/// # Errors
/// [`TargetError::Shape`] when predictions, sources and plan do not fit together.
pub fn image_losses<'a>(
    target: &PixelTarget,
    predictions: &[Tensor],
    sources: impl IntoIterator<Item = &'a Tensor>,
    indices: &TokenIndices,
) -> Result<Vec<Tensor>, TargetError> {
    let branches = predictions.iter().zip(sources);
    branches
        .map(|(prediction, source)| target.loss(prediction, &target.masked(source, indices)?))
        .collect()
}

/// The two-way image loss: the sum of [`image_losses`], a scalar.
///
/// With raw pixels this is the reference's Σ mask · (e₁² + e₂²) / Σ mask; with a single branch
/// it is that branch's loss.
///
/// # Errors
/// As [`image_losses`], and [`TargetError::NoBranch`] without a prediction.
pub fn two_way_loss<'a>(
    target: &PixelTarget,
    predictions: &[Tensor],
    sources: impl IntoIterator<Item = &'a Tensor>,
    indices: &TokenIndices,
) -> Result<Tensor, TargetError> {
    sum(image_losses(target, predictions, sources, indices)?)
}

/// Returns a closure that computes the two-way image loss of predicting the mean of all patches of
/// each source: a scalar, or the error of a source that does not fit.
pub fn two_way_loss_of_mean(
    target: &PixelTarget,
    sources: &[&Tensor],
    indices: &TokenIndices,
) -> impl FnOnce() -> Result<Tensor, TargetError> + use<> {
    let (target, indices) = (target.clone(), indices.shallow_clone());
    let sources: Vec<Tensor> = sources.iter().map(|source| source.shallow_clone()).collect();
    move || {
        let of_mean = |source| Ok(FeatureLoss::Mse.of_mean(&target.masked(source, &indices)?));
        sum(sources.iter().map(of_mean).collect::<Result<_, _>>()?)
    }
}

/// The latent loss: the sum over branches of the mean squared distance between a branch's latent
/// and the teacher's for its image, both [B, 1 + V, Dd], class token included.
///
/// # Errors
/// [`TargetError::Shape`] when a pair differs in shape, [`TargetError::NoBranch`] without a
/// pair.
pub fn latent_loss(latents: &[Tensor], taught: &[Tensor]) -> Result<Tensor, TargetError> {
    let branches = latents.iter().zip(taught);
    let losses = branches.map(|(latent, taught)| FeatureLoss::Mse.of(latent, taught));
    sum(losses.collect::<Result<_, _>>()?)
}

/// The latent loss of predicting the mean of all the teacher's tokens, [B, N, Dd] for each branch;
/// a scalar, 0 without a branch.
pub fn latent_loss_of_mean(taught: &[Tensor]) -> Tensor {
    taught.iter().map(|taught| FeatureLoss::Mse.of_mean(taught)).sum()
}

fn sum(losses: Vec<Tensor>) -> Result<Tensor, TargetError> {
    losses.into_iter().reduce(|sum, loss| sum + loss).ok_or(TargetError::NoBranch)
}

fn same_shape(found: &Tensor, wanted: &Tensor) -> Result<(), TargetError> {
    if found.size() == wanted.size() {
        return Ok(());
    }
    Err(TargetError::Shape { found: found.size(), expected: format!("{:?}", wanted.size()) })
}

#[cfg(test)]
mod tests;
