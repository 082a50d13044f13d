//! MaskDistill: a teacher's features of masked patches, by an encoder that sees every
//! position (arXiv 2210.10615).

use bauta_masking::{Grid, MaskError};
use serde::{Deserialize, Serialize};

use crate::data_need::DataNeed;
use crate::reading::Violation;
use crate::system_settings::SystemSettings;
use crate::tables::{Beit, Data, Eval, FeatureTarget, Mask, Teacher, Train};

/// Settings of a recipe of system `maskdistill`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskDistill {
    /// The images.
    pub data: Data,
    /// The encoder, in which mask tokens replace masked patches.
    pub model: Beit,
    /// Which tokens are masked.
    pub mask: Mask,
    /// The network whose features are predicted.
    pub teacher: Teacher,
    /// The prediction target.
    pub target: FeatureTarget,
    /// What is measured at the end.
    #[serde(default)]
    pub eval: Eval,
}

impl MaskDistill {
    /// The token geometry of one image.
    ///
    /// # Errors
    /// [`MaskError`] when the image is not a whole number of patches.
    pub fn grid(&self) -> Result<Grid, MaskError> {
        self.data.grid(self.model.patch_size)
    }
}

impl SystemSettings for MaskDistill {
    const NAME: &'static str = "maskdistill";
    const CHECKPOINTS_BLOCKS: bool = true;

    fn complete(&mut self) {
        self.teacher.keep_own();
    }

    fn check(&self, train: &Train) -> Result<(), Violation> {
        self.data.check(train)?;
        self.model.check()?;
        self.mask.check(&self.data, self.model.patch_size)?;
        self.teacher.check()?;
        self.target.check(Self::NAME)?;
        self.eval.check()
    }

    fn data(&self) -> Vec<DataNeed> {
        vec![self.data.need()]
    }

    fn teacher(&self) -> Option<&Teacher> {
        Some(&self.teacher)
    }
}
