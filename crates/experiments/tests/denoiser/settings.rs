//! The denoiser's section of a recipe.

use bauta_recipe::reading::{at_least_one, below_one};
use bauta_recipe::{Data, DataNeed, Eval, SystemSettings, Train, Violation};
use serde::{Deserialize, Serialize};

/// What a recipe says of the denoiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denoiser {
    /// The images.
    pub data: Data,
    /// The hidden layer.
    pub model: Hidden,
    /// How images are corrupted.
    pub noise: Noise,
    /// What is measured at the end.
    #[serde(default)]
    pub eval: Eval,
}

/// The hidden layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hidden {
    /// Its width, D.
    pub dim: usize,
}

/// Masking noise: pixels that are set to zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// The fraction of them, in [0, 1).
    pub ratio: f64,
}

impl SystemSettings for Denoiser {
    const NAME: &'static str = "denoiser";

    fn check(&self, train: &Train) -> Result<(), Violation> {
        self.data.check(train)?;
        at_least_one("model.dim", self.model.dim)?;
        below_one("noise.ratio", self.noise.ratio)?;
        self.eval.check()
    }

    fn data(&self) -> Vec<DataNeed> {
        vec![self.data.need()]
    }
}
