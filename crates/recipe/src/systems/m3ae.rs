//! M3AE: pixels and words of images and their captions (arXiv 2205.14204).

mod tables;

use bauta_masking::{Grid, MaskError};
use serde::{Deserialize, Serialize};

pub use self::tables::{PairData, PairEval, PairMask, PairTarget, PairVit};
use crate::data_need::DataNeed;
use crate::reading::{Violation, ensure};
use crate::system_settings::SystemSettings;
use crate::tables::{Decoder, Train};

/// Settings of a recipe of system `m3ae`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct M3ae {
    /// The images and their captions.
    pub data: PairData,
    /// The encoder of the visible patches and words.
    pub model: PairVit,
    /// The network that predicts the masked ones.
    pub decoder: Decoder,
    /// Which patches and words are masked.
    pub mask: PairMask,
    /// The prediction target.
    #[serde(default)]
    pub target: PairTarget,
    /// What is measured at the end.
    #[serde(default)]
    pub eval: PairEval,
}

impl M3ae {
    /// The token geometry of one image.
    ///
    /// # Errors
    /// [`MaskError`] when the image is not a whole number of patches.
    pub fn grid(&self) -> Result<Grid, MaskError> {
        let size = self.data.image_size;
        Grid::of_image(size.height(), size.width(), self.model.patch_size)
    }
}

impl SystemSettings for M3ae {
    const NAME: &'static str = "m3ae";
    const CHECKPOINTS_BLOCKS: bool = true;

    fn check(&self, train: &Train) -> Result<(), Violation> {
        self.data.check(train)?;
        self.model.check()?;
        self.decoder.check()?;
        let grid = self.grid().map_err(|error| {
            let message = format!("{error}; change model.patch_size or data.image_size");
            Violation::new(&["model.patch_size", "data.image_size"], message)
        })?;
        self.mask.check(grid)?;
        self.target.check(Self::NAME)?;
        let dropped = self.data.drop_text + self.data.drop_image;
        ensure(dropped <= 1.0, &["data.drop_text", "data.drop_image"], || {
            format!("data.drop_text and data.drop_image sum to {dropped}; they must be at most 1")
        })?;
        self.eval.check()
    }

    fn data(&self) -> Vec<DataNeed> {
        self.data.needs()
    }
}
