//! MAE: pixels of masked patches from the visible ones (arXiv 2111.06377).

use bauta_masking::{Grid, MaskError};
use serde::{Deserialize, Serialize};

use crate::data_need::DataNeed;
use crate::reading::Violation;
use crate::system_settings::SystemSettings;
use crate::tables::{Data, Decoder, Eval, Mask, PixelTarget, Train, Vit};

/// Settings of a recipe of system `mae`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mae {
    /// The images.
    pub data: Data,
    /// The encoder of the visible tokens.
    pub model: Vit,
    /// The network that predicts masked patches.
    pub decoder: Decoder,
    /// Which tokens are masked.
    pub mask: Mask,
    /// The prediction target.
    pub target: PixelTarget,
    /// What is measured at the end.
    #[serde(default)]
    pub eval: Eval,
}

impl Mae {
    /// The token geometry of one image.
    ///
    /// # Errors
    /// [`MaskError`] when the image is not a whole number of patches.
    pub fn grid(&self) -> Result<Grid, MaskError> {
        self.data.grid(self.model.patch_size)
    }
}

impl SystemSettings for Mae {
    const NAME: &'static str = "mae";
    const CHECKPOINTS_BLOCKS: bool = true;

    fn check(&self, train: &Train) -> Result<(), Violation> {
        self.data.check(train)?;
        self.model.check()?;
        self.decoder.check()?;
        self.mask.check(&self.data, self.model.patch_size)?;
        self.target.check(Self::NAME)?;
        self.eval.check()
    }

    fn data(&self) -> Vec<DataNeed> {
        vec![self.data.need()]
    }
}
