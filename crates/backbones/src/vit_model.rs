//! A ViT with what may stand on its class token: a classifier, or a pooler.

use tch::Tensor;

use crate::{Linear, ModelError, Scope, VisionTransformer, VitConfig, class_token};

/// What reads the class token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VitHead {
    /// Nothing.
    None,
    /// A linear classifier of so many classes (`ViTForImageClassification`, timm's `head`).
    Classifier(usize),
    /// A linear layer of this width with tanh (`ViTModel`).
    Pooler(usize),
}

/// The outputs of a [`VitModel`].
#[derive(Debug)]
pub struct VitOutput {
    /// All tokens after the final norm, [B, 1 + L, D], the class token first.
    pub last_hidden_state: Tensor,
    /// Scores of the classes, [B, classes], of a model with a classifier.
    pub logits: Option<Tensor>,
    /// The pooled class token, [B, width], of a model with a pooler.
    pub pooler_output: Option<Tensor>,
}

/// A vision transformer on whole images, with its head.
#[derive(Debug)]
pub struct VitModel {
    encoder: VisionTransformer,
    head: Option<Linear>,
    pooler: Option<Linear>,
}

impl VitModel {
    /// Adds the encoder's parameters, and `head` or `pooler`, to `scope`.
    ///
    /// # Errors
    /// As [`VisionTransformer::new`].
    pub fn new(
        mut scope: Scope<'_>,
        config: &VitConfig,
        head: VitHead,
    ) -> Result<Self, ModelError> {
        let encoder = VisionTransformer::new(scope.again(), config)?;
        let mut linear = |name, outputs| Linear::new(scope.sub(name), config.dim, outputs, true);
        let (head, pooler) = match head {
            VitHead::None => (None, None),
            VitHead::Classifier(classes) => (Some(linear("head", classes)), None),
            VitHead::Pooler(width) => (None, Some(linear("pooler", width))),
        };
        Ok(Self { encoder, head, pooler })
    }

    /// The encoder.
    pub fn encoder(&self) -> &VisionTransformer {
        &self.encoder
    }

    /// Maps normalised images [B, C, H, W] to tokens and what the head makes of them.
    ///
    /// # Errors
    /// [`ModelError::Shape`] when the images are of another size.
    pub fn forward(&self, images: &Tensor) -> Result<VitOutput, ModelError> {
        let last_hidden_state = self.encoder.forward_all(images)?;
        let cls = class_token(&last_hidden_state);
        let logits = self.head.as_ref().map(|head| head.forward(&cls));
        let pooler_output = self.pooler.as_ref().map(|pooler| pooler.forward(&cls).tanh());
        Ok(VitOutput { last_hidden_state, logits, pooler_output })
    }
}
