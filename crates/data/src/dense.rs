//! Images whose pixels are labelled, or whose objects have boxes.
//!
//! A [`DenseSource`] gives an image together with the targets to predict: a class for every pixel
//! ([`LabelMap`]), objects with boxes and masks ([`Object`]), or both.

mod ade20k;
mod batches;
mod coco;
mod composed;
mod first;
mod look;
mod mask;
mod open;

pub use ade20k::Ade20k;
pub use batches::{DenseBatch, DenseLoader};
pub use coco::Coco;
pub use composed::{ComposedConfig, ComposedDigits};
pub use first::FirstScenes;
pub use mask::ObjectMask;
pub use open::DenseSplits;

use bauta_datasets::DataError;

use crate::image::Image;
use crate::source::Statistics;
use crate::splits::check_classes;

/// The label of pixels that are ignored in training and evaluation.
pub const IGNORED: u8 = 255;

/// The class of every pixel, row by row; [`IGNORED`] where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMap {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// `height · width` labels.
    pub labels: Vec<u8>,
}

/// One object of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its class, an index into [`DenseSource::object_classes`].
    pub class: u32,
    /// Left, top, width and height in pixels.
    pub bbox: [f64; 4],
    /// Area in pixels, that of its mask if the source has one.
    pub area: f64,
    /// Whether it is a crowd of objects that are not annotated separately.
    pub crowd: bool,
    /// Its pixels.
    pub mask: Option<ObjectMask>,
}

/// An image and its annotations.
#[derive(Clone, Debug)]
pub struct DenseSample {
    /// The image.
    pub image: Image<'static>,
    /// The class of every pixel, of the image's size.
    pub labels: Option<LabelMap>,
    /// Its objects.
    pub objects: Vec<Object>,
}

/// A finite collection of densely labelled images with random access.
///
/// Indices run from 0 to `len() - 1`; the methods that take one panic beyond.
pub trait DenseSource: Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there are no images.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names of the pixels' classes; empty where pixels have none.
    fn pixel_classes(&self) -> &[String];

    /// Names of the objects' classes; empty where there are no objects.
    fn object_classes(&self) -> &[String];

    /// Reads an image and its labels.
    ///
    /// # Errors
    /// When a file cannot be read or decoded, or image and labels differ in size.
    fn sample(&self, index: usize) -> Result<DenseSample, DataError>;

    /// Checks an image's files without decoding the picture, and returns whether anything in it is
    /// labelled.
    ///
    /// In generated scenes, everything is.
    ///
    /// # Errors
    /// [`DataError::Image`] when a file is damaged, so that the image can be skipped; another error
    /// when a file is missing or invalid. Damage that only a decoder would find is not noticed.
    fn look(&self, _index: usize) -> Result<bool, DataError> {
        Ok(true)
    }

    /// Describes an image for messages.
    fn describe(&self, index: usize) -> String;

    /// Mean and standard deviation of the channels, for normalisation.
    fn statistics(&self) -> Statistics;
}

/// Refuses two sources whose labels have different meanings.
///
/// # Errors
/// [`DataError::Setting`] when the classes of pixels or objects are not the same in the
/// same order.
pub fn check_dense_splits(
    train: &dyn DenseSource,
    test: &dyn DenseSource,
) -> Result<(), DataError> {
    check_classes(train.pixel_classes(), test.pixel_classes())?;
    check_classes(train.object_classes(), test.object_classes())
}
