//! A teacher's features as targets: teacher, normalisation and loss, each chosen independently
//! (MaskDistill's unified view, arXiv 2210.10615 §2; dBOT §3).

use bauta_backbones::{TokenIndices, patch_tokens};
use tch::Tensor;

use crate::{FeatureLoss, Normalization, TargetError, Teacher};

/// A teacher's features of the masked tokens, and the loss of a prediction.
pub struct FeatureTarget {
    teacher: Box<dyn Teacher>,
    normalization: Normalization,
    loss: FeatureLoss,
}

impl FeatureTarget {
    /// Combines a teacher, a normalisation and a loss.
    pub fn new(teacher: Box<dyn Teacher>, normalization: Normalization, loss: FeatureLoss) -> Self {
        Self { teacher, normalization, loss }
    }

    /// The teacher.
    pub fn teacher(&self) -> &dyn Teacher {
        &*self.teacher
    }

    /// Targets of u8 pixels [B, C, H, W]: of the class token, if the teacher has one, then of the
    /// masked tokens, [B, (1 +) M, Dt].
    ///
    /// # Errors
    /// [`TargetError`] when images or indices do not fit the teacher's grid.
    pub fn masked(&self, pixels: &Tensor, indices: &TokenIndices) -> Result<Tensor, TargetError> {
        let features = self.features(pixels, indices)?;
        let chosen = if self.teacher.has_class_token() {
            let masked = indices.gather_masked(&patch_tokens(&features));
            Tensor::cat(&[features.narrow(1, 0, 1), masked], 1)
        } else {
            indices.gather_masked(&features)
        };
        Ok(self.normalization.apply(&chosen))
    }

    /// The loss of predictions of the targets of [`Self::masked`], a scalar in single precision.
    ///
    /// Predictions can cover the class token and the masked tokens, [B, 1 + M, Dt], or the masked
    /// tokens alone, [B, M, Dt]. The class token enters the loss only if it is predicted and the
    /// teacher has one; otherwise the side that has it drops its row.
    ///
    /// # Errors
    /// [`TargetError::Shape`] when the shapes of prediction and target do not match.
    pub fn loss(&self, prediction: &Tensor, target: &Tensor) -> Result<Tensor, TargetError> {
        let (predicted, wanted) = (rows(prediction), rows(target));
        if self.teacher.has_class_token() && wanted == predicted + 1 {
            self.loss.of(prediction, &patch_tokens(target))
        } else if !self.teacher.has_class_token() && predicted == wanted + 1 {
            self.loss.of(&patch_tokens(prediction), target)
        } else {
            self.loss.of(prediction, target)
        }
    }

    /// Returns a closure that computes [`Self::loss`] of predicting the mean of the target's tokens
    /// everywhere: the loss of a network that has learnt nothing but a bias.
    pub fn of_mean(
        &self,
        prediction: &Tensor,
        target: Tensor,
    ) -> impl FnOnce() -> Result<Tensor, TargetError> + use<> {
        let without_class = self.teacher.has_class_token() && rows(&target) == rows(prediction) + 1;
        let loss = self.loss;
        move || Ok(loss.of_mean(&if without_class { patch_tokens(&target) } else { target }))
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

/// Tokens of each sample of [B, N, D].
fn rows(tokens: &Tensor) -> i64 {
    tokens.size().get(1).copied().unwrap_or_default()
}
