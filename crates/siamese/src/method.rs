//! The methods of comparing views, and their sizes.

use bauta_backbones::ResNetConfig;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

use crate::heads::Part;
use crate::{Distance, SiameseError};

/// How a siamese network avoids collapse, under the names that recipes use.
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
pub enum Method {
    /// MoCo v2: the key is identified among a queue of others; a momentum encoder computes keys.
    #[default]
    Moco,
    /// SimSiam: a predictor, and no gradient through the other view.
    Simsiam,
    /// BYOL: a predictor; a momentum encoder computes the other view.
    Byol,
}

impl Method {
    /// Whether keys come from a momentum encoder.
    pub fn has_momentum(self) -> bool {
        self != Self::Simsiam
    }
}

/// Parts and sizes of a siamese network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiameseConfig {
    /// The method.
    pub method: Method,
    /// The encoder of both views.
    pub encoder: ResNetConfig,
    /// Width of the compared vectors, C.
    pub dim: usize,
    /// Width of the projector's hidden layers; for MoCo, 0 gives a single linear layer.
    pub hidden: usize,
    /// Keys in MoCo's queue, K.
    pub queue: usize,
    /// Momentum of the momentum encoder per step, in [0, 1).
    pub momentum: f64,
    /// Temperature T of MoCo's logits, above 0.
    pub temperature: f64,
    /// Number of parts of a batch that batch norms normalise separately.
    pub splits: usize,
    /// Whether each view is compared with the other, instead of only the first with the second.
    pub symmetric: bool,
}

impl SiameseConfig {
    /// How queries are compared with keys.
    pub fn distance(&self) -> Distance {
        match self.method {
            Method::Moco => Distance::InfoNce { temperature: self.temperature },
            Method::Simsiam => Distance::Cosine,
            Method::Byol => Distance::Direction,
        }
    }

    /// The weight of each of the two directions: SimSiam averages them, other methods add them.
    pub fn weight(&self) -> f64 {
        if self.method == Method::Simsiam && self.symmetric { 0.5 } else { 1.0 }
    }

    /// Checks the sizes.
    ///
    /// # Errors
    /// [`SiameseError::Config`] for the first invalid size.
    pub fn check(&self) -> Result<(), SiameseError> {
        let Self { method, dim, hidden, queue, momentum, temperature, splits, .. } = *self;
        let refuse = |text: String| Err(SiameseError::Config(text));
        if dim == 0 || splits == 0 {
            return refuse(format!("dim {dim} and splits {splits} must be at least 1"));
        }
        if method != Method::Moco && hidden == 0 {
            return refuse(format!("hidden is 0; {method} must have a hidden layer"));
        }
        if method == Method::Moco && queue == 0 {
            return refuse("queue is 0; it must be at least 1".to_owned());
        }
        if !(0.0..1.0).contains(&momentum) {
            return refuse(format!("momentum is {momentum}; it must be in [0, 1)"));
        }
        if !(temperature > 0.0 && temperature.is_finite()) {
            return refuse(format!("temperature is {temperature}; it must be above 0"));
        }
        Ok(())
    }

    pub(crate) fn projector(&self) -> Vec<Part> {
        let Self { dim, hidden, .. } = *self;
        match self.method {
            Method::Moco if hidden == 0 => vec![Part::Linear(dim, true)],
            Method::Moco => vec![Part::Linear(hidden, true), Part::Relu, Part::Linear(dim, true)],
            Method::Simsiam => vec![
                Part::Linear(hidden, false),
                Part::Norm(true),
                Part::Relu,
                Part::Linear(hidden, false),
                Part::Norm(true),
                Part::Relu,
                Part::Linear(dim, true),
                Part::Norm(false),
            ],
            Method::Byol => self.two_layers(hidden),
        }
    }

    /// The predictor's layers; `None` for a method without a predictor.
    pub(crate) fn predictor(&self) -> Option<Vec<Part>> {
        match self.method {
            Method::Moco => None,
            // A quarter of the width, as in the paper.
            Method::Simsiam => Some(self.two_layers((self.dim / 4).max(1))),
            Method::Byol => Some(self.two_layers(self.hidden)),
        }
    }

    fn two_layers(&self, hidden: usize) -> Vec<Part> {
        let first = [Part::Linear(hidden, false), Part::Norm(true), Part::Relu];
        first.into_iter().chain([Part::Linear(self.dim, true)]).collect()
    }
}
