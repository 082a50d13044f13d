//! The samples of images: bytes, or values in their own units.
//!
//! Pictures are bytes, from the file to the batch. Arrays and pictures of sixteen bits can hold
//! more than 256 levels; these become f32, which represents every u16 exactly, and are never scaled
//! or rounded. Code for both is generic over [`Sample`] and compiled for each.

use std::cell::RefCell;
use std::fmt::Debug;

use bauta_datasets::DataError;
use fast_image_resize::PixelTrait;
use fast_image_resize::pixels::{F32, F32x2, F32x3, F32x4, U8, U8x2, U8x3, U8x4};
use ndarray::Array4;

use crate::augment::Scratch;
use crate::image::Image;
use crate::source::Source;

/// A number of an image in memory: `u8`, or `f32` for values that do not fit a byte.
pub trait Sample: machine::Machine {}

impl Sample for u8 {}
impl Sample for f32 {}

/// The samples of a batch, \[B, C, H, W\].
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// Those of [`SampleType::Uint8`](crate::SampleType::Uint8) images.
    Bytes(Array4<u8>),
    /// Those of all other images, in their own units.
    Values(Array4<f32>),
}

impl Pixels {
    /// Images, channels, height and width.
    pub fn dim(&self) -> (usize, usize, usize, usize) {
        match self {
            Self::Bytes(samples) => samples.dim(),
            Self::Values(samples) => samples.dim(),
        }
    }

    /// The samples, if they are bytes.
    pub fn bytes(&self) -> Option<&Array4<u8>> {
        match self {
            Self::Bytes(samples) => Some(samples),
            Self::Values(_) => None,
        }
    }

    /// The samples, if they are values in their own units.
    pub fn values(&self) -> Option<&Array4<f32>> {
        match self {
            Self::Bytes(_) => None,
            Self::Values(samples) => Some(samples),
        }
    }
}

/// The crate's own requirements of a sample.
pub(crate) mod machine {
    use super::*;

    /// A supertrait of [`Sample`], which prevents implementations for other types.
    pub trait Machine: Copy + Debug + Default + PartialEq + Send + Sync + 'static {
        /// A pixel of one channel, in the resizing library.
        type One: PixelTrait;
        /// A pixel of two channels.
        type Two: PixelTrait;
        /// A pixel of three channels.
        type Three: PixelTrait;
        /// A pixel of four channels.
        type Four: PixelTrait;

        /// The samples as bytes.
        fn as_bytes(samples: &[Self]) -> &[u8];

        /// The samples as mutable bytes.
        fn as_bytes_mut(samples: &mut [Self]) -> &mut [u8];

        /// The samples for colour operations on bytes; `None` for values.
        fn colours(samples: &mut [Self]) -> Option<&mut [u8]>;

        /// Reads an image from a source of such samples.
        fn read(source: &dyn Source, index: usize) -> Result<Image<'_, Self>, DataError>
        where
            Self: Sample;

        /// Wraps the samples of a batch.
        fn pixels(samples: Array4<Self>) -> Pixels;

        /// Lends the buffers that a thread keeps between images.
        fn with_scratch<T>(work: impl FnOnce(&mut Scratch<Self>) -> T) -> T
        where
            Self: Sample;
    }
}

thread_local! {
    static BYTES: RefCell<Scratch<u8>> = RefCell::default();
    static VALUES: RefCell<Scratch<f32>> = RefCell::default();
}

impl machine::Machine for u8 {
    type One = U8;
    type Two = U8x2;
    type Three = U8x3;
    type Four = U8x4;

    fn as_bytes(samples: &[Self]) -> &[u8] {
        samples
    }

    fn as_bytes_mut(samples: &mut [Self]) -> &mut [u8] {
        samples
    }

    fn colours(samples: &mut [Self]) -> Option<&mut [u8]> {
        Some(samples)
    }

    fn read(source: &dyn Source, index: usize) -> Result<Image<'_, Self>, DataError> {
        source.image(index)
    }

    fn pixels(samples: Array4<Self>) -> Pixels {
        Pixels::Bytes(samples)
    }

    fn with_scratch<T>(work: impl FnOnce(&mut Scratch<Self>) -> T) -> T {
        BYTES.with_borrow_mut(work)
    }
}

impl machine::Machine for f32 {
    type One = F32;
    type Two = F32x2;
    type Three = F32x3;
    type Four = F32x4;

    fn as_bytes(samples: &[Self]) -> &[u8] {
        bytemuck::cast_slice(samples)
    }

    fn as_bytes_mut(samples: &mut [Self]) -> &mut [u8] {
        bytemuck::cast_slice_mut(samples)
    }

    fn colours(_: &mut [Self]) -> Option<&mut [u8]> {
        None
    }

    fn read(source: &dyn Source, index: usize) -> Result<Image<'_, Self>, DataError> {
        source.values(index)
    }

    fn pixels(samples: Array4<Self>) -> Pixels {
        Pixels::Values(samples)
    }

    fn with_scratch<T>(work: impl FnOnce(&mut Scratch<Self>) -> T) -> T {
        VALUES.with_borrow_mut(work)
    }
}
