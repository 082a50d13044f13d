//! A teacher's features as targets: teacher, normalisation and loss, each chosen on its
//! own (MaskDistill's unified view, arXiv 2210.10615 §2; dBOT §3).

use bauta_backbones::TokenIndices;
use tch::Tensor;

use crate::{FeatureLoss, Normalization, TargetError, Teacher};

/// What a teacher says of the masked tokens, and how far off a prediction is.
pub struct FeatureTarget {
    teacher: Box<dyn Teacher>,
    normalization: Normalization,
    loss: FeatureLoss,
}

impl FeatureTarget {
    /// Puts the three slots together.
    pub fn new(teacher: Box<dyn Teacher>, normalization: Normalization, loss: FeatureLoss) -> Self {
        Self { teacher, normalization, loss }
    }

    /// The teacher.
    pub fn teacher(&self) -> &dyn Teacher {
        &*self.teacher
    }

    /// Targets of the masked tokens: u8 pixels [B, C, H, W] to [B, M, Dt].
    ///
    /// # Errors
    /// [`TargetError`] when images or indices do not fit the teacher's grid.
    pub fn masked(&self, pixels: &Tensor, indices: &TokenIndices) -> Result<Tensor, TargetError> {
        let features = self.features(pixels, indices)?;
        let first = i64::from(self.teacher.has_class_token());
        let patches = features.narrow(1, first, indices.tokens());
        Ok(self.normalization.apply(&indices.gather_masked(&patches)))
    }

    /// The same after the class token's target: [B, 1 + M, Dt].
    ///
    /// # Errors
    /// As [`Self::masked`], and [`TargetError::NoClassToken`] when the teacher has none.
    pub fn masked_and_class(
        &self,
        pixels: &Tensor,
        indices: &TokenIndices,
    ) -> Result<Tensor, TargetError> {
        if !self.teacher.has_class_token() {
            return Err(TargetError::NoClassToken);
        }
        let features = self.features(pixels, indices)?;
        let patches = features.narrow(1, 1, indices.tokens());
        let chosen = Tensor::cat(&[features.narrow(1, 0, 1), indices.gather_masked(&patches)], 1);
        Ok(self.normalization.apply(&chosen))
    }

    /// The loss of predictions of what [`Self::masked`] or [`Self::masked_and_class`] gave:
    /// a scalar in single precision.
    ///
    /// # Errors
    /// [`TargetError::Shape`] when they differ in shape.
    pub fn loss(&self, prediction: &Tensor, target: &Tensor) -> Result<Tensor, TargetError> {
        self.loss.of(prediction, target)
    }

    fn features(&self, pixels: &Tensor, indices: &TokenIndices) -> Result<Tensor, TargetError> {
        let (found, wanted) = (indices.tokens(), self.teacher.grid().tokens() as i64);
        if found != wanted {
            let expected = format!("indices of {wanted} tokens");
            return Err(TargetError::Shape { found: indices.restore().size(), expected });
        }
        let _no_grad = tch::no_grad_guard();
        Ok(self.teacher.features(pixels)?.detach())
    }
}
