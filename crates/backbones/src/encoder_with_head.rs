//! An encoder of whole images (a plain ViT, a BEiT or a residual network) with an optional
//! classifier or pooler.

use tch::Tensor;

use crate::{
    BeitConfig, BeitEncoder, BeitParts, Encode, ImageEncoder, Init, LayerNorm, Linear, ModelError,
    Pooling, ResNetConfig, ResNetEncoder, Scope, VisionTransformer, VitConfig,
};

/// Standard deviation of a new classifier's weights (MAE and BEiT, fine-tuning). MAE's code
/// truncates at ±2, which is 100,000 standard deviations; BEiT's at one, as for all its weights.
pub(crate) const HEAD_STD: f64 = 2e-5;

/// The head on the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncoderHead {
    /// No head.
    None,
    /// A linear classifier of the given number of classes on the class token
    /// (`ViTForImageClassification`, timm's `head`).
    Classifier(usize),
    /// The same on the mean of the last block's patch tokens, normalised by a norm of
    /// its own, `fc_norm`; there is no final norm (MAE's fine-tuning).
    MeanClassifier(usize),
    /// A linear layer of this width with tanh (`ViTModel`).
    Pooler(usize),
}

impl EncoderHead {
    /// The classes of a classifier.
    pub(crate) fn classes(self) -> Option<usize> {
        match self {
            Self::Classifier(classes) | Self::MeanClassifier(classes) => Some(classes),
            Self::None | Self::Pooler(_) => None,
        }
    }

    /// Whether it has a norm of its own in place of the encoder's.
    fn has_norm(self) -> bool {
        matches!(self, Self::MeanClassifier(_))
    }
}

/// The outputs of a [`EncoderWithHead`].
#[derive(Debug)]
pub struct HeadOutput {
    /// All tokens after the final norm, if there is one, [B, 1 + L, D], the class token first.
    pub last_hidden_state: Tensor,
    /// Scores of the classes, [B, classes], of a model with a classifier.
    pub logits: Option<Tensor>,
    /// The pooled class token, [B, width], of a model with a pooler.
    pub pooler_output: Option<Tensor>,
}

/// An encoder of whole images, with its head.
#[derive(Debug)]
pub struct EncoderWithHead {
    encoder: Box<dyn ImageEncoder>,
    fc_norm: Option<LayerNorm>,
    head: Option<Linear>,
    pooler: Option<Linear>,
}

impl EncoderWithHead {
    /// Adds the parameters of a plain ViT, and `fc_norm`, `head` or `pooler`, to `scope`.
    ///
    /// # Errors
    /// As [`VisionTransformer::new`].
    pub fn vit(
        mut scope: Scope<'_>,
        config: &VitConfig,
        head: EncoderHead,
    ) -> Result<Self, ModelError> {
        let build =
            if head.has_norm() { VisionTransformer::without_norm } else { VisionTransformer::new };
        let encoder = Box::new(build(scope.again(), config)?);
        Ok(Self::on(encoder, config.layer_norm_eps, scope, Init::Normal(HEAD_STD), head))
    }

    /// As [`Self::vit`] for a BEiT in fine-tuning: each block has a table of position biases, and
    /// there is no mask token.
    ///
    /// # Errors
    /// As [`BeitEncoder::new`].
    pub fn beit(
        mut scope: Scope<'_>,
        config: &BeitConfig,
        head: EncoderHead,
    ) -> Result<Self, ModelError> {
        let parts = BeitParts { biases_of_blocks: true, mask_token: false, norm: !head.has_norm() };
        let encoder = Box::new(BeitEncoder::with_parts(scope.again(), config, parts)?);
        let start = Init::TruncatedNormal(HEAD_STD);
        Ok(Self::on(encoder, config.vit.layer_norm_eps, scope, start, head))
    }

    /// Adds the parameters of a residual network for images of [height, width], and of a classifier
    /// of `classes` classes on the mean over positions, named `fc` as in torchvision.
    ///
    /// # Errors
    /// As [`ResNetEncoder::new`].
    pub fn residual(
        mut scope: Scope<'_>,
        config: ResNetConfig,
        image: [usize; 2],
        classes: usize,
    ) -> Result<Self, ModelError> {
        let encoder = Box::new(ResNetEncoder::new(scope.again(), config, image)?);
        let start = Init::Normal(HEAD_STD);
        let head = Some(classifier(scope.sub("fc"), config.features(), classes, start));
        Ok(Self { encoder, fc_norm: None, head, pooler: None })
    }

