//! Sources of images: anything with a length, labels and random access.
//!
//! A source does not depend on its readers. It is shared between threads, keeps no position, and
//! always returns the same image for an index.

pub(crate) mod cifar10;
pub(crate) mod folder;
pub(crate) mod holdout;
mod idx;
pub(crate) mod layout;
mod limited;
pub(crate) mod listed;
pub(crate) mod listing;
mod memory;
pub(crate) mod mnist;
mod normalised;
mod npy;
pub(crate) mod shards;
mod shrunk;
mod statistics;
mod subset;

pub use cifar10::{canonical_batch as cifar10_canonical_batch, open as open_cifar10};
pub use folder::Folder;
pub use limited::Limited;
pub use memory::InMemory;
pub use normalised::Normalised;
pub use shards::Shards;
pub use shrunk::Shrunk;
pub use statistics::Statistics;
pub use subset::Subset;

use bauta_datasets::{DataError, SampleType};

use crate::image::Image;

/// A finite collection of images with random access.
///
/// Indices run from 0 to `len() - 1`; the methods that take one panic beyond.
pub trait Source: Send + Sync {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there are no images.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Channels of every image, at least 1.
    fn channels(&self) -> usize;

    /// Names of the classes, in the order of the labels; empty where there are no labels.
    fn classes(&self) -> &[String];

    /// Class of an image, an index into `classes`; `None` for all images of an unlabelled source.
    fn label(&self, index: usize) -> Option<u32>;

    /// The type of the samples of every image; bytes by default.
    fn sample_type(&self) -> SampleType {
        SampleType::Uint8
    }

    /// Reads an image of bytes, borrowing its samples if they are in memory.
    ///
    /// # Errors
    /// When the file cannot be read or decoded, or [`Self::sample_type`] is another: samples are
    /// never converted.
    fn image(&self, index: usize) -> Result<Image<'_>, DataError>;

    /// Reads an image of samples that are not bytes, in their own units.
    ///
    /// # Errors
    /// When the file cannot be read or decoded, or the samples are bytes.
    fn values(&self, index: usize) -> Result<Image<'_, f32>, DataError> {
        let rule = format!("the samples of {} are read as bytes", self.describe(index));
        Err(self.sample_type().refuse(&rule))
    }

    /// Height and width of an image, which is read for this.
    ///
    /// # Errors
    /// As [`Self::image`] and [`Self::values`].
    fn size(&self, index: usize) -> Result<[usize; 2], DataError> {
        Ok(match self.sample_type() {
            SampleType::Uint8 => {
                let image = self.image(index)?;
                [image.height(), image.width()]
            }
            SampleType::Uint16 | SampleType::Float32 => {
                let image = self.values(index)?;
                [image.height(), image.width()]
            }
        })
    }

    /// Describes an image for messages: a path, or `cifar10 train #17`.
    fn describe(&self, index: usize) -> String;

    /// Mean and standard deviation of the channels, for normalisation: of bytes scaled to [0, 1],
    /// of other samples in their own units.
    fn statistics(&self) -> Statistics;
}
