//! The `mixture` table: two images in one input (i-MAE).

use serde::{Deserialize, Serialize};
use strum::Display;

use crate::reading::{Violation, fraction, non_negative};

/// Two images in one input, and what is learnt from each (i-MAE §3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mixture {
    /// Which of the two images are reconstructed.
    pub branches: Branches,
    /// λ of every mixture, the share of the first image; drawn from U(0, 1) for each batch if not
    /// given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lambda: Option<f64>,
    /// Probability that the partner is of the same class, which needs labels; if not given,
    /// partners are drawn from all images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_class: Option<f64>,
    /// Weight of the latent distillation, which needs no teacher if this is 0.
    pub latent_weight: f64,
    /// What the teacher sees.
    pub teacher_input: TeacherInput,
    /// The weights that training starts from.
    pub init: MixtureInit,
}

impl Default for Mixture {
    fn default() -> Self {
        Self {
            branches: Branches::Double,
            lambda: None,
            same_class: None,
            latent_weight: 1.0,
            teacher_input: TeacherInput::Sources,
            init: MixtureInit::Teacher,
        }
    }
}

/// Which of the two images are reconstructed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Branches {
    /// The subordinate one, with the smaller share.
    Single,
    /// Both.
    #[default]
    Double,
}

/// What the teacher sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum TeacherInput {
    /// Each source image alone (the paper).
    #[default]
    Sources,
    /// The mixture, for both branches (the released code).
    Mixture,
}

/// The weights that training starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum MixtureInit {
    /// The teacher's, with each disentangling head a copy of its `decoder_embed`: continued
    /// pre-training, as in the released code.
    #[default]
    Teacher,
    /// Random weights.
    Random,
}

impl Mixture {
    /// Whether a teacher is needed, for initial weights or for latents to distil.
    pub fn needs_teacher(&self) -> bool {
        self.latent_weight > 0.0 || self.init == MixtureInit::Teacher
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`Violation`] for shares and weights that make no sense.
    pub fn check(&self) -> Result<(), Violation> {
        non_negative("mixture.latent_weight", self.latent_weight)?;
        self.lambda.map_or(Ok(()), |lambda| fraction("mixture.lambda", lambda))?;
        self.same_class.map_or(Ok(()), |share| fraction("mixture.same_class", share))
    }
}