    /// Adds a head to an encoder whose norms have the epsilon `eps`; `start` initialises the
    /// weights of a classifier.
    fn on(
        encoder: Box<dyn ImageEncoder>,
        eps: f64,
        mut scope: Scope<'_>,
        start: Init,
        head: EncoderHead,
    ) -> Self {
        let dim = encoder.dim();
        let fc_norm = head.has_norm().then(|| LayerNorm::new(scope.sub("fc_norm"), dim, eps));
        let (head, pooler) = match head {
            EncoderHead::None => (None, None),
            EncoderHead::Classifier(classes) | EncoderHead::MeanClassifier(classes) => {
                (Some(classifier(scope.sub("head"), dim, classes, start)), None)
            }
            EncoderHead::Pooler(width) => {
                (None, Some(Linear::new(scope.sub("pooler"), dim, width, true)))
            }
        };
        Self { encoder, fc_norm, head, pooler }
    }

    /// The encoder.
    pub fn encoder(&self) -> &dyn ImageEncoder {
        &*self.encoder
    }

    /// The kind of head.
    pub fn kind(&self) -> EncoderHead {
        let rows = |linear: &Linear| linear.weight.size()[0] as usize;
        match (&self.head, &self.fc_norm, &self.pooler) {
            (Some(head), None, _) => EncoderHead::Classifier(rows(head)),
            (Some(head), Some(_), _) => EncoderHead::MeanClassifier(rows(head)),
            (None, _, Some(pooler)) => EncoderHead::Pooler(rows(pooler)),
            (None, _, None) => EncoderHead::None,
        }
    }

    /// Maps normalised images [B, C, H, W], encoded according to `how`, to tokens and the head's
    /// outputs.
    ///
    /// # Errors
    /// As [`ImageEncoder::encode`].
    pub fn forward(&self, images: &Tensor, how: Encode<'_>) -> Result<HeadOutput, ModelError> {
        let last_hidden_state = self.encoder.encode(images, how)?;
        let read = match &self.fc_norm {
            Some(norm) => norm.forward(&Pooling::Mean.pool(&last_hidden_state)),
            None => Pooling::Cls.pool(&last_hidden_state),
        };
        let logits = self.head.as_ref().map(|head| head.forward(&read));
        let pooler_output = self.pooler.as_ref().map(|pooler| pooler.forward(&read).tanh());
        Ok(HeadOutput { last_hidden_state, logits, pooler_output })
    }
}

/// A new classifier: weights close to zero, biases zero.
fn classifier(mut scope: Scope<'_>, dim: usize, classes: usize, start: Init) -> Linear {
    let (dim, classes) = (dim as i64, classes as i64);
    Linear {
        weight: scope.add("weight", &[classes, dim], start),
        bias: Some(scope.add("bias", &[classes], Init::Constant(0.0))),
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::{Parameters, tests::normal};

    #[test]
    fn a_mean_classifier_has_fc_norm_in_place_of_norm() {
        let mut parameters = Parameters::new(0, Device::Cpu);
        let config = VitConfig::new(8, 4, 16, 1, 2);
        let model =
            EncoderWithHead::vit(parameters.root(), &config, EncoderHead::MeanClassifier(3))
                .unwrap();
        let last: Vec<&str> = parameters.iter().map(|p| p.name.as_str()).collect();
        assert!(last.ends_with(&["fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias"]));
        assert!(parameters.get("norm.weight").is_none());
        let largest = parameters.get("head.weight").unwrap().tensor.abs().max().double_value(&[]);
        assert!(0.0 < largest && largest < 1.2e-4, "{largest}");

        let images = normal("images", &[2, 3, 8, 8]);
        let output = model.forward(&images, Encode::whole()).unwrap();
        let mean = Pooling::Mean.pool(&output.last_hidden_state);
        let normed = mean.layer_norm([16], None::<Tensor>, None::<Tensor>, 1e-6, false);
        let weight = &parameters.get("head.weight").unwrap().tensor;
        let wanted = normed.matmul(&weight.transpose(0, 1));
        let found = output.logits.unwrap();
        assert_eq!(found.size(), [2, 3]);
        assert!((found - wanted).abs().max().double_value(&[]) < 1e-8);
    }
}
