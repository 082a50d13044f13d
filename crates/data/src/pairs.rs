//! Images with captions: from files to two splits that share no caption.
//!
//! [`open_pairs`] opens Tux Paint's stamps, emoji with their names, CIFAR-10 with captions made
//! of its classes, or a folder of the user's: pictures beside `.txt` files, tar files in the
//! WebDataset convention, or Parquet files in Hugging Face's layout. What lacks its other half is
//! counted, named, and trained on alone or left out, as [`Unpaired`] says.

mod emoji;
mod files;
mod listing;
mod shards;
mod split;
mod table;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use self::listing::Listing;
use self::split::divided;
use crate::dataset::{DatasetName, Split};
use crate::error::DataError;
use crate::fetch::{PACKAGES, Package};
use crate::image::Decoding;
use crate::source::listing::{any_below, is_picture};
use crate::source::shards::is_shard;
use crate::source::{Source, Subset};
use crate::splits::TestOrigin;

/// A collection of images with captions, by the name that recipes use.
#[derive(
    Clone,
    Copy,
    Debug,
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
pub enum PairName {
    /// 785 captioned cut-outs in 16 categories, divided by caption.
    TuxpaintStamps,
    /// 1,906 Twemoji in 9 categories with their names, divided by name.
    Emoji,
    /// CIFAR-10, each image with a sentence that names its class.
    Cifar10,
    /// A folder of pictures, each beside a `.txt` file of the same name with its caption; of tar
    /// files of both; or of Parquet files with `image.bytes` and `caption`.
    Pairs,
}

impl PairName {
    /// The package that brings it; `None` where the user must name a folder.
    pub fn package(self) -> Option<&'static Package> {
        PACKAGES.iter().find(|package| package.name == <&str>::from(self))
    }
}

/// What becomes of a picture without caption, and of a caption without picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Unpaired {
    /// It is trained on alone.
    #[default]
    Train,
    /// It is left out.
    Skip,
}

/// How pairs are opened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairOptions {
    /// The fraction of captions held out for evaluation, in (0, 1), by the captions alone;
    /// without effect on CIFAR-10, which has a test split.
    pub holdout: f64,
    /// Train on so many images only, as evenly over the classes as they go.
    pub limit: Option<usize>,
    /// What becomes of halves of pairs.
    pub unpaired: Unpaired,
    /// How pictures' files are read.
    pub decoding: Decoding,
}

impl Default for PairOptions {
    fn default() -> Self {
        let unpaired = Unpaired::default();
        Self { holdout: 0.2, limit: None, unpaired, decoding: Decoding::default() }
    }
}

/// Images and their captions.
pub struct Captioned {
    /// The images.
    pub images: Arc<dyn Source>,
    /// The caption of each image; empty where it has none.
    pub captions: Vec<String>,
    /// Captions without an image.
    pub texts: Vec<String>,
}

impl Captioned {
    /// Keeps the images at these indices, and all captions without an image.
    fn at(&self, indices: &[usize]) -> Self {
        Self {
            images: Arc::new(Subset::new(Arc::clone(&self.images), indices.to_vec())),
            captions: indices.iter().map(|&index| self.captions[index].clone()).collect(),
            texts: self.texts.clone(),
        }
    }

    fn limited(self, limit: Option<usize>) -> Self {
        let Some(limit) = limit.filter(|&limit| limit < self.images.len()) else { return self };
        let kept = Subset::spread(Arc::clone(&self.images), limit);
        self.at(kept.indices())
    }
}

/// Pairs to train on, and pairs to evaluate on, none of whose captions is trained on.
pub struct PairSplits {
    /// What is trained on, halves of pairs included.
    pub train: Captioned,
    /// What is evaluated on: whole pairs only.
    pub test: Captioned,
    /// Where the latter come from.
    pub origin: TestOrigin,
    /// What was found, where that could surprise: a sentence each.
    pub notes: Vec<String>,
}

/// Opens the pairs that lie in the folder `root`.
///
/// Pictures of Parquet files are copied to an unnamed file in the folder `scratch`, which goes
/// with the pairs.
///
/// # Errors
/// When the folder does not hold them, a caption is not UTF-8, or too few pairs are left.
pub fn open_pairs(
    name: PairName,
    root: &Path,
    scratch: &Path,
    options: &PairOptions,
) -> Result<PairSplits, DataError> {
    let listing = match name {
        PairName::Cifar10 => return cifar10(root, options),
        PairName::TuxpaintStamps => files::stamps(root, options.decoding)?,
        PairName::Emoji => emoji::open(root, options.decoding)?,
        PairName::Pairs => pairs_of(root, scratch, options.decoding)?,
    };
    let notes = listing.notes(&root.display().to_string(), options.unpaired);
    let all = listing.captioned(options.unpaired);
    let (train, test) = divided(&all, options.holdout)?;
    let origin = TestOrigin::ByCaption(options.holdout);
    Ok(PairSplits { train: train.limited(options.limit), test, origin, notes })
}

/// Reads a folder of the user's as what lies in it: pictures, tar files or Parquet files.
fn pairs_of(root: &Path, scratch: &Path, decoding: Decoding) -> Result<Listing, DataError> {
    let kinds = [
        ("pictures", any_below(root, is_picture)),
        ("tar files", any_below(root, is_shard)),
        ("Parquet files", any_below(root, table::is_table)),
    ];
    let found: Vec<&str> =
        kinds.iter().filter(|(_, found)| *found).map(|(kind, _)| *kind).collect();
    match found[..] {
        ["tar files"] => shards::open(root, decoding),
        ["Parquet files"] => table::open(root, scratch, decoding),
        [_, _, ..] => {
            let problem = format!("holds {}; keep one of them there", found.join(" and "));
            Err(DataError::malformed(root, problem))
        }
        _ => files::folder(root, decoding),
    }
}

/// Sentences that name a class.
const TEMPLATES: [&str; 4] =
    ["a photo of {}.", "a small picture of {}.", "there is {} in this photo.", "this is {}."];

fn cifar10(root: &Path, options: &PairOptions) -> Result<PairSplits, DataError> {
    let open = |split| -> Result<Captioned, DataError> {
        let images = crate::dataset::open(DatasetName::Cifar10, split, root)?;
        let caption = |index: usize| {
            let class = images.label(index).map_or("", |label| &images.classes()[label as usize]);
            let article = if class.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
            TEMPLATES[index % TEMPLATES.len()].replace("{}", &format!("{article} {class}"))
        };
        let captions = (0..images.len()).map(caption).collect();
        Ok(Captioned { images, captions, texts: Vec::new() })
    };
    let train = open(Split::Train)?.limited(options.limit);
    Ok(PairSplits { train, test: open(Split::Test)?, origin: TestOrigin::Own, notes: Vec::new() })
}
