//! MixMask: siamese convolutional networks on images whose masked cells other images fill
//! (arXiv 2210.11456).

use std::path::PathBuf;

use bauta_masking::{FillStrategy, Filler, Grid, MaskError, Partners};
use serde::{Deserialize, Serialize};
use strum::Display;

use crate::data_need::DataNeed;
use crate::reading::{Violation, ensure, fraction, must_be, positive, proper_fraction};
use crate::system_settings::SystemSettings;
use crate::tables::limits::{count, within_limit};
use crate::tables::{Data, Eval, Train};

/// Settings of a recipe of system `mixmask`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixMask {
    /// The images; each is read twice, as two views.
    pub data: Data,
    /// The encoder of both views.
    pub model: ResidualNetwork,
    /// How views are compared.
    pub siamese: SiameseTable,
    /// Which cells of a view are masked, and what they show; without it, views are not masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<FillTable>,
    /// What is measured at the end.
    #[serde(default)]
    pub eval: Eval,
}

/// A residual network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResidualNetwork {
    /// The blocks.
    pub network: ResidualBlocks,
    /// The first layers.
    #[serde(default)]
    pub stem: ResidualStem,
    /// Channels after the stem; each further stage has twice as many.
    #[serde(default = "defaults::width")]
    pub width: usize,
    /// Model folder whose weights training starts from: an imported one of torchvision's, MoCo's or
    /// Hugging Face's, or a run's checkpoint, relative to the current folder; random weights if not
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
}

/// Residual networks, by the names that recipes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum ResidualBlocks {
    /// Four stages of two basic blocks.
    ResNet18,
    /// Stages of 3, 4, 6 and 3 bottlenecks.
    ResNet50,
}

/// The first layers of a residual network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum ResidualStem {
    /// One 3 × 3 convolution, for images of 32 pixels.
    #[default]
    Small,
    /// A 7 × 7 convolution of stride 2 and max pooling, for images of 224.
    Large,
}

/// How views are compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiameseTable {
    /// The method.
    pub base: SiameseBase,
    /// Width of the compared vectors.
    pub dim: usize,
    /// Width of the projector's hidden layers; with base `moco`, 0 is a single linear layer.
    pub hidden: usize,
    /// With base `moco`: number of keys kept from earlier steps, a multiple of those per step.
    pub queue: usize,
    /// With base `moco` or `byol`: momentum of the momentum encoder per step.
    pub momentum: f64,
    /// With base `moco`: temperature of the logits.
    pub temperature: f64,
    /// Number of parts of a batch that batch norms normalise separately.
    pub splits: usize,
    /// Whether each view is compared with the other, instead of only the first with the second.
    pub symmetric: bool,
    /// Whether images are also mixed by Un-Mix: blended, or with a box pasted.
    pub unmix: bool,
}

impl Default for SiameseTable {
    fn default() -> Self {
        Self {
            base: SiameseBase::Moco,
            dim: 128,
            hidden: 512,
            queue: 4096,
            momentum: 0.99,
            temperature: 0.1,
            splits: 8,
            symmetric: false,
            unmix: false,
        }
    }
}

/// Siamese methods, by the names that recipes use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum SiameseBase {
    /// MoCo v2 (arXiv 2003.04297).
    #[default]
    Moco,
    /// SimSiam (arXiv 2011.10566).
    Simsiam,
    /// BYOL (arXiv 2006.07733).
    Byol,
}

/// Which cells of a view are masked, and what they show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FillTable {
    /// How the cells that stay visible are chosen.
    #[serde(default)]
    pub strategy: FillStrategy,
    /// The fraction of cells that is masked, in (0, 1); the others keep the image's own pixels.
    pub ratio: f64,
    /// Cells along each side of an image.
    pub grid: usize,
    /// What masked cells show.
    #[serde(default)]
    pub fill: Filling,
    /// With fill `partner`: how partners are chosen.
    #[serde(default)]
    pub partners: Partners,
    /// With fill `partner`: the weight of the image's own term, in [0, 1], instead of the fraction
    /// of pixels that are its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_weight: Option<f64>,
}

/// What masked cells show, by the names that recipes use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Filling {
    /// The same cells of another image of the batch (MixMask).
    #[default]
    Partner,
    /// The mean of all images (MSCN, arXiv 2206.07700).
    Mean,
    /// Noise.
    Noise,
}

mod defaults {
    pub(super) fn width() -> usize {
        64
    }
}

impl FillTable {
    /// Builds the generator of masks for images of this height and width.
    ///
    /// # Errors
    /// As [`Filler::new`].
    pub fn build(&self, image: [usize; 2]) -> Result<Filler, MaskError> {
        // A recipe gives the masked fraction, as for every mask; `Filler` takes the visible one.
        Filler::new(self.strategy, Grid::image(self.grid, self.grid)?, image, 1.0 - self.ratio)
    }

    fn check(&self, image: [usize; 2]) -> Result<(), Violation> {
        count("mask.grid", self.grid)?;
        proper_fraction("mask.ratio", self.ratio)?;
        self.build(image).map(drop).map_err(|error| {
            let keys = ["mask.grid", "mask.ratio", "data.image_size"];
            Violation::new(&keys, format!("mask.grid {}: {error}", self.grid))
        })?;
        let Some(weight) = self.own_weight else { return Ok(()) };
        fraction("mask.own_weight", weight)?;
        ensure(self.fill == Filling::Partner, &["mask.own_weight", "mask.fill"], || {
            let fill = self.fill;
            format!("mask.own_weight is only used with mask.fill \"partner\", not with \"{fill}\"")
        })
    }
}

impl SiameseTable {
    fn check(&self, train: &Train) -> Result<(), Violation> {
        count("siamese.dim", self.dim)?;
        within_limit("siamese.hidden", self.hidden as f64)?;
        let least = usize::from(self.base != SiameseBase::Moco);
        must_be(self.hidden >= least, "siamese.hidden", self.hidden, "at least 1 with this base")?;
        let momentum = self.momentum;
        must_be((0.0..1.0).contains(&momentum), "siamese.momentum", momentum, "in [0, 1)")?;
        positive("siamese.temperature", self.temperature)?;
        let (batch, splits) = (train.batch_size, self.splits);
        count("siamese.splits", splits)?;
        let fits = batch.is_multiple_of(splits) && batch / splits >= 2;
        ensure(fits, &["siamese.splits", "train.batch_size"], || {
            format!(
                "siamese.splits {splits} must divide train.batch_size {batch} into parts of at \
                 least 2 images, which have a variance"
            )
        })?;
        count("siamese.queue", self.queue)?;
        let keys = if self.symmetric { 2 * batch } else { batch };
        let whole = self.base != SiameseBase::Moco || self.queue.is_multiple_of(keys);
        ensure(whole, &["siamese.queue", "train.batch_size", "siamese.symmetric"], || {
            format!("siamese.queue {} must be a multiple of the {keys} keys of a step", self.queue)
        })
    }
}

impl SystemSettings for MixMask {
    const NAME: &'static str = "mixmask";

    fn check(&self, train: &Train) -> Result<(), Violation> {
        self.data.check(train)?;
        count("model.width", self.model.width)?;
        let (accumulate, rule) =
            (train.accumulate, "1, because a step's keys enter the queue together");
        must_be(accumulate == 1, "train.accumulate", accumulate, rule)?;
        self.siamese.check(train)?;
        let size = self.data.image_size;
        self.mask.as_ref().map_or(Ok(()), |mask| mask.check([size.height(), size.width()]))?;
        self.eval.check()
    }

    fn data(&self) -> Vec<DataNeed> {
        vec![self.data.need()]
    }
}
