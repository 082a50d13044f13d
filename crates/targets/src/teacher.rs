//! Teachers: the features of a whole image (the slot T of MaskDistill's unified view, arXiv
//! 2210.10615 §2).
//!
//! A teacher is frozen and runs without gradients, once per step, on unmasked images.
//! Each teacher normalises images as in its own training.

mod convolutional;
mod encoder;
mod pixels;

use bauta_masking::Grid;
use tch::Tensor;

pub use convolutional::ConvolutionalTeacher;
pub use encoder::EncoderTeacher;
pub use pixels::PixelTeacher;

use crate::TargetError;

/// Maps whole images to features of tokens, with or without a frozen network.
pub trait Teacher {
    /// The grid of the tokens, which is the student's.
    fn grid(&self) -> Grid;

    /// Number of features per token, Dt.
    fn dim(&self) -> usize;

    /// Whether the features of a class token come before those of the patches.
    fn has_class_token(&self) -> bool;

    /// Features of u8 pixels [B, C, H, W]: [B, 1 + L, Dt] with a class token, otherwise [B, L, Dt],
    /// patches in image order. They carry no gradient.
    ///
    /// # Errors
    /// [`TargetError`] when the images are of another size.
    fn features(&self, pixels: &Tensor) -> Result<Tensor, TargetError>;
}
