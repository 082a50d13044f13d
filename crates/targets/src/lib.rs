//! Prediction targets of masked models, and the loss on the masked positions.
//!
//! A target computes the values to predict from the whole image (`masked`) and compares
//! predictions with them (`loss`): [`PixelTarget`] for pixels of images, [`ClipTarget`] for
//! pixels of clips, [`FeatureTarget`] for a teacher's features. Visible positions are left out
//! before the loss, so their gradient is exactly zero.
//!
//! ```
//! use bauta_backbones::TokenIndices;
//! use bauta_masking::{Grid, MaskPlan};
//! use bauta_targets::PixelTarget;
//! use tch::{Device, Kind, Tensor};
//!
//! let grid = Grid::image(2, 2)?;
//! let plan = MaskPlan::from_noise(&[0.4, 0.1, 0.9, 0.6], 1, 0.5)?;
//! let indices = TokenIndices::new(&plan, Device::Cpu);
//! let target = PixelTarget::raw(grid, 3);
//! let images = Tensor::ones([1, 3, 8, 8], (Kind::Float, Device::Cpu));
//! let wanted = target.masked(&images, &indices)?;
//! assert_eq!(wanted.size(), [1, 2, 48]);
//! assert_eq!(target.loss(&wanted.zeros_like(), &wanted)?.double_value(&[]), 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod clips;
mod features;
mod loss;
mod mixture;
mod normalization;
mod patchify;
mod pixels;
pub mod pretext;
mod resize;
mod teacher;
#[cfg(test)]
mod tests;
mod words;

use bauta_masking::Grid;

pub use clips::{ClipTarget, patchify_clip, target_frames, unpatchify_clip};
pub use features::FeatureTarget;
pub use loss::FeatureLoss;
pub use mixture::{
    by_weight, image_losses, latent_loss, latent_loss_of_mean, mix, next_in_batch, two_way_loss,
    two_way_loss_of_mean,
};
pub use normalization::Normalization;
pub use patchify::{patchify, unpatchify};
pub use pixels::PixelTarget;
pub use teacher::{ConvolutionalTeacher, EncoderTeacher, PixelTeacher, Teacher};
pub use words::{sum_of, word_loss};

use resize::resize;

/// Tensors that do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// A tensor of the wrong shape.
    #[error("a tensor has the shape {found:?}, the target expects {expected}")]
    Shape {
        /// Its shape.
        found: Vec<i64>,
        /// What the target expects.
        expected: String,
    },
    /// A teacher whose token grid differs from the student's.
    #[error(
        "the teacher's tokens of images of {height} × {width} lie on a grid of {} × {}, the \
         student's on {} × {}; change the size of the teacher's images or the student's patch size",
        teacher.height(), teacher.width(), student.height(), student.width()
    )]
    Grid {
        /// The teacher's grid.
        teacher: Grid,
        /// The student's grid.
        student: Grid,
        /// Height of the teacher's images in pixels.
        height: usize,
        /// Width of the teacher's images in pixels.
        width: usize,
    },
    /// A teacher for images with other channels.
    #[error("the teacher expects {teacher} channels, the images have {images}")]
    Channels {
        /// Channels of the teacher's images.
        teacher: usize,
        /// Channels of the images here.
        images: usize,
    },
    /// A teacher's images that are too small for its network.
    #[error(
        "the teacher's images of {height} × {width} are smaller than its stride of {stride} \
         pixels; take larger images or a smaller stride"
    )]
    ImageSize {
        /// Height of the teacher's images in pixels.
        height: usize,
        /// Width of the teacher's images in pixels.
        width: usize,
        /// Pixels from one feature to the next.
        stride: usize,
    },
    /// Predicted frames that are not a whole number per time step.
    #[error(
        "{chosen} predicted frames do not divide over {steps} steps of time; choose a multiple \
         of {steps}"
    )]
    Frames {
        /// Frames that were chosen.
        chosen: usize,
        /// Tokens along time.
        steps: usize,
    },
    /// A mixture loss without a prediction.
    #[error("a loss of mixtures needs at least one branch, got none")]
    NoBranch,
    /// The error of the teacher's network.
    #[error("the teacher: {0}")]
    Teacher(String),
}
