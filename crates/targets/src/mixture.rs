//! Mixtures of two images and the losses that take them apart (i-MAE §3).
//!
//! A mixture is x = λ·x₁ + (1 − λ)·x₂ of normalised images. The image of the smaller
//! share is *subordinate*, the other *dominant*; the first branch always answers for
//! the subordinate one, whichever image that is.

use bauta_backbones::TokenIndices;
use tch::{Kind, Reduction, Tensor};

use crate::{Target, TargetError};

/// Mixes images of one shape: λ·`first` + (1 − λ)·`second`, with λ in [0, 1].
///
/// # Errors
/// [`TargetError::Shape`] when the shapes differ.
pub fn mix(first: &Tensor, second: &Tensor, lambda: f64) -> Result<Tensor, TargetError> {
    same_shape(second, first)?;
    Ok(first * lambda + second * (1.0 - lambda))
}

/// Puts two things in the order (subordinate, dominant), where the first's share is λ.
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

/// The two-way image loss: the sum over branches of the target's loss, a scalar.
///
/// Each branch has its prediction [B, M, P] of masked tokens and its source, normalised
/// images [B, C, H, W]. With pixels as the target it is the reference's
/// Σ mask · (e₁² + e₂²) / Σ mask; a single branch is a sum of one.
///
/// # Errors
/// [`TargetError::Shape`] when predictions, sources and plan do not fit together.
pub fn two_way_loss<'a>(
    target: &dyn Target,
    predictions: &[Tensor],
    sources: impl IntoIterator<Item = &'a Tensor>,
    indices: &TokenIndices,
) -> Result<Tensor, TargetError> {
    let branches = predictions.iter().zip(sources);
    sum(branches
        .map(|(prediction, source)| target.loss(prediction, &target.masked(source, indices)?)))
}

/// The latent loss: the sum over branches of the mean squared distance between a branch's
/// latent and what the teacher makes of its image, both [B, 1 + V, Dd], class token included.
///
/// # Errors
/// [`TargetError::Shape`] when a pair differs in shape.
pub fn latent_loss(latents: &[Tensor], taught: &[Tensor]) -> Result<Tensor, TargetError> {
    sum(latents.iter().zip(taught).map(|(latent, taught)| {
        same_shape(latent, taught)?;
        let taught = taught.to_kind(Kind::Float);
        Ok(latent.to_kind(Kind::Float).mse_loss(&taught, Reduction::Mean))
    }))
}

fn sum(losses: impl Iterator<Item = Result<Tensor, TargetError>>) -> Result<Tensor, TargetError> {
    let sum = losses.reduce(|sum, loss| Ok(sum? + loss?));
    sum.unwrap_or_else(|| {
        Err(TargetError::Shape { found: vec![0], expected: "at least one branch".into() })
    })
}

fn same_shape(found: &Tensor, wanted: &Tensor) -> Result<(), TargetError> {
    if found.size() == wanted.size() {
        return Ok(());
    }
    Err(TargetError::Shape { found: found.size(), expected: format!("{:?}", wanted.size()) })
}

#[cfg(test)]
mod tests;
