//! A folder of pictures of any size: JPEG, PNG and WebP files, or `.npy` arrays.
//!
//! Pictures in subfolders are labelled by the subfolder's name; pictures that lie
//! directly in the folder, or in one subfolder only, have no labels.

use std::ffi::OsStr;
use std::path::Path;

use super::layout::Kind;
use super::listed::Listed;
use super::listing::{any_below, has_extension, is_picture, shown};
use super::npy;
use crate::dataset::Split;
use crate::error::DataError;
use crate::image::{Decoding, Image};
use crate::regular;
use crate::source::{Source, Statistics};

/// Pictures, and what a folder of them looks like.
pub(crate) const PICTURES: Kind = Kind {
    wanted: is_picture,
    called: "pictures",
    missing: "JPEG, PNG, WebP or .npy files",
    layout: "a data set is train/CLASS/*.jpg and val/CLASS/*.jpg, or CLASS/*.jpg with a part held \
             out (holdout), or *.jpg without classes (also .png, .webp; docs/your-own-data.md)",
    folders: false,
};
const ARRAYS: Kind = Kind { wanted: is_array, called: ".npy files", ..PICTURES };

fn is_array(path: &Path) -> bool {
    has_extension(path, &["npy"])
}

/// Pictures in files, in the order of their paths.
#[derive(Clone, Debug)]
pub struct Folder {
    listed: Listed,
    decoding: Decoding,
    /// Channels of every picture.
    channels: usize,
    statistics: Statistics,
}

impl Folder {
    /// Lists the pictures of one split, decoded to RGB.
    ///
    /// # Errors
    /// As [`open_splits`](crate::open_splits), and when there is no such split.
    pub fn open(split: Split, root: &Path) -> Result<Self, DataError> {
        let mut notes = Vec::new();
        let decoding = Decoding::default();
        match split {
            Split::Train => {
                let (listed, _) = Listed::training(root, kind_below(root)?, &mut notes)?;
                Self::of(listed, decoding)
            }
            Split::Test => {
                let (_, test) = Self::splits(root, decoding, &mut notes)?;
                test.ok_or_else(|| PICTURES.no_test(root))
            }
        }
    }

    /// Lists every picture below a folder, whatever its subfolders are called.
    ///
    /// The pictures have no labels; [`Source::describe`] says where each lies.
    ///
    /// # Errors
    /// When there are none, or a folder or link below cannot be read.
    pub fn all(root: &Path, decoding: Decoding) -> Result<Self, DataError> {
        Self::of(Listed::all(root, kind_below(root)?)?, decoding)
    }

    /// Lists both splits, the second where there is one.
    pub(crate) fn splits(
        root: &Path,
        decoding: Decoding,
        notes: &mut Vec<String>,
    ) -> Result<(Self, Option<Self>), DataError> {
        let (train, test) = Listed::splits(root, kind_below(root)?, notes)?;
        let train = Self::of(train, decoding)?;
        let test = test.map(|listed| Self { listed, ..train.clone() });
        Ok((train, test))
    }

    fn of(listed: Listed, decoding: Decoding) -> Result<Self, DataError> {
        let (mut channels, mut statistics) =
            (decoding.channels.count(), Statistics::of_photos(decoding.channels));
        let first = listed.paths().first().expect("a folder has pictures");
        if is_array(first) {
            channels = npy::read(first, decoding.max_pixels)?.channels();
            statistics = Statistics::neutral(channels);
        }
        Ok(Self { listed, decoding, channels, statistics })
    }

    /// A picture's path below the root, the same wherever the root lies.
    pub(crate) fn relative(&self, index: usize) -> &OsStr {
        self.listed.relative(index)
    }

    /// Whether the pictures' own statistics are unknown until they are measured.
    pub(crate) fn wants_measuring(&self) -> bool {
        is_array(&self.listed.paths()[0])
    }

    /// Normalises by these statistics.
    pub(crate) fn with_statistics(self, statistics: Statistics) -> Self {
        Self { statistics, ..self }
    }
}

/// Pictures where there are any, and arrays otherwise.
fn kind_below(root: &Path) -> Result<Kind, DataError> {
    super::listing::entries(root)?;
    let has = |kind: &Kind| any_below(root, kind.wanted);
    [PICTURES, ARRAYS].into_iter().find(has).ok_or_else(|| PICTURES.nothing(root))
}

impl Source for Folder {
    fn len(&self) -> usize {
        self.listed.paths().len()
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn classes(&self) -> &[String] {
        self.listed.classes()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.listed.label(index)
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        let path = &self.listed.paths()[index];
        let refuse = |problem| DataError::Image { image: self.describe(index), problem };
        if is_array(path) {
            let image = npy::read(path, self.decoding.max_pixels)?;
            if image.channels() != self.channels {
                let (found, wanted) = (image.channels(), self.channels);
                let first = self.listed.paths()[0].display();
                return Err(refuse(format!("it has {found} channels, and {first} has {wanted}")));
            }
            return Ok(image);
        }
        let file = regular::read(path)?;
        Image::decode_with(&file, self.decoding).map_err(refuse)
    }

    fn describe(&self, index: usize) -> String {
        shown(self.listed.paths()[index].as_os_str())
    }

    fn statistics(&self) -> Statistics {
        self.statistics.clone()
    }
}

#[cfg(test)]
mod tests;
