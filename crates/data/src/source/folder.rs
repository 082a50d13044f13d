//! A folder of pictures of any size: JPEG, PNG and WebP files, or `.npy` arrays.
//!
//! Pictures in subfolders are labelled by the subfolder's name; pictures that lie
//! directly in the folder, or in one subfolder only, have no labels.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bauta_datasets::{DataError, Decoding, SampleType, Split};
use rayon::prelude::*;

use super::layout::{Kind, several};
use super::listed::Listed;
use super::listing::{any_below, files_below, has_extension, is_picture, shown};
use super::npy::{self, Array};
use crate::image::Image;
use crate::image::known::Known;
use crate::image::sixteen_bits::Rounding;
use crate::regular;
use crate::source::{Source, Statistics};

/// The kind of pictures, and the layout of a folder of them.
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
    /// Type of the samples of every picture.
    sample_type: SampleType,
    statistics: Statistics,
    rounding: Arc<Rounding>,
    known: Arc<Known>,
}

impl Folder {
    /// Lists the pictures of one split, decoded to RGB.
    ///
    /// Statistics of arrays and of sixteen bits are not measured here, as [`open`](crate::open) does:
    /// all are 0.5.
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
    /// The pictures have no labels; [`Source::describe`] gives the path of each. Statistics are not
    /// measured: those of arrays and of sixteen bits are all 0.5.
    ///
    /// # Errors
    /// When there are none, or a folder or link below cannot be read.
    pub fn all(root: &Path, decoding: Decoding) -> Result<Self, DataError> {
        let mut notes = Vec::new();
        let listed = Listed::all(root, kind_below(root)?, &mut notes)?;
        for note in notes {
            tracing::warn!("{note}");
        }
        Self::of(listed, decoding)
    }

    /// Lists both splits, the second if there is one.
    pub(crate) fn splits(
        root: &Path,
        decoding: Decoding,
        notes: &mut Vec<String>,
    ) -> Result<(Self, Option<Self>), DataError> {
        let (train, test) = Listed::splits(root, kind_below(root)?, notes)?;
        let train = Self::of(train, decoding)?;
        let test = test.map(|listed| {
            let known = Arc::new(Known::none(listed.paths().len()));
            Self { listed, known, ..train.clone() }
        });
        if let Some(test) = &test {
            train.check_alike(test.listed.paths())?;
        }
        Ok((train, test))
    }

    fn of(listed: Listed, decoding: Decoding) -> Result<Self, DataError> {
        let first = listed.paths().first().expect("a folder has pictures");
        let (channels, sample_type) = if is_array(first) {
            let array = npy::read(first, decoding.max_pixels)?;
            let found = array.sample_type();
            if let Some(wanted) = decoding.sample_type.filter(|&wanted| wanted != found) {
                return Err(wanted.refuse(&format!("{} holds {found}", shown(first.as_os_str()))));
            }
            (array.channels(), found)
        } else {
            let wanted = decoding.sample_type.unwrap_or_default();
            if wanted == SampleType::Float32 {
                return Err(wanted.refuse("pictures are uint8 or uint16; save values as .npy"));
            }
            (decoding.channels.count(), wanted)
        };
        // Values in unknown units have no statistics until these are measured.
        let statistics = match is_array(first) || sample_type != SampleType::Uint8 {
            true => Statistics::neutral(channels),
            false => Statistics::of_photos(decoding.channels),
        };
        let (rounding, known) = (Arc::default(), Arc::new(Known::none(listed.paths().len())));
        let opened = Self { listed, decoding, channels, sample_type, statistics, rounding, known };
        opened.check_alike(opened.listed.paths())?;
        Ok(opened)
    }

