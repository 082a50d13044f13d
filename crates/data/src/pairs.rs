//! Images with captions: from files to two splits that share no caption, unless captions are
//! generated from classes.
//!
//! [`open_pairs`] opens Tux Paint's stamps, emoji with their names, CIFAR-10 with captions
//! generated from its classes, or a user's folder: pictures next to `.txt` files, tar files in the
//! WebDataset convention, or Parquet files in Hugging Face's layout. Pictures without captions and
//! captions without pictures are counted, named, and trained on alone or left out, as [`Unpaired`]
//! says.

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

pub use bauta_datasets::pairs::{PairName, PairOptions, Unpaired};
use bauta_datasets::{DataError, DatasetName, Decoding, Split};

use self::listing::Listing;
use self::split::divided;
use crate::source::listing::{any_below, is_picture};
use crate::source::shards::is_shard;
use crate::source::{Source, Subset};
use crate::splits::TestOrigin;

/// Images and their captions.
pub struct Captioned {
    /// The images.
    pub images: Arc<dyn Source>,
    /// The caption of each image; empty if it has none.
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

/// Pairs to train on, and pairs to evaluate on. No caption of the latter is trained on, except
/// those of CIFAR-10, which are generated from its classes.
pub struct PairSplits {
    /// The training part, including pictures and captions without a counterpart.
    pub train: Captioned,
    /// The evaluation part: complete pairs only.
    pub test: Captioned,
    /// The origin of the test part.
    pub origin: TestOrigin,
    /// Notes on the data, one sentence each.
    pub notes: Vec<String>,
}

/// Opens the pairs in the folder `root`.
///
/// Pictures of Parquet files are copied to an unnamed file in the folder `scratch`, which is
/// deleted with the pairs.
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
    let mut notes = listing.notes(&root.display().to_string(), options.unpaired);
    let all = listing.captioned(options.unpaired);
    let (train, test) = divided(&all, options.holdout)?;
    let left_out = all.texts.len() - train.texts.len();
    if left_out > 0 {
        notes.push(format!(
            "{}: {left_out} of the captions without a picture are left out, as pictures with the \
             same caption are held out",
            root.display()
        ));
    }
    let origin = TestOrigin::ByCaption(options.holdout);
    Ok(PairSplits { train: train.limited(options.limit), test, origin, notes })
}

/// Reads a user's folder according to its contents: pictures, tar files or Parquet files.
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
        let images = crate::open(DatasetName::Cifar10, split, root)?;
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
