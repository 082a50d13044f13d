//! MAE-ST: pixels of masked spacetime patches from the visible ones (arXiv 2205.09113).

use bauta_masking::{Grid, MaskError};
use serde::{Deserialize, Serialize};

use crate::data_need::DataNeed;
use crate::reading::Violation;
use crate::system_settings::SystemSettings;
use crate::tables::{ClipData, ClipEval, FrameTarget, Mask, Train, VideoDecoder, VideoVit};

/// Settings of a recipe of system `mae-st`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaeSt {
    /// The videos.
    pub data: ClipData,
    /// The encoder of the visible tokens.
    pub model: VideoVit,
    /// The network that predicts masked patches.
    pub decoder: VideoDecoder,
    /// Which tokens are masked.
    pub mask: Mask,
    /// The prediction target.
    pub target: FrameTarget,
    /// What is measured at the end.
    #[serde(default)]
    pub eval: ClipEval,
}

impl MaeSt {
    /// The token geometry of one clip.
    ///
    /// # Errors
    /// [`MaskError`] when the clip is not a whole number of patches.
    pub fn grid(&self) -> Result<Grid, MaskError> {
        self.data.grid(self.model.patch_frames, self.model.patch_size)
    }
}

impl SystemSettings for MaeSt {
    const NAME: &'static str = "mae-st";
    const CHECKPOINTS_BLOCKS: bool = true;

    fn check(&self, train: &Train) -> Result<(), Violation> {
        self.data.check(train)?;
        self.model.check()?;
        self.decoder.check()?;
        let grid = self.grid().map_err(|error| {
            let keys =
                ["model.patch_size", "model.patch_frames", "data.image_size", "data.clip.frames"];
            let message = format!(
                "{error}; change model.patch_size and data.image_size, or model.patch_frames \
                 and data.clip.frames"
            );
            Violation::new(&keys, message)
        })?;
        self.mask.check_on(grid, &["data.clip.frames", "model.patch_frames"])?;
        self.target.check(Self::NAME, self.data.clip.frames, grid.time())?;
        self.eval.check()
    }

    fn data(&self) -> Vec<DataNeed> {
        self.data.needs()
    }
}
