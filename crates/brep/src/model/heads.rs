//! Heads on face codes: classes of faces by message passing between neighbouring faces, and classes
//! of parts by a maximum over faces.

use bauta_backbones::Scope;
use tch::{Kind, Reduction, Tensor};

use super::linear::{Affine, leaky};
use super::segments::segment_max;
use super::{GraphBatch, MaxRelative};

/// A classifier of faces.
#[derive(Debug)]
pub struct FaceClassifier {
    passing: Vec<MaxRelative>,
    hidden: Affine,
    output: Affine,
}

impl FaceClassifier {
    /// A classifier with `layers` of message passing over codes of width `dim`; with 0 layers it is
    /// a perceptron.
    pub fn new(mut scope: Scope<'_>, dim: i64, layers: usize, classes: i64) -> Self {
        let passing = |i: usize| MaxRelative::new(scope.sub("mp").sub(i), dim);
        Self {
            passing: (0..layers).map(passing).collect(),
            hidden: Affine::new(scope.sub("hidden"), dim, dim),
            output: Affine::new(scope.sub("output"), dim, classes),
        }
    }

    /// Logits [F, C] for codes [F, D].
    pub fn forward(&self, codes: &Tensor, batch: &GraphBatch) -> Tensor {
        let mut codes = codes.shallow_clone();
        let (from, to) = (&batch.face_face.from, &batch.face_face.to);
        for layer in &self.passing {
            codes = layer.forward(&codes, &codes, from, to);
        }
        self.output.forward(&leaky(&self.hidden.forward(&codes), 0.01))
    }
}

/// A classifier of parts.
#[derive(Debug)]
pub struct PartClassifier {
    hidden: Affine,
    output: Affine,
}

impl PartClassifier {
    /// A classifier for codes of width `dim`.
    pub fn new(mut scope: Scope<'_>, dim: i64, classes: i64) -> Self {
        let hidden = Affine::new(scope.sub("hidden"), dim, dim);
        Self { hidden, output: Affine::new(scope.sub("output"), dim, classes) }
    }

    /// Logits [B, C] for codes [F, D].
    pub fn forward(&self, codes: &Tensor, batch: &GraphBatch) -> Tensor {
        let pooled = segment_max(&self.hidden.forward(codes), &batch.part, batch.parts);
        self.output.forward(&leaky(&pooled, 0.01))
    }
}

/// Cross-entropy of logits [N, C] and classes `[N]`.
pub fn cross_entropy(logits: &Tensor, classes: &Tensor) -> Tensor {
    logits.cross_entropy_loss::<Tensor>(classes, None, Reduction::Mean, -100, 0.0)
}

/// The class of the largest logit of each row.
pub fn predicted(logits: &Tensor) -> Vec<i64> {
    Vec::try_from(logits.argmax(1, false)).expect("a vector of classes")
}

/// The fraction of rows whose largest logit is that of their class.
pub fn accuracy(logits: &Tensor, classes: &Tensor) -> f64 {
    let right = logits.argmax(1, false).eq_tensor(classes);
    right.to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
}
