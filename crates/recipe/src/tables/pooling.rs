//! The feature of an image: `eval.features` and `eval.finetune.features`.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// How the tokens of the final layer norm become one feature of the image, by the names that
/// recipes use, in the order of the documentation.
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
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Pooling {
    /// Mean of the patch tokens.
    #[default]
    Mean,
    /// The class token.
    Cls,
}

impl Pooling {
    /// The pooling, in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Mean => "mean of the patch tokens",
            Self::Cls => "class token",
        }
    }
}
