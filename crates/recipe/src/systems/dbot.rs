//! dBOT: features of a teacher, which is the student of the previous stage (arXiv 2209.03917).

use bauta_masking::{Grid, MaskError};
use serde::{Deserialize, Serialize};

use crate::data_need::DataNeed;
use crate::reading::Violation;
use crate::system_settings::SystemSettings;
use crate::tables::{
    Data, Decoder, DroppingVit, Eval, FeatureTarget, Mask, Stages, Teacher, Train,
};

/// Settings of a recipe of system `dbot`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DBot {
    /// The images.
    pub data: Data,
    /// The encoder of the visible tokens.
    pub model: DroppingVit,
    /// The network that predicts masked patches.
    pub decoder: Decoder,
    /// Which tokens are masked.
    pub mask: Mask,
    /// The network whose features are predicted in the first stage.
    pub teacher: Teacher,
    /// The prediction target.
    pub target: FeatureTarget,
    /// Stages of bootstrapping.
    pub stages: Stages,
    /// What is measured at the end.
    #[serde(default)]
    pub eval: Eval,
}

impl DBot {
    /// The token geometry of one image.
    ///
    /// # Errors
    /// [`MaskError`] when the image is not a whole number of patches.
    pub fn grid(&self) -> Result<Grid, MaskError> {
        self.data.grid(self.model.patch_size)
    }
}

impl SystemSettings for DBot {
    const NAME: &'static str = "dbot";
    const CHECKPOINTS_BLOCKS: bool = true;

    fn complete(&mut self) {
        self.teacher.keep_own();
    }

    fn check(&self, train: &Train) -> Result<(), Violation> {
        self.data.check(train)?;
        self.model.check()?;
        self.decoder.check()?;
        self.mask.check(&self.data, self.model.patch_size)?;
        self.teacher.check()?;
        self.target.check(Self::NAME)?;
        self.stages.check()?;
        self.eval.check()
    }

    fn data(&self) -> Vec<DataNeed> {
        vec![self.data.need()]
    }

    fn teacher(&self) -> Option<&Teacher> {
        Some(&self.teacher)
    }
}
