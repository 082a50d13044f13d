//! Collections of images with captions by name, and their options.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::fetch::{PACKAGES, Package};
use crate::images::Decoding;

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
    /// A folder of pictures, each next to a `.txt` file of the same name with its caption; of tar
    /// files of both; or of Parquet files with `image.bytes` and `caption`.
    Pairs,
}

impl PairName {
    /// Its package; `None` if the user must name a folder.
    pub fn package(self) -> Option<&'static Package> {
        PACKAGES.iter().find(|package| package.name == <&str>::from(self))
    }
}

/// How pictures without captions and captions without pictures are handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Unpaired {
    /// They are trained on alone. A caption that is also held out with a picture is left out.
    #[default]
    Train,
    /// They are left out.
    Skip,
}

/// Options for opening pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairOptions {
    /// The fraction of captions held out for evaluation, in (0, 1), chosen by caption; no effect on
    /// CIFAR-10, which has a test split.
    pub holdout: f64,
    /// Train on only this many images, spread as evenly over the classes as possible.
    pub limit: Option<usize>,
    /// How unpaired pictures and captions are handled.
    pub unpaired: Unpaired,
    /// How picture files are read.
    pub decoding: Decoding,
}

impl Default for PairOptions {
    fn default() -> Self {
        let unpaired = Unpaired::default();
        Self { holdout: 0.2, limit: None, unpaired, decoding: Decoding::default() }
    }
}