    /// Refuses arrays whose headers differ from the first one's. A damaged one is an error when it
    /// is read.
    fn check_alike(&self, paths: &[PathBuf]) -> Result<(), DataError> {
        let unlike: Vec<(&PathBuf, String)> = paths
            .par_iter()
            .filter(|path| is_array(path))
            .filter_map(|path| Some((path, self.unlike_first(npy::claimed(path)?)?)))
            .collect();
        match unlike.first() {
            None => Ok(()),
            Some((path, problem)) => {
                let (count, of) = (unlike.len(), paths.len());
                let problem = format!("{problem}; {count} of {of} arrays are not like that one");
                Err(DataError::malformed(path, problem))
            }
        }
    }

    /// A picture's path below the root, independent of where the root is.
    pub(crate) fn relative(&self, index: usize) -> &OsStr {
        self.listed.relative(index)
    }

    /// Whether the pictures' own statistics are unknown until they are measured.
    pub(crate) fn wants_measuring(&self) -> bool {
        is_array(&self.listed.paths()[0]) || self.sample_type != SampleType::Uint8
    }

    /// Reads an array, which must be like the first.
    fn array(&self, index: usize) -> Result<Array, DataError> {
        let array = npy::read(&self.listed.paths()[index], self.decoding.max_pixels)?;
        match self.unlike_first((array.channels(), array.sample_type())) {
            None => Ok(array),
            Some(problem) => Err(DataError::Image { image: self.describe(index), problem }),
        }
    }

    /// How an array of these channels and samples differs from the first, if it does.
    fn unlike_first(&self, (channels, found): (usize, SampleType)) -> Option<String> {
        let wanted = self.channels;
        if channels != wanted {
            let first = self.describe(0);
            return Some(format!("it has {channels} channels, but {first} has {wanted}"));
        }
        let wanted = self.sample_type;
        (found != wanted)
            .then(|| format!("it holds {found}, but {} holds {wanted}", self.describe(0)))
    }

    /// Uses these statistics for normalisation.
    pub(crate) fn with_statistics(self, statistics: Statistics) -> Self {
        Self { statistics, ..self }
    }
}

/// The kind of files below a folder: pictures if there are any, arrays otherwise.
fn kind_below(root: &Path) -> Result<Kind, DataError> {
    super::listing::entries(root)?;
    let has = |kind: &Kind| any_below(root, kind.wanted);
    [PICTURES, ARRAYS].into_iter().find(has).ok_or_else(|| {
        let foreign = files_below(root, is_picture).map(|files| files.foreign).unwrap_or_default();
        let names: Vec<String> = foreign.iter().map(|path| path.display().to_string()).collect();
        match names.is_empty() {
            true => PICTURES.nothing(root),
            false => DataError::malformed(
                root,
                format!(
                    "its pictures have unsupported formats ({}); convert them to PNG or JPEG (.jpg)",
                    several(&names)
                ),
            ),
        }
    })
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
        if self.sample_type != SampleType::Uint8 {
            return Err(self.sample_type.refuse("images are read as uint8 here"));
        }
        if is_array(path) {
            return match self.array(index)? {
                Array::Bytes(image) => Ok(image),
                Array::Values(found, _) => Err(found.refuse("the first array holds bytes")),
            };
        }
        let file = regular::read(path)?;
        self.rounding.tell(&file, || self.describe(index));
        self.known
            .decode(index, &file, self.decoding)
            .map_err(|problem| DataError::Image { image: self.describe(index), problem })
    }

    fn sample_type(&self) -> SampleType {
        self.sample_type
    }

    fn values(&self, index: usize) -> Result<Image<'_, f32>, DataError> {
        let path = &self.listed.paths()[index];
        if self.sample_type == SampleType::Uint8 {
            return Err(self.sample_type.refuse("they are read as bytes"));
        }
        if is_array(path) {
            return match self.array(index)? {
                Array::Values(_, image) => Ok(image),
                Array::Bytes(_) => Err(self.sample_type.refuse("this array holds bytes")),
            };
        }
        let file = regular::read(path)?;
        Image::decode_sixteen_bits(&file, self.decoding)
            .map_err(|problem| DataError::Image { image: self.describe(index), problem })
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
