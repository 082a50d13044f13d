//! The `target` table: pixels, or a teacher's features.

use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

use crate::reading::{Violation, ensure, positive};

/// The image itself must be predicted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PixelTarget {
    /// The kind of target: `pixels` or `normalized-pixels`.
    pub kind: TargetKind,
}

/// A teacher's features of the whole image must be predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureTarget {
    /// The kind of target: `features`.
    pub kind: TargetKind,
    /// Normalisation and loss of the features.
    pub features: Comparison,
}

/// Targets of any system, by the names that recipes use, in the order of the documentation.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum TargetKind {
    /// Pixels of the normalised image.
    Pixels,
    /// Pixels standardised within each patch (MAE's headline models).
    #[default]
    NormalizedPixels,
    /// A teacher's features of the whole image.
    Features,
}

/// How a teacher's features become targets, and how predictions are judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Normalisation of each token's features.
    pub normalization: Normalization,
    /// Loss between prediction and target.
    pub loss: FeatureLoss,
    /// With loss `smooth-l1`: the difference at which it changes from quadratic to linear.
    #[serde(default = "one")]
    pub beta: f64,
}

/// Normalisations of a token's features, by the names that recipes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, VariantArray)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Normalization {
    /// No normalisation.
    None,
    /// Mean 0 and unbiased variance 1, eps 1e-6 in the root (dBOT; MAE's pixels).
    Standardize,
    /// Mean 0 and biased variance 1, eps 1e-6 in the root (layer norm without affine parameters).
    LayerNorm,
    /// Euclidean length 1.
    L2,
}

/// Losses on features, by the names that recipes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display, VariantArray)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum FeatureLoss {
    /// Mean squared error.
    Mse,
    /// Smooth L1, with the transition at `beta`.
    SmoothL1,
    /// 1 − cosine similarity of a token's prediction and target.
    Cosine,
}

fn one() -> f64 {
    1.0
}

impl PixelTarget {
    /// Whether each patch's pixels are standardised.
    pub fn normalizes(&self) -> bool {
        self.kind == TargetKind::NormalizedPixels
    }

    /// Checks what types cannot say, for a recipe of `system`.
    ///
    /// # Errors
    /// [`Violation`] for another kind of target.
    pub fn check(&self, system: &str) -> Result<(), Violation> {
        self.kind.check(&[TargetKind::Pixels, TargetKind::NormalizedPixels], system)
    }
}

impl FeatureTarget {
    /// Checks what types cannot say, for a recipe of `system`.
    ///
    /// # Errors
    /// [`Violation`] for another kind of target, or a `beta` that is not above 0.
    pub fn check(&self, system: &str) -> Result<(), Violation> {
        self.kind.check(&[TargetKind::Features], system)?;
        positive("target.features.beta", self.features.beta)
    }
}

impl TargetKind {
    pub(super) fn check(self, known: &[Self], system: &str) -> Result<(), Violation> {
        ensure(known.contains(&self), &["target.kind", "system"], || {
            let known: Vec<&str> = known.iter().map(Into::into).collect();
            format!(
                "system \"{system}\" cannot predict target.kind \"{self}\"; use {}",
                known.join(" or ")
            )
        })
    }
}
